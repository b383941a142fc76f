//! The workloads of stage 1: pictures through a tokenizer, and a step of its training.

use super::ceiling::Phase;
use super::cost::{self, Work};
use super::measure::{Repetition, timed};
use super::{Spec, networks};
use crate::checkpoint::{host_codes, host_values};
use crate::error::Result;
use crate::ops::Precision;
use crate::tokenizer::trainer::TokenizerTrainer;
use crate::tokenizer::{TokenizerRecipe, TokenizerTraining};
use burn::tensor::{Device, Int, Shape, Tensor, TensorData};

/// The authors' learning rate for each picture of the batch.
pub(super) const LEARNING_RATE: f64 = 4.5e-6;

/// Bytes that Adam moves for each parameter: it reads gradient, parameter and two moments, and writes the last three.
const ADAM_BYTES: f64 = 7.0 * 4.0;

/// A picture through encoder, quantiser and decoder.
pub(super) fn reconstruct(spec: &Spec, device: &Device) -> Result<Repetition> {
    let tokenizer = networks::tokenizer(spec, device);
    let pixels = networks::pictures(spec.batch, spec.size.side(), device);
    Ok(Box::new(move || {
        Ok(timed(|| {
            let latent = tokenizer.encode(pixels.clone()).latent;
            host_values(tokenizer.decode(latent))
        }))
    }))
}

pub(super) fn reconstruct_phases(spec: &Spec) -> Vec<Phase> {
    let (config, side) = (spec.size.tokenizer(), spec.size.side());
    let both = cost::encode(&config, side) + cost::decode(&config, side);
    vec![inference(spec, both + cost::search(&config, side))]
}

/// A picture to codes.
pub(super) fn encode(spec: &Spec, device: &Device) -> Result<Repetition> {
    let tokenizer = networks::tokenizer(spec, device);
    let pixels = networks::pictures(spec.batch, spec.size.side(), device);
    Ok(Box::new(move || {
        Ok(timed(|| host_codes(tokenizer.encode(pixels.clone()).codes)))
    }))
}

pub(super) fn encode_phases(spec: &Spec) -> Vec<Phase> {
    let (config, side) = (spec.size.tokenizer(), spec.size.side());
    let work = cost::encode(&config, side) + cost::search(&config, side);
    vec![inference(spec, work)]
}

/// Codes to a picture.
pub(super) fn decode(spec: &Spec, device: &Device) -> Result<Repetition> {
    let tokenizer = networks::tokenizer(spec, device);
    let config = spec.size.tokenizer();
    let rows = spec.size.side() / config.factor();
    let codes = networks::codes(spec.batch * rows * rows, config.codebook_size);
    let shape = Shape::from([spec.batch, rows, rows]);
    let codes: Tensor<3, Int> = Tensor::from_data(TensorData::new(codes, shape), device);
    Ok(Box::new(move || {
        Ok(timed(|| host_values(tokenizer.decode_codes(codes.clone()))))
    }))
}

pub(super) fn decode_phases(spec: &Spec) -> Vec<Phase> {
    let work = cost::decode(&spec.size.tokenizer(), spec.size.side());
    vec![inference(spec, work)]
}

/// A step of training with all losses: L1, LPIPS, the codebook's and the discriminator's; both networks move.
pub(super) fn step(spec: &Spec, device: &Device) -> Result<Repetition> {
    let device = device.clone().autodiff();
    let recipe = recipe(spec);
    let lpips = networks::lpips(&device)?;
    let mut trainer = TokenizerTrainer::new(&recipe, Some(lpips), &device);
    let pixels = networks::pictures(spec.batch, recipe.training.size, &device);
    // The end of a run: the discriminator takes part with its full weight.
    let plan = recipe.training.plan(recipe.training.steps, 1.0);
    Ok(Box::new(move || {
        Ok(timed(|| trainer.step(pixels.clone(), &plan)))
    }))
}

fn recipe(spec: &Spec) -> TokenizerRecipe {
    TokenizerRecipe {
        network: spec.size.tokenizer(),
        training: TokenizerTraining {
            size: spec.size.training_side(),
            batch: spec.batch,
            learning_rate: LEARNING_RATE * spec.batch as f64,
            precision: spec.precision,
            ..TokenizerTraining::default()
        },
    }
}

pub(super) fn step_phases(spec: &Spec) -> Vec<Phase> {
    let recipe = recipe(spec);
    let (config, training) = (&recipe.network, &recipe.training);
    let side = training.size;
    let autoencoder = cost::encode(config, side) + cost::decode(config, side);
    let search = cost::search(config, side);
    let lpips = cost::perceptual_features(side);
    let layers = training.discriminator_layers;
    let discriminator = cost::discriminator(training.discriminator_channels, layers, side);
    // A backward pass takes as much as two forward passes: one for the gradients of the inputs, one for those of the
    // weights. The search has none. LPIPS sees the picture and its reconstruction and sends back the gradient of the
    // latter. So does the discriminator, without the picture, before it learns from both.
    let passes = 3 * autoencoder.multiply_adds
        + search.multiply_adds
        + 3 * lpips.multiply_adds
        + (2 + 2 * 3) * discriminator.multiply_adds;
    let learned = autoencoder.parameters + search.parameters + discriminator.parameters;
    let read = learned + lpips.parameters;
    vec![
        Phase {
            flops: 2.0 * (spec.batch as u64 * passes) as f64,
            precision: spec.precision,
            bytes: 4.0 * read as f64,
        },
        update(learned),
    ]
}

/// A forward pass of the batch, which reads every weight once.
pub(super) fn inference(spec: &Spec, work: Work) -> Phase {
    let bytes = match spec.precision {
        Precision::F32 => 4.0,
        Precision::Bf16 => 2.0,
    };
    Phase {
        flops: 2.0 * (spec.batch as u64 * work.multiply_adds) as f64,
        precision: spec.precision,
        bytes: bytes * work.parameters as f64,
    }
}

/// What Adam moves once the gradients are known.
pub(super) fn update(parameters: u64) -> Phase {
    Phase {
        flops: 0.0,
        precision: Precision::F32,
        bytes: ADAM_BYTES * parameters as f64,
    }
}
