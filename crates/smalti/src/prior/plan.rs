//! The plan of a stage-2 training, said before it starts.

use super::config::PriorConfig;
use super::train::PriorJob;
use super::trainer::PriorTrainer;
use crate::counted;
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
            "data      {}: {} to train on{squares}{mirrored}, {} held back; {} each",
            training.data.display(),
            counted(pictures[0], "picture"),
            pictures[1],
            counted(config.codes(), "code")
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
            bytes(memory(
                config,
                at_once,
                parameters,
                training.checkpoint_blocks
            ))
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
/// logits. `batch` sequences go through the network at once. Where blocks run twice, there is one vector of each, and
/// either the logits or the sixteen of a single block.
fn memory(config: &PriorConfig, batch: usize, parameters: usize, checkpoint_blocks: bool) -> f64 {
    let positions = (batch * config.block_size) as f64;
    let logits = 3.0 * config.vocabulary_size as f64;
    let (layers, width) = (config.layers as f64, config.width as f64);
    let each = match config.network.pixelsnail() {
        // The attention's blocks are as wide as codes, positions and what is known of both together.
        Some(shape) => (12.0 * shape.residual_blocks as f64 + 60.0) * width * layers + logits,
        None if checkpoint_blocks => width * layers + logits.max(16.0 * width),
        None => 16.0 * width * layers + logits,
    };
    PROGRAM + 4.0 * (4.0 * parameters as f64 + positions * each)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_that_run_twice_take_the_memory_of_one() {
        let config = PriorConfig {
            layers: 24,
            width: 512,
            block_size: 256,
            vocabulary_size: 1024,
            ..PriorConfig::default()
        };
        let floats = |checkpoint_blocks| {
            let bytes = memory(&config, 4, 1000, checkpoint_blocks);
            (bytes - PROGRAM) / 4.0 - 4000.0
        };
        let positions = 4.0 * 256.0;
        assert_eq!(floats(false), positions * (24.0 * 16.0 * 512.0 + 3072.0));
        assert_eq!(floats(true), positions * (24.0 * 512.0 + 16.0 * 512.0));
    }
}
