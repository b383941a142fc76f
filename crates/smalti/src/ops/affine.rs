//! What is left of a normalisation whose statistics are known beforehand: a factor and an offset for every channel.

use super::Activation;
use super::activation::activate;
use burn::tensor::Tensor;

/// A factor and an offset for every channel, each `[c]`.
#[derive(Debug, Clone)]
pub struct Affine {
    pub scale: Tensor<1>,
    pub shift: Tensor<1>,
}

/// Scales and shifts every channel of `[b, h, w, c]`, then applies `activation`.
pub fn affine(input: Tensor<4>, affine: Affine, activation: Activation) -> Tensor<4> {
    let channels = input.dims()[3];
    let dtype = input.dtype();
    let every = |values: Tensor<1>| values.cast(dtype).reshape([1, 1, 1, channels]);
    activate(
        input * every(affine.scale) + every(affine.shift),
        activation,
    )
}
