//! Convolution as one operation: normalisation of what it reads, upsampling, bias, residual and activation included.
//! Nothing between is kept; the backward pass normalises again. Weights that are used again stay packed ([`with_panels`]).

use super::super::conv2d::Convolution;
use super::super::group_norm::GroupNormalization;
use super::normalization::{group_norm_layer, group_norm_shape};
use super::panels::with_panels;
use super::values::{Value, Values, by_type, dims, tensor, tensor_like, unset};
use super::{Differentiate, record};
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn_flex::FlexTensor;
use smalti_kernels::activation::{self, Activation};
use smalti_kernels::conv2d::upsampled::{self, UpsampledShape};
use smalti_kernels::conv2d::{self, ConvShape, Epilogue, Normalization, Source};
use smalti_kernels::group_norm;

/// What is done to the values that a convolution reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reading {
    Plain,
    /// They are normalised by the statistics of their groups, and by `gamma` and `beta`.
    Normalized(GroupNormalization),
    /// They are scaled by `gamma`, shifted by `beta` and activated. Without autodiff only.
    Scaled(Activation),
}

/// What a convolution does besides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConvolutionSpec {
    pub convolution: Convolution,
    /// Reads every pixel as 2×2 pixels; the kernel is 3×3, stride and padding 1.
    pub doubled: bool,
    pub reading: Reading,
    /// Adds `residual` to its output.
    pub residual: bool,
    pub activation: Activation,
}

/// The tensors of a convolution. Those it has no use for are placeholders.
#[derive(Debug, Clone)]
pub struct Operands<T> {
    input: T,
    weight: T,
    bias: T,
    gamma: T,
    beta: T,
    residual: T,
}

impl<T> Operands<T> {
    fn map<U>(self, function: impl Fn(T) -> U) -> Operands<U> {
        Operands {
            input: function(self.input),
            weight: function(self.weight),
            bias: function(self.bias),
            gamma: function(self.gamma),
            beta: function(self.beta),
            residual: function(self.residual),
        }
    }

    fn each_ref(&self) -> Operands<&T> {
        Operands {
            input: &self.input,
            weight: &self.weight,
            bias: &self.bias,
            gamma: &self.gamma,
            beta: &self.beta,
            residual: &self.residual,
        }
    }
}

/// What the backward pass needs: operands (`residual` is the output), mean and reciprocal deviation.
type Saved<B> = (
    Operands<FloatTensor<B>>,
    [FloatTensor<B>; 2],
    ConvolutionSpec,
);

pub trait ConvolutionKernels: Backend {
    /// Output, and mean and reciprocal deviation of the groups of the input.
    fn convolve(
        operands: Operands<&FloatTensor<Self>>,
        spec: &ConvolutionSpec,
    ) -> (FloatTensor<Self>, [FloatTensor<Self>; 2]);

    /// The wanted gradients, in the order of the operands.
    fn convolve_backward(
        saved: &Saved<Self>,
        gradient: FloatTensor<Self>,
        wanted: [bool; 6],
    ) -> [Option<FloatTensor<Self>>; 6];
}

#[backend_extension(Flex, Autodiff)]
pub trait ConvolutionOps: Backend {
    fn smalti_convolution(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        spec: ConvolutionSpec,
    ) -> FloatTensor<Self>;

    fn smalti_convolution_weight_gradient(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        convolution: Convolution,
    ) -> FloatTensor<Self>;
}

impl ConvolutionOps for Flex {
    fn smalti_convolution(
        input: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        residual: FlexTensor,
        spec: ConvolutionSpec,
    ) -> FlexTensor {
        let operands = Operands {
            input,
            weight,
            bias,
            gamma,
            beta,
            residual,
        };
        Self::convolve(operands.each_ref(), &spec).0
    }

    fn smalti_convolution_weight_gradient(
        input: FlexTensor,
        weight: FlexTensor,
        gradient: FlexTensor,
        convolution: Convolution,
    ) -> FlexTensor {
        let shape = conv_shape(&input, &weight, convolution);
        by_type!(
            input,
            plain_weight_gradient(&shape, &input, &weight, &gradient)
        )
    }
}

#[derive(Debug)]
struct ConvolutionBackward;

impl<B: ConvolutionKernels> Differentiate<B, 6> for ConvolutionBackward {
    type Saved = Saved<B>;

    fn gradients(
        saved: Saved<B>,
        gradient: FloatTensor<B>,
        wanted: [bool; 6],
    ) -> [Option<FloatTensor<B>>; 6] {
        B::convolve_backward(&saved, gradient, wanted)
    }
}

impl<B: ConvolutionOps + ConvolutionKernels, C: CheckpointStrategy> ConvolutionOps
    for Autodiff<B, C>
{
    fn smalti_convolution(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        spec: ConvolutionSpec,
    ) -> FloatTensor<Self> {
        let operands = Operands {
            input: input.primitive(),
            weight: weight.primitive(),
            bias: bias.primitive(),
            gamma: gamma.primitive(),
            beta: beta.primitive(),
            residual: residual.primitive(),
        };
        let (output, statistics) = B::convolve(operands.clone(), &spec);
        let nodes = [&input, &weight, &bias, &gamma, &beta, &residual].map(|tensor| tensor.node());
        let kept = output.clone();
        record::<B, C, ConvolutionBackward, 6>(nodes, output, || {
            let mut saved = operands.map(Clone::clone);
            // An output is kept for what it tells of the slope; otherwise any small tensor will do.
            saved.residual = if spec.activation == Activation::None {
                saved.bias.clone()
            } else {
                kept
            };
            (saved, statistics, spec)
        })
    }

    fn smalti_convolution_weight_gradient(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Convolution,
    ) -> FloatTensor<Self> {
        unreachable!("weight gradients are taken of tensors without autodiff")
    }
}

impl ConvolutionKernels for Flex {
    fn convolve(
        operands: Operands<&FlexTensor>,
        spec: &ConvolutionSpec,
    ) -> (FlexTensor, [FlexTensor; 2]) {
        by_type!(operands.input, forward(&operands, spec))
    }

    fn convolve_backward(
        saved: &Saved<Self>,
        gradient: FlexTensor,
        wanted: [bool; 6],
    ) -> [Option<FlexTensor>; 6] {
        by_type!(saved.0.input, backward(saved, gradient, wanted))
    }
}

/// Sizes of either kind.
enum Geometry {
    Plain(ConvShape),
    Doubled(UpsampledShape),
}

impl Geometry {
    fn of(input: &FlexTensor, weight: &FlexTensor, spec: &ConvolutionSpec) -> Self {
        let [batch, height, width, in_channels] = dims(input);
        let [out_channels, ..] = dims::<4>(weight);
        if spec.doubled {
            return Geometry::Doubled(UpsampledShape {
                batch,
                height,
                width,
                in_channels,
                out_channels,
            });
        }
        Geometry::Plain(conv_shape(input, weight, spec.convolution))
    }

    /// The convolution whose output it is.
    fn outer(&self) -> ConvShape {
        match self {
            Geometry::Plain(shape) => *shape,
            Geometry::Doubled(shape) => shape.doubled(),
        }
    }
}

fn conv_shape(input: &FlexTensor, weight: &FlexTensor, convolution: Convolution) -> ConvShape {
    let [batch, height, width, in_channels] = dims(input);
    let [out_channels, _, kernel_height, kernel_width] = dims(weight);
    let padding = convolution.padding;
    ConvShape {
        batch,
        height,
        width,
        in_channels,
        out_channels,
        kernel: [kernel_height, kernel_width],
        stride: [convolution.stride; 2],
        padding: [padding.top, padding.bottom, padding.left, padding.right],
    }
}

fn forward<E: Value>(
    operands: &Operands<&FlexTensor>,
    spec: &ConvolutionSpec,
) -> (FlexTensor, [FlexTensor; 2]) {
    let geometry = Geometry::of(operands.input, operands.weight, spec);
    let outer = geometry.outer();
    let (height, width) = outer.output();
    let input = Values::of(operands.input);
    let statistics = statistics::<E>(operands, &input, spec);
    let coefficients = coefficients(operands, &statistics, spec);
    let bias = Values::of(operands.bias);
    let residual = spec.residual.then(|| Values::of(operands.residual));
    let source = source::<E>(&input, &coefficients, spec);
    let epilogue = Epilogue {
        bias: Some(bias.slice()),
        residual: residual.as_ref().map(Values::of_type),
        activation: spec.activation,
    };
    let mut output = unset::<E>(outer.output_len());
    match &geometry {
        Geometry::Plain(shape) => {
            with_panels::<E, _>(operands.weight, &shape.forward_form(), |filter| {
                conv2d::forward_packed(shape, source, filter, &epilogue, &mut output);
            });
        }
        Geometry::Doubled(shape) => {
            with_panels::<E, _>(operands.weight, &shape.forward_form(), |filter| {
                upsampled::forward_packed(shape, source, filter, &epilogue, &mut output);
            });
        }
    }
    let output = tensor(output, [outer.batch, height, width, outer.out_channels]);
    (output, statistics)
}

/// Mean and reciprocal deviation of the groups of the input, if it is normalised.
fn statistics<E: Value>(
    operands: &Operands<&FlexTensor>,
    input: &Values,
    spec: &ConvolutionSpec,
) -> [FlexTensor; 2] {
    let Reading::Normalized(normalization) = spec.reading else {
        return [operands.bias.clone(), operands.bias.clone()];
    };
    let shape = group_norm_shape(operands.input, normalization.groups);
    let (gamma, beta) = (Values::of(operands.gamma), Values::of(operands.beta));
    let layer = group_norm_layer(shape, &gamma, &beta, normalization);
    let count = shape.batch * shape.groups;
    let (mut mean, mut rstd) = (unset(count), unset(count));
    group_norm::statistics(&layer, input.of_type::<E>(), &mut mean, &mut rstd);
    [tensor(mean, [count]), tensor(rstd, [count])]
}

/// What is done to every channel of every picture: mean, factor and offset. Empty if nothing is.
fn coefficients(
    operands: &Operands<&FlexTensor>,
    statistics: &[FlexTensor; 2],
    spec: &ConvolutionSpec,
) -> Vec<f32> {
    let (gamma, beta) = (Values::of(operands.gamma), Values::of(operands.beta));
    let normalization = match spec.reading {
        Reading::Plain => return Vec::new(),
        Reading::Scaled(_) => {
            let [batch, _, _, channels] = dims(operands.input);
            let means = vec![0.0; channels];
            let picture = [means.as_slice(), gamma.slice(), beta.slice()].concat();
            return picture.repeat(batch);
        }
        Reading::Normalized(normalization) => normalization,
    };
    let shape = group_norm_shape(operands.input, normalization.groups);
    let [mean, rstd] = statistics.each_ref().map(Values::of);
    let statistics = group_norm::Statistics {
        mean: mean.slice(),
        rstd: rstd.slice(),
    };
    group_norm::coefficients(
        &group_norm_layer(shape, &gamma, &beta, normalization),
        statistics,
    )
}

fn source<'a, E: Value>(
    input: &'a Values,
    coefficients: &'a [f32],
    spec: &ConvolutionSpec,
) -> Source<'a, E> {
    let activation = match spec.reading {
        Reading::Plain => None,
        Reading::Normalized(normalization) => Some(normalization.activation),
        Reading::Scaled(activation) => Some(activation),
    };
    Source {
        values: input.of_type(),
        normalization: activation.map(|activation| Normalization {
            coefficients,
            activation,
        }),
    }
}

fn backward<E: Value>(
    saved: &Saved<Flex>,
    gradient: FlexTensor,
    wanted: [bool; 6],
) -> [Option<FlexTensor>; 6] {
    let (operands, statistics, spec) = saved;
    let gradient = before_activation::<E>(&operands.residual, gradient, spec.activation);
    let [to_input, to_weight, to_bias, to_gamma, to_beta, to_residual] = wanted;
    let geometry = Geometry::of(&operands.input, &operands.weight, spec);
    let values = Values::of(&gradient);
    let weight = to_weight.then(|| weight_gradient::<E>(saved, &geometry, &values));
    let bias = to_bias.then(|| {
        let mut sums = unset(geometry.outer().out_channels);
        conv2d::backward_bias(&geometry.outer(), values.of_type::<E>(), &mut sums);
        tensor(sums, [geometry.outer().out_channels])
    });
    let (mut input, mut gamma, mut beta) = (None, None, None);
    if to_input || to_gamma || to_beta {
        let read = input_gradient::<E>(operands, &geometry, &values);
        match spec.reading {
            Reading::Plain => input = Some(read),
            Reading::Scaled(_) => unreachable!("tensors with autodiff take the composed way"),
            Reading::Normalized(normalization) => {
                let [a, b, c] = super::normalization::group_norm_gradients::<E>(
                    [&operands.input, &operands.gamma, &operands.beta],
                    statistics,
                    &read,
                    normalization,
                );
                (input, gamma, beta) = (Some(a), Some(b), Some(c));
            }
        }
    }
    [
        input,
        weight,
        bias,
        gamma,
        beta,
        to_residual.then_some(gradient),
    ]
}

/// The gradient of the sums from that of the output.
fn before_activation<E: Value>(
    output: &FlexTensor,
    gradient: FlexTensor,
    activation: Activation,
) -> FlexTensor {
    if activation == Activation::None {
        return gradient;
    }
    let (output, values) = (Values::of(output), Values::of(&gradient));
    let mut result = unset::<E>(values.of_type::<E>().len());
    activation::backward(
        activation,
        output.of_type::<E>(),
        values.of_type::<E>(),
        &mut result,
    );
    tensor_like(result, &gradient)
}

fn weight_gradient<E: Value>(
    (operands, statistics, spec): &Saved<Flex>,
    geometry: &Geometry,
    gradient: &Values,
) -> FlexTensor {
    let coefficients = coefficients(&operands.each_ref(), statistics, spec);
    let input = Values::of(&operands.input);
    let source = source::<E>(&input, &coefficients, spec);
    let mut result = unset(geometry.outer().weight_len());
    match geometry {
        Geometry::Plain(shape) => {
            conv2d::backward_weight(shape, source, gradient.of_type(), &mut result);
        }
        Geometry::Doubled(shape) => {
            upsampled::backward_weight(shape, source, gradient.of_type(), &mut result);
        }
    }
    tensor_like(result, &operands.weight)
}

/// The gradient of what the taps read: of the input, after its normalisation if it has one.
fn input_gradient<E: Value>(
    operands: &Operands<FlexTensor>,
    geometry: &Geometry,
    gradient: &Values,
) -> FlexTensor {
    let (weight, gradient) = (&operands.weight, gradient.of_type::<E>());
    let mut result = unset::<E>(dims::<4>(&operands.input).iter().product());
    match geometry {
        Geometry::Plain(shape) => {
            with_panels::<E, _>(weight, &shape.backward_input_form(), |filter| {
                conv2d::backward_input_packed(shape, gradient, filter, &mut result);
            });
        }
        Geometry::Doubled(shape) => {
            with_panels::<E, _>(weight, &shape.backward_input_form(), |filter| {
                upsampled::backward_input_packed(shape, gradient, filter, &mut result);
            });
        }
    }
    tensor_like(result, &operands.input)
}

fn plain_weight_gradient<E: Value>(
    shape: &ConvShape,
    input: &FlexTensor,
    weight: &FlexTensor,
    gradient: &FlexTensor,
) -> FlexTensor {
    let (input, gradient) = (Values::of(input), Values::of(gradient));
    let mut result = unset(shape.weight_len());
    let source = Source::plain(input.of_type::<E>());
    conv2d::backward_weight(shape, source, gradient.of_type(), &mut result);
    tensor_like(result, weight)
}
