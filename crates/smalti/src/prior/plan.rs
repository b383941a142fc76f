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
    let parameters = trainer.gpt.num_params();
    let sequences = pictures[0] * if training.flip { 2 } else { 1 };
    vec![
        format!(
            "data      {}: {} pictures to train on{}, {} held back; {} codes each",
            training.data.display(),
            pictures[0],
            if training.flip {
                " and as many mirrored ones"
            } else {
                ""
            },
            pictures[1],
            config.codes()
        ),
        format!(
            "network   {} layers, {} heads, width {}, condition {}: {:.2} M parameters",
            config.layers,
            config.heads,
            config.width,
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
            bytes(memory(config, training.batch, parameters))
        ),
        format!("run       {}", job.out.display()),
    ]
}

/// Bytes: parameters with gradient and two moments, and about sixteen vectors per layer and position, and the logits.
fn memory(config: &PriorConfig, batch: usize, parameters: usize) -> f64 {
    let positions = (batch * config.block_size) as f64;
    let floats = positions
        * (16.0 * (config.width * config.layers) as f64 + 3.0 * config.vocabulary_size as f64);
    PROGRAM + 4.0 * (4.0 * parameters as f64 + floats)
}
