//! Blocks that run twice must drop the same values both times: only then are the gradients those of the loss. This is
//! one test in a file of its own, because the generator that masks come from belongs to the process.

use smalti::Device;
use smalti::checkpoint::{HostTensor, TensorMap, load_parameters, parameters};
use smalti::prior::condition::{ClassCondition, Condition};
use smalti::prior::trainer::PriorTrainer;
use smalti::prior::{CodeSet, PriorConfig, PriorTraining};

const PICTURES: [usize; 5] = [0, 1, 2, 3, 4];

/// Parts of the network, by what the paths of their parameters begin with.
const PARTS: [&str; 7] = [
    "tok_emb",
    "pos_emb",
    "blocks.0.",
    "blocks.1.",
    "blocks.2.",
    "ln_f",
    "head",
];

/// How far weights are moved for a difference quotient.
const DISTANCE: f64 = 3e-3;

fn trainer() -> PriorTrainer {
    let config = PriorConfig {
        layers: 3,
        heads: 2,
        width: 8,
        rows: 2,
        columns: 2,
        block_size: 4,
        vocabulary_size: 11,
        embedding_dropout: 0.2,
        residual_dropout: 0.3,
        attention_dropout: 0.2,
        condition: Condition::Class(ClassCondition {
            classes: 3,
            names: Vec::new(),
        }),
        ..PriorConfig::default()
    };
    config.check().unwrap();
    let training = PriorTraining {
        checkpoint_blocks: true,
        micro_batch: 2,
        ..PriorTraining::default()
    };
    PriorTrainer::new(&config, &training, &Device::flex().autodiff())
}

fn set() -> CodeSet {
    let numbers =
        |count: usize, step: usize| (0..count).map(move |place| (place * step % 10) as i64);
    CodeSet {
        codes: numbers(20, 7).collect(),
        rows: 2,
        columns: 2,
        classes: numbers(5, 3).map(|class| class % 3).collect(),
        ..CodeSet::default()
    }
}

/// Weights that are large enough for every block to matter.
fn weights() -> TensorMap {
    let mut weights = parameters(&*trainer().prior, "", str::to_string);
    for (path, tensor) in &mut weights {
        let factor = if path.contains("ln") { 1.0 } else { 4.0 };
        let values = tensor.as_f32().unwrap();
        let values = values.iter().map(|value| factor * value).collect();
        *tensor = HostTensor::f32(tensor.shape.clone(), values);
    }
    weights
}

/// The mean loss of a step from these weights, and its gradient, by parameter.
fn loss_and_gradient(weights: &TensorMap, step: u64) -> (f64, Vec<(String, Vec<f64>)>) {
    let mut trainer = trainer();
    trainer
        .prior
        .update(|prior| load_parameters(prior, weights, "", str::to_string).unwrap());
    let loss = trainer.step(&set(), &PICTURES, 0.0, step).unwrap().nats;
    // After its first step, Adam's first moment is a tenth of the gradient.
    let gradient = |(key, moment): (String, HostTensor)| {
        let path = key.strip_prefix("adam.first.")?.to_string();
        let values = moment.as_f32()?.iter();
        Some((path, values.map(|&value| 10.0 * f64::from(value)).collect()))
    };
    (
        loss,
        trainer.state().into_iter().filter_map(gradient).collect(),
    )
}

/// `weights` moved by `distance` times the values of `direction`.
fn moved(weights: &TensorMap, direction: &[&(String, Vec<f64>)], distance: f64) -> TensorMap {
    let mut moved = weights.clone();
    for (path, slopes) in direction {
        let old = &weights[path];
        let pairs = old.as_f32().unwrap().iter().zip(slopes);
        let values = pairs.map(|(&value, slope)| (f64::from(value) + distance * slope) as f32);
        let tensor = HostTensor::f32(old.shape.clone(), values.collect());
        moved.insert(path.clone(), tensor);
    }
    moved
}

#[test]
fn masks_are_the_same_when_a_block_runs_again() {
    let weights = weights();
    let (loss, gradient) = loss_and_gradient(&weights, 7);
    assert_eq!(loss_and_gradient(&weights, 7), (loss, gradient.clone()));
    assert_ne!(loss_and_gradient(&weights, 8).0, loss, "another step");
    for part in PARTS {
        let direction: Vec<_> = gradient
            .iter()
            .filter(|(path, _)| path.starts_with(part))
            .collect();
        let squares = direction.iter().flat_map(|(_, slopes)| slopes);
        let length = squares.map(|slope| slope * slope).sum::<f64>().sqrt();
        assert!(length > 0.01, "{part}: {length}");
        let at =
            |distance: f64| loss_and_gradient(&moved(&weights, &direction, distance / length), 7).0;
        let quotient = (at(DISTANCE) - at(-DISTANCE)) / (2.0 * DISTANCE);
        assert!(
            (quotient - length).abs() < 0.05 * length,
            "{part}: the loss changes by {quotient}, but the gradient says {length}"
        );
    }
}
