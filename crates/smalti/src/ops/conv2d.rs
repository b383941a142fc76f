//! Two-dimensional convolution, channels last, with padding given per side.

use super::activation::activate;
use super::cpu::{ConvolutionOps, ConvolutionSpec, Reading};
use super::{Activation, Affine, GroupNormalization, affine, group_norm, on_cpu, upsample_nearest};
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

/// The parameters of a convolution: `weight` `[out, in, kernel height, kernel width]` (checkpoint layout), `bias`
/// `[out]`.
#[derive(Debug, Clone)]
pub struct Filter {
    pub weight: Tensor<4>,
    pub bias: Option<Tensor<1>>,
}

/// A group normalisation with its parameters, each `[in]`.
#[derive(Debug, Clone)]
pub struct Normalized {
    pub gamma: Tensor<1>,
    pub beta: Tensor<1>,
    pub normalization: GroupNormalization,
}

/// Convolves `input` `[b, h, w, in]` to `[b, h', w', out]`, adds `residual` if there is one, and applies `activation`.
pub fn conv2d(
    input: Tensor<4>,
    filter: Filter,
    residual: Option<Tensor<4>>,
    convolution: Convolution,
    activation: Activation,
) -> Tensor<4> {
    if !on_cpu(&input) {
        return composed(input, filter, residual, convolution, activation);
    }
    let spec = ConvolutionSpec {
        activation,
        ..plain(convolution)
    };
    run(input, filter, None, residual, spec)
}

/// Normalises `input` `[b, h, w, in]`, convolves it to `[b, h', w', out]` and adds `residual` if there is one. The
/// normalised input is never stored.
pub fn normalized_conv2d(
    input: Tensor<4>,
    normalized: Normalized,
    filter: Filter,
    residual: Option<Tensor<4>>,
    convolution: Convolution,
) -> Tensor<4> {
    if !on_cpu(&input) {
        return composed_normalized(input, normalized, filter, residual, convolution);
    }
    let spec = ConvolutionSpec {
        reading: Reading::Normalized(normalized.normalization),
        ..plain(convolution)
    };
    let parameters = [normalized.gamma, normalized.beta];
    run(input, filter, Some(parameters), residual, spec)
}

/// Scales and shifts every channel of `input` `[b, h, w, in]`, applies `activation`, convolves the outcome to
/// `[b, h', w', out]` and adds `residual` if there is one. For inference: with autodiff nothing is gained.
pub fn affine_conv2d(
    input: Tensor<4>,
    before: (Affine, Activation),
    filter: Filter,
    residual: Option<Tensor<4>>,
    convolution: Convolution,
) -> Tensor<4> {
    let (scaling, activation) = before;
    if !on_cpu(&input) || input.is_autodiff() {
        let input = affine(input, scaling, activation);
        return composed(input, filter, residual, convolution, Activation::None);
    }
    let spec = ConvolutionSpec {
        reading: Reading::Scaled(activation),
        ..plain(convolution)
    };
    let parameters = [scaling.scale, scaling.shift];
    run(input, filter, Some(parameters), residual, spec)
}

/// Doubles height and width by repeating every pixel, then convolves with a 3×3 kernel, padding 1: `[b, h, w, in]` to
/// `[b, 2h, 2w, out]`. The doubled picture is never made.
pub fn upsampled_conv2d(input: Tensor<4>, filter: Filter) -> Tensor<4> {
    if !on_cpu(&input) {
        return composed_upsampled(input, filter);
    }
    let spec = ConvolutionSpec {
        doubled: true,
        ..plain(Convolution::padded(1))
    };
    run(input, filter, None, None, spec)
}

fn plain(convolution: Convolution) -> ConvolutionSpec {
    ConvolutionSpec {
        convolution,
        doubled: false,
        reading: Reading::Plain,
        residual: false,
        activation: Activation::None,
    }
}

fn run(
    input: Tensor<4>,
    filter: Filter,
    parameters: Option<[Tensor<1>; 2]>,
    residual: Option<Tensor<4>>,
    spec: ConvolutionSpec,
) -> Tensor<4> {
    let outputs = filter.weight.dims()[0];
    let bias = filter.bias.unwrap_or_else(|| zeros(&input, outputs));
    let spec = ConvolutionSpec {
        residual: residual.is_some(),
        ..spec
    };
    let [gamma, beta] = parameters.unwrap_or_else(|| [placeholder(&input), placeholder(&input)]);
    let residual = match residual {
        Some(residual) => residual.into_dispatch(),
        None => placeholder(&input).into_dispatch(),
    };
    Tensor::from_dispatch(Dispatch::smalti_convolution(
        input.into_dispatch(),
        filter.weight.into_dispatch(),
        bias.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        residual,
        spec,
    ))
}

/// A tensor for a place that an operation has no use for.
pub(super) fn placeholder<const D: usize>(beside: &Tensor<D>) -> Tensor<1> {
    zeros(beside, 0)
}

/// Zeros that take part in a graph only if what they stand beside does.
fn zeros<const D: usize>(beside: &Tensor<D>, count: usize) -> Tensor<1> {
    let zeros = Tensor::zeros([count], &beside.device().inner());
    match beside.is_autodiff() {
        true => Tensor::from_inner(zeros),
        false => zeros,
    }
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
    Tensor::from_dispatch(Dispatch::smalti_convolution_weight_gradient(
        input.into_dispatch(),
        weight.into_dispatch(),
        gradient.into_dispatch(),
        convolution,
    ))
}

/// Puts zeros around pictures `[b, h, w, c]`.
pub fn pad(input: Tensor<4>, padding: Padding) -> Tensor<4> {
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
    filter: Filter,
    residual: Option<Tensor<4>>,
    convolution: Convolution,
    activation: Activation,
) -> Tensor<4> {
    let stride = [convolution.stride; 2];
    let options = ConvOptions::new(stride, [0, 0], [1, 1], 1);
    let weight = filter.weight.cast(input.dtype());
    let bias = filter.bias.map(|bias| bias.cast(input.dtype()));
    let input = pad(input, convolution.padding).permute([0, 3, 1, 2]);
    let output = module::conv2d(input, weight, bias, options).permute([0, 2, 3, 1]);
    let output = match residual {
        Some(residual) => output + residual,
        None => output,
    };
    activate(output, activation)
}

pub(super) fn composed_normalized(
    input: Tensor<4>,
    normalized: Normalized,
    filter: Filter,
    residual: Option<Tensor<4>>,
    convolution: Convolution,
) -> Tensor<4> {
    let Normalized {
        gamma,
        beta,
        normalization,
    } = normalized;
    let input = group_norm::composed(input, gamma, beta, normalization);
    composed(input, filter, residual, convolution, Activation::None)
}

pub(super) fn composed_upsampled(input: Tensor<4>, filter: Filter) -> Tensor<4> {
    let doubled = upsample_nearest(input);
    composed(
        doubled,
        filter,
        None,
        Convolution::padded(1),
        Activation::None,
    )
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
