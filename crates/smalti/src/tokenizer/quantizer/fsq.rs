//! Finite scalar quantisation: every dimension is squeezed into a range and rounded, and the code is the number that
//! the rounded values spell (Mentzer et al., "Finite Scalar Quantization: VQ-VAE Made Simple", appendix A.1).

use super::digits::{Digits, row};
use super::{Quantized, QuantizerStep};
use crate::tokenizer::config::TokenizerConfig;
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};

/// How far the ends of the range stay away from the last half step, so that no value is rounded past the last level.
const EPSILON: f64 = 1e-3;

/// Rounding with straight-through gradients. It has no parameters, and no loss.
#[derive(Module, Debug)]
pub struct FsqQuantizer {
    #[module(skip)]
    digits: Digits,
}

impl FsqQuantizer {
    /// The first of `fsq_levels` is the lowest digit of the code.
    pub fn new(config: &TokenizerConfig) -> Self {
        Self {
            digits: Digits::lowest_first(config.fsq_levels.clone()),
        }
    }

    /// Quantises `[b, h, w, embed_dim]`; the latent lies in [-1, 1].
    pub fn forward(&self, vectors: Tensor<4>, step: Option<&QuantizerStep>) -> Quantized {
        let device = vectors.device();
        let half_width = self.per_dimension(half_width, &device);
        let bounded = self.bound(vectors);
        let rounded = bounded.clone().detach().round();
        let codes = self.digits.join(rounded.clone() + half_width.clone());
        if step.is_some_and(|step| step.bypass) {
            return Quantized::unquantized(bounded / half_width, codes, Vec::new());
        }
        // In this order the value is the rounded one to the last bit.
        let passed = rounded + (bounded.clone() - bounded.detach());
        Quantized {
            latent: passed / half_width,
            loss: Tensor::zeros([1], &device),
            codes,
            searches: Vec::new(),
        }
    }

    /// The latents of `codes` `[b, h, w]`, `[b, h, w, embed_dim]`.
    pub fn lookup(&self, codes: Tensor<3, Int>) -> Tensor<4> {
        let digits = self.digits.split(codes);
        let half_width = self.per_dimension(half_width, &digits.device());
        (digits - half_width.clone()) / half_width
    }

    /// Vectors squeezed into the range whose whole numbers are the levels.
    fn bound(&self, vectors: Tensor<4>) -> Tensor<4> {
        let device = vectors.device();
        let [half_range, offset, shift] =
            [half_range, offset, shift].map(|value| self.per_dimension(value, &device));
        (vectors + shift).tanh() * half_range - offset
    }

    fn per_dimension(&self, value: fn(usize) -> f64, device: &Device) -> Tensor<4> {
        let levels = self.digits.levels.iter();
        let values: Vec<f32> = levels.map(|&level| value(level) as f32).collect();
        row(&values, device)
    }
}

/// Half of the range that `levels` values are rounded from.
fn half_range(levels: usize) -> f64 {
    (levels - 1) as f64 * (1.0 - EPSILON) / 2.0
}

/// An even number of levels lies half a step below 0.
fn offset(levels: usize) -> f64 {
    if levels.is_multiple_of(2) { 0.5 } else { 0.0 }
}

/// What is added so that 0 stays near 0 in spite of the offset; a tangent, as the authors have it.
fn shift(levels: usize) -> f64 {
    (offset(levels) / half_range(levels)).tan()
}

/// The level that becomes −1, counted from 0.
fn half_width(levels: usize) -> f64 {
    (levels / 2) as f64
}
