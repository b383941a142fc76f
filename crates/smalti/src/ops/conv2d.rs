//! Two-dimensional convolution, channels last, with padding given per side.

use super::{extension::CpuOps, on_cpu};
use burn::backend::Dispatch;
use burn::tensor::{Tensor, module, ops::ConvOptions};

/// Zero padding of each side, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Padding {
    pub top: usize,
    pub bottom: usize,
    pub left: usize,
    pub right: usize,
}

impl Padding {
    /// The same padding on every side.
    pub const fn all(size: usize) -> Self {
        Self {
            top: size,
            bottom: size,
            left: size,
            right: size,
        }
    }

    /// Padding below and to the right only, as the VQGAN's downsampling has it.
    pub const fn end(size: usize) -> Self {
        Self {
            top: 0,
            bottom: size,
            left: 0,
            right: size,
        }
    }
}

/// How a convolution moves over its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Convolution {
    pub stride: usize,
    pub padding: Padding,
}

impl Convolution {
    /// Stride 1 with the same padding on every side.
    pub const fn padded(padding: usize) -> Self {
        Self {
            stride: 1,
            padding: Padding::all(padding),
        }
    }
}

/// Convolves `input` `[b, h, w, in]` with `weight` `[out, in, kernel, kernel]` (checkpoint layout) to `[b, h', w', out]`.
pub fn conv2d(
    input: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    convolution: Convolution,
) -> Tensor<4> {
    if !on_cpu(&input) {
        return composed(input, weight, bias, convolution);
    }
    let bias = bias.unwrap_or_else(|| {
        let device = input.device().inner();
        Tensor::from_inner(Tensor::zeros([weight.dims()[0]], &device))
    });
    Tensor::from_dispatch(Dispatch::smalti_conv2d(
        input.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        convolution,
    ))
}

/// The gradient of a convolution's weight, given the gradient of its output; what the adaptive weight λ of the
/// adversarial loss is made of. Tensors without autodiff.
pub fn conv2d_weight_gradient(
    input: Tensor<4>,
    weight: Tensor<4>,
    gradient: Tensor<4>,
    convolution: Convolution,
) -> Tensor<4> {
    if !on_cpu(&input) {
        return composed_weight_gradient(input, weight, gradient, convolution);
    }
    Tensor::from_dispatch(Dispatch::smalti_conv2d_weight_gradient(
        input.into_dispatch(),
        weight.into_dispatch(),
        gradient.into_dispatch(),
        convolution,
    ))
}

fn pad(input: Tensor<4>, padding: Padding) -> Tensor<4> {
    if padding == Padding::default() {
        return input;
    }
    let [batch, height, width, channels] = input.dims();
    let (bottom, right) = (padding.top + height, padding.left + width);
    let zeros = Tensor::zeros(
        [
            batch,
            bottom + padding.bottom,
            right + padding.right,
            channels,
        ],
        (&input.device(), input.dtype()),
    );
    zeros.slice_assign(
        [
            0..batch,
            padding.top..bottom,
            padding.left..right,
            0..channels,
        ],
        input,
    )
}

pub(super) fn composed(
    input: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    convolution: Convolution,
) -> Tensor<4> {
    let stride = [convolution.stride; 2];
    let options = ConvOptions::new(stride, [0, 0], [1, 1], 1);
    let input = pad(input, convolution.padding).permute([0, 3, 1, 2]);
    module::conv2d(input, weight, bias, options).permute([0, 2, 3, 1])
}

fn composed_weight_gradient(
    input: Tensor<4>,
    weight: Tensor<4>,
    gradient: Tensor<4>,
    convolution: Convolution,
) -> Tensor<4> {
    let options = ConvOptions::new([convolution.stride; 2], [0, 0], [1, 1], 1);
    let input = pad(input, convolution.padding).permute([0, 3, 1, 2]);
    module::conv2d_weight_backward(input, weight, gradient.permute([0, 3, 1, 2]), options)
}
