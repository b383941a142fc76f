//! Depthwise convolution: every channel by itself, as the MobileNets and their kin have it.

use super::activation::activate;
use super::conv2d::pad;
use super::cpu::DepthwiseOps;
use super::{Activation, Convolution, Filter, on_cpu};
use burn::backend::Dispatch;
use burn::tensor::{Tensor, module, ops::ConvOptions};

/// Convolves every channel of `input` `[b, h, w, c]` with its own kernel, `weight` `[c, 1, kernel height, kernel
/// width]`, to `[b, h', w', c]`, and applies `activation`. Made for inference: with autodiff it is composed.
pub fn depthwise_conv2d(
    input: Tensor<4>,
    filter: Filter,
    convolution: Convolution,
    activation: Activation,
) -> Tensor<4> {
    if !on_cpu(&input) || input.is_autodiff() {
        return composed(input, filter, convolution, activation);
    }
    let channels = filter.weight.dims()[0];
    let bias = filter
        .bias
        .unwrap_or_else(|| Tensor::zeros([channels], &input.device()));
    Tensor::from_dispatch(Dispatch::smalti_depthwise(
        input.into_dispatch(),
        filter.weight.into_dispatch(),
        bias.into_dispatch(),
        convolution,
        activation,
    ))
}

pub(super) fn composed(
    input: Tensor<4>,
    filter: Filter,
    convolution: Convolution,
    activation: Activation,
) -> Tensor<4> {
    let channels = filter.weight.dims()[0];
    let options = ConvOptions::new([convolution.stride; 2], [0, 0], [1, 1], channels);
    let weight = filter.weight.cast(input.dtype());
    let bias = filter.bias.map(|bias| bias.cast(input.dtype()));
    let input = pad(input, convolution.padding).permute([0, 3, 1, 2]);
    let output = module::conv2d(input, weight, bias, options).permute([0, 2, 3, 1]);
    activate(output, activation)
}
