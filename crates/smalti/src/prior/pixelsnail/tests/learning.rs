//! Gradients against difference quotients, and what a short training learns.

use super::*;
use crate::prior::trainer::{PriorTrainer, nats_per_code, next_code_loss};
use crate::prior::{CodeSet, PriorTraining};
use crate::training::named_gradients;
use burn::optim::GradientsParams;

/// The mean loss of three pictures.
fn loss(prior: &Prior, config: &PriorConfig, device: &Device) -> Tensor<1> {
    let rows: Vec<Vec<i64>> = (0..3).map(|number| sequence(config, number)).collect();
    next_code_loss(prior, config, &rows, &rows, device).mean()
}

#[test]
fn gradients_are_difference_quotients() {
    const STEP: f32 = 1e-2;
    for condition in conditions() {
        let config = config(condition, 2);
        let (device, plain) = (Device::flex().autodiff(), Device::flex());
        let network = prior(&config, &device);
        let gradients = loss(&network, &config, &device).backward();
        let gradients = GradientsParams::from_grads(gradients, &network);
        let gradients = named_gradients(&network, &gradients);
        let network = prior(&config, &plain);
        let weights = parameters(&network, "", str::to_string);
        assert!(gradients.keys().eq(weights.keys()));
        for (key, gradient) in &gradients {
            let gradient = gradient.as_f32().unwrap();
            let squares: f32 = gradient.iter().map(|value| value * value).sum();
            let length = squares.sqrt();
            // Along the gradient the loss grows by its length.
            let at = |step: f32| {
                let weight = &weights[key];
                let pairs = weight.as_f32().unwrap().iter().zip(gradient);
                let moved = pairs.map(|(value, slope)| value + step * slope / length);
                let moved = HostTensor::f32(weight.shape.clone(), moved.collect());
                let mut weights = weights.clone();
                weights.insert(key.clone(), moved);
                let moved = load_parameters(network.clone(), &weights, "", str::to_string).unwrap();
                loss(&moved, &config, &plain).into_scalar::<f32>()
            };
            let quotient = (at(STEP) - at(-STEP)) / (2.0 * STEP);
            assert!(
                (quotient - length).abs() < 0.02 * length + 3e-4,
                "{key}: {quotient} instead of {length}"
            );
        }
    }
}

/// Seven pictures of 4 × 4 codes, each of which follows from its first code.
fn patterns() -> CodeSet {
    let code = |start: usize, row: usize, column: usize| {
        (start + 2 * row + 3 * column + start * row * column) % 7
    };
    let codes = (0..7 * 16).map(|place| code(place / 16, place / 4 % 4, place % 4) as i64);
    CodeSet {
        codes: codes.collect(),
        rows: 4,
        columns: 4,
        classes: (0..7).collect(),
        ..CodeSet::default()
    }
}

/// Nats per code after a short training.
fn learned(condition: Condition) -> f64 {
    let config = PriorConfig {
        width: 16,
        columns: 4,
        block_size: 16,
        vocabulary_size: 7,
        ..unchecked(
            condition,
            PixelSnailConfig {
                residual_blocks: 1,
                attention_width: 8,
                kernel: 2,
            },
        )
    };
    config.check().unwrap();
    let device = Device::flex().autodiff();
    let mut trainer = PriorTrainer::new(&config, &PriorTraining::default(), &device);
    let pictures: Vec<usize> = (0..7).collect();
    for step in 0..100 {
        trainer.step(&patterns(), &pictures, 1e-2, step).unwrap();
    }
    let result = trainer.result();
    let nats = nats_per_code(&result, &config, &patterns(), &pictures, &device.inner()).unwrap();
    nats.iter().sum::<f64>() / nats.len() as f64
}

#[test]
fn a_pattern_is_learned_and_nothing_that_cannot_be_known() {
    let nats = learned(classes(7));
    assert!(nats < 0.03, "{nats}");
    // Without its class, the first code of a picture is any of seven.
    let least = 7f64.ln() / 16.0;
    let nats = learned(Condition::default());
    assert!((least - 1e-4..least + 0.05).contains(&nats), "{nats}");
}
