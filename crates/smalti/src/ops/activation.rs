//! Pointwise activations.

use super::{extension::CpuOps, on_cpu};
use burn::backend::Dispatch;
use burn::tensor::{Tensor, activation};

/// SiLU (swish), `x · sigmoid(x)`: the only nonlinearity of the VQGAN's encoder and decoder.
pub fn silu<const D: usize>(input: Tensor<D>) -> Tensor<D> {
    activation::silu(input)
}

/// The exact GELU, `x · Φ(x)` by the error function, as in the transformer's MLP.
pub fn gelu<const D: usize>(input: Tensor<D>) -> Tensor<D> {
    if !on_cpu(&input) {
        return composed_gelu(input);
    }
    Tensor::from_dispatch(Dispatch::smalti_gelu(input.into_dispatch()))
}

pub(super) fn composed_gelu<const D: usize>(input: Tensor<D>) -> Tensor<D> {
    activation::gelu(input)
}

/// ReLU, of the perceptual networks.
pub fn relu<const D: usize>(input: Tensor<D>) -> Tensor<D> {
    activation::relu(input)
}

/// Leaky ReLU with slope 0.2 below zero, of the discriminator.
pub fn leaky_relu<const D: usize>(input: Tensor<D>) -> Tensor<D> {
    activation::leaky_relu(input, 0.2)
}
