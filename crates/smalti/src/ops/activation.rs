//! Pointwise activations.

use super::{Activation, cpu::LinearOps, on_cpu};
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

/// ReLU, of the hinge loss.
pub fn relu<const D: usize>(input: Tensor<D>) -> Tensor<D> {
    activation::relu(input)
}

/// The activation of a convolution or normalisation, composed.
pub(super) fn activate<const D: usize>(input: Tensor<D>, activation: Activation) -> Tensor<D> {
    match activation {
        Activation::None => input,
        Activation::Silu => silu(input),
        Activation::Relu => relu(input),
        Activation::LeakyRelu => activation::leaky_relu(input, 0.2),
        Activation::Relu6 => input.clamp(0.0, 6.0),
    }
}
