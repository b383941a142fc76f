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

/// ELU, `x` above 0 and `eˣ − 1` below.
pub fn elu<const D: usize>(input: Tensor<D>) -> Tensor<D> {
    // Exponentials of large numbers would be infinite, and their gradients no numbers.
    let below = input.clone().clamp_max(0.0).exp() - 1.0;
    below + relu(input)
}

/// The first half of the channels times the sigmoid of the second, `[b, h, w, 2c]` to `[b, h, w, c]`.
pub fn gated(input: Tensor<4>) -> Tensor<4> {
    let [batch, height, width, channels] = input.dims();
    let half = |from: usize| [0..batch, 0..height, 0..width, from..from + channels / 2];
    let gate = activation::sigmoid(input.clone().slice(half(channels / 2)));
    input.slice(half(0)) * gate
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
