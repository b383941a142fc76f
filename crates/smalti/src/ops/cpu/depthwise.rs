//! Depthwise convolution, without a backward pass.

use super::super::conv2d::Convolution;
use super::values::{Value, Values, by_type, dims, tensor, unset};
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn_flex::FlexTensor;
use smalti_kernels::activation::Activation;
use smalti_kernels::depthwise::{self, DepthwiseShape};

#[backend_extension(Flex, Autodiff)]
pub trait DepthwiseOps: Backend {
    fn smalti_depthwise(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        convolution: Convolution,
        activation: Activation,
    ) -> FloatTensor<Self>;
}

impl DepthwiseOps for Flex {
    fn smalti_depthwise(
        input: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        convolution: Convolution,
        activation: Activation,
    ) -> FlexTensor {
        let shape = depthwise_shape(&input, &weight, convolution);
        by_type!(input, forward(&shape, [&input, &weight, &bias], activation))
    }
}

impl<B: DepthwiseOps, C: CheckpointStrategy> DepthwiseOps for Autodiff<B, C> {
    fn smalti_depthwise(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Convolution,
        _: Activation,
    ) -> FloatTensor<Self> {
        unreachable!("tensors with autodiff take the composed way")
    }
}

fn depthwise_shape(
    input: &FlexTensor,
    weight: &FlexTensor,
    convolution: Convolution,
) -> DepthwiseShape {
    let [batch, height, width, channels] = dims(input);
    let [_, _, kernel_height, kernel_width] = dims(weight);
    let padding = convolution.padding;
    DepthwiseShape {
        batch,
        height,
        width,
        channels,
        kernel: [kernel_height, kernel_width],
        stride: convolution.stride,
        padding: [padding.top, padding.bottom, padding.left, padding.right],
    }
}

fn forward<E: Value>(
    shape: &DepthwiseShape,
    operands: [&FlexTensor; 3],
    activation: Activation,
) -> FlexTensor {
    let (height, width) = shape.output();
    let [input, weight, bias] = operands.map(Values::of);
    let mut output = unset::<E>(shape.output_len());
    depthwise::forward(
        shape,
        input.of_type(),
        weight.slice(),
        bias.slice(),
        activation,
        &mut output,
    );
    tensor(output, [shape.batch, height, width, shape.channels])
}
