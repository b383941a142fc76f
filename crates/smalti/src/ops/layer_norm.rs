//! Layer normalisation over the last axis.

use super::{cpu::NormalizationOps, on_cpu};
use burn::backend::Dispatch;
use burn::tensor::Tensor;

/// PyTorch's default, used by the authors' GPT.
const EPSILON: f32 = 1e-5;

/// Normalises every vector of `input` `[b, t, c]`, then scales by `gamma` and shifts by `beta` (`[c]`). Epsilon 1e-5.
pub fn layer_norm(input: Tensor<3>, gamma: Tensor<1>, beta: Tensor<1>) -> Tensor<3> {
    if !on_cpu(&input) {
        return composed(input, gamma, beta);
    }
    Tensor::from_dispatch(Dispatch::smalti_layer_norm(
        input.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        EPSILON,
    ))
}

pub(super) fn composed(input: Tensor<3>, gamma: Tensor<1>, beta: Tensor<1>) -> Tensor<3> {
    let channels = input.dims()[2];
    let (variance, mean) = input.clone().var_mean_bias(2);
    (input - mean) / (variance + EPSILON).sqrt() * gamma.reshape([1, 1, channels])
        + beta.reshape([1, 1, channels])
}
