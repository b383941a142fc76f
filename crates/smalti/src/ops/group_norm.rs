//! Group normalisation, alone or followed by an activation, channels last.

use super::cpu::NormalizationOps;
use super::{Activation, activation::activate, on_cpu};
use burn::backend::Dispatch;
use burn::tensor::Tensor;

/// The VQGAN's group normalisation: 32 groups, epsilon 1e-6 (taming/modules/diffusionmodules/model.py, `Normalize`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupNormalization {
    pub groups: usize,
    pub epsilon: f32,
    /// What follows.
    pub activation: Activation,
}

/// Normalises each group of channels of each picture `[b, h, w, c]` to mean 0 and variance 1, then scales and shifts
/// every channel by `gamma` and `beta` (`[c]`).
pub fn group_norm(
    input: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    normalization: GroupNormalization,
) -> Tensor<4> {
    if !on_cpu(&input) {
        return composed(input, gamma, beta, normalization);
    }
    Tensor::from_dispatch(Dispatch::smalti_group_norm(
        input.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        normalization,
    ))
}

pub(super) fn composed(
    input: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    normalization: GroupNormalization,
) -> Tensor<4> {
    let [batch, height, width, channels] = input.dims();
    let groups = normalization.groups;
    let size = channels / groups;
    let grouped = input
        .reshape([batch, height * width, groups, size])
        .swap_dims(1, 2)
        .reshape([batch, groups, height * width * size]);
    let (variance, mean) = grouped.clone().var_mean_bias(2);
    let normalized = (grouped - mean) / (variance + normalization.epsilon).sqrt();
    let output = normalized
        .reshape([batch, groups, height * width, size])
        .swap_dims(1, 2)
        .reshape([batch, height, width, channels])
        * gamma.reshape([1, 1, 1, channels])
        + beta.reshape([1, 1, 1, channels]);
    activate(output, normalization.activation)
}
