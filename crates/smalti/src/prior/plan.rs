//! The plan of a stage-2 training, said before it starts.

use super::config::PriorConfig;
use super::train::PriorJob;
use super::trainer::PriorTrainer;
use crate::training::plan::{PROGRAM, bytes, duration};
use burn::module::Module;

/// One line per thing worth knowing; `pictures` counts the training and the validation split.
pub(super) fn describe(
    job: &PriorJob,
    config: &PriorConfig,
    trainer: &PriorTrainer,
    pictures: [usize; 2],
) -> Vec<String> {
    let training = &job.recipe.training;
    let parameters = trainer.prior.num_params();
    let sequences = pictures[0] * training.sequences_per_picture();
    let at_once = match training.micro_batch {
        0 => training.batch,
        most => most.min(training.batch),
    };
    let squares = match training.crops {
        crops if crops > 1 => format!(" in {crops} squares each"),
        _ => String::new(),
    };
    let mirrored = if training.flip {
        " and as many mirrored ones"
    } else {
        ""
    };
    let mut lines = vec![
        format!(
            "data      {}: {} pictures to train on{squares}{mirrored}, {} held back; {} codes each",
            training.data.display(),
            pictures[0],
            pictures[1],
            config.codes()
        ),
        format!(
            "network   {}, condition {}: {:.2} M parameters",
            config.describe(),
            config.condition.name(),
            parameters as f64 / 1e6
        ),
        format!(
            "training  {}, batch {}, learning rate {}",
            duration(training.budget(), sequences, training.batch),
            training.batch,
            training.learning_rate
        ),
        format!(
            "memory    about {}",
            bytes(memory(config, at_once, parameters))
        ),
        format!("run       {}", job.out.display()),
    ];
    if let Some(line) = condition(config) {
        lines.insert(2, line);
    }
    lines
}

/// What stands before the codes, where that is more than one token.
fn condition(config: &PriorConfig) -> Option<String> {
    let (length, tokens) = (config.condition.length(), config.condition.tokens_before());
    if length < 2 && config.nothing_token.is_none() {
        return None;
    }
    let what = if tokens > 0 { "tokens" } else { "vectors" };
    let nothing = match config.nothing_token {
        Some(token) => format!(", or token {token} for none"),
        None => String::new(),
    };
    Some(format!(
        "condition {length} {what} before the {} codes{nothing}",
        config.codes()
    ))
}

/// Bytes: parameters with gradient and two moments, and about sixteen vectors per layer of a GPT and position, and the
/// logits. `batch` sequences go through the network at once.
fn memory(config: &PriorConfig, batch: usize, parameters: usize) -> f64 {
    let positions = (batch * config.block_size) as f64;
    let vectors = match config.network.pixelsnail() {
        // The attention's blocks are as wide as codes, positions and what is known of both together.
        Some(shape) => 12.0 * shape.residual_blocks as f64 + 60.0,
        None => 16.0,
    };
    let floats = positions
        * (vectors * (config.width * config.layers) as f64 + 3.0 * config.vocabulary_size as f64);
    PROGRAM + 4.0 * (4.0 * parameters as f64 + floats)
}
