//! The plan of a stage-2 training, said before it starts.

use super::config::PriorConfig;
use super::train::PriorJob;
use super::trainer::PriorTrainer;
use crate::tokenizer::plan::duration;
use burn::module::Module;

/// One line per thing worth knowing; `sequences` counts the training and the validation split, `unigram` is the entropy of
/// the codes' frequencies in nats.
pub(super) fn describe(
    job: &PriorJob,
    config: &PriorConfig,
    trainer: &PriorTrainer,
    sequences: [usize; 2],
    unigram: f64,
) -> Vec<String> {
    let training = &job.recipe.training;
    let parameters = trainer.gpt.num_params();
    let codebook = job.tokenizer.tokenizer_config.codebook_size;
    vec![
        format!(
            "data      {}: {} sequences of {} codes to train on{}, {} held back",
            job.data.display(),
            sequences[0],
            config.codes(),
            if training.flip {
                " (mirrored ones included)"
            } else {
                ""
            },
            sequences[1]
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
            "to beat   {:.3} nats per code (the codes' frequencies alone); knowing nothing costs {:.3} (log {codebook})",
            unigram,
            (codebook as f64).ln()
        ),
        format!(
            "training  {}, batch {}, learning rate {}",
            duration(job.budget, sequences[0], training.batch),
            training.batch,
            training.learning_rate
        ),
        format!(
            "memory    about {:.1} GB",
            memory(config, training.batch, parameters) / 1e9
        ),
        format!("run       {}", job.out.display()),
    ]
}

/// Bytes: parameters with gradient and two moments, and about sixteen vectors per layer and position, and the logits.
fn memory(config: &PriorConfig, batch: usize, parameters: usize) -> f64 {
    let positions = (batch * config.block_size) as f64;
    let floats = positions
        * (16.0 * (config.width * config.layers) as f64 + 3.0 * config.vocabulary_size as f64);
    4.0 * (4.0 * parameters as f64 + floats)
}
