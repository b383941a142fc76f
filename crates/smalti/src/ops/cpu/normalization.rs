//! Group and layer normalisation.

use super::super::group_norm::GroupNormalization;
use super::values::{Value, Values, by_type, dims, tensor, tensor_like, unset};
use super::{Differentiate, record};
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn_flex::FlexTensor;
use smalti_kernels::group_norm::{self, GroupNorm, GroupNormShape};
use smalti_kernels::layer_norm::{self, LayerNorm};

/// Input, gamma and beta; mean and reciprocal deviation.
type Saved<B, S> = ([FloatTensor<B>; 3], [FloatTensor<B>; 2], S);

pub trait NormalizationKernels: Backend {
    /// Output, and mean and reciprocal deviation of each group.
    fn normalize_groups(
        operands: [&FloatTensor<Self>; 3],
        normalization: GroupNormalization,
    ) -> (FloatTensor<Self>, [FloatTensor<Self>; 2]);

    /// Gradients of input, gamma and beta.
    fn normalize_groups_backward(
        saved: &Saved<Self, GroupNormalization>,
        gradient: &FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 3];

    /// Output, and mean and reciprocal deviation of each row.
    fn normalize_rows(
        operands: [&FloatTensor<Self>; 3],
        epsilon: f32,
    ) -> (FloatTensor<Self>, [FloatTensor<Self>; 2]);

    /// Gradients of input, gamma and beta.
    fn normalize_rows_backward(
        saved: &Saved<Self, f32>,
        gradient: &FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 3];
}

#[backend_extension(Flex, Autodiff)]
pub trait NormalizationOps: Backend {
    fn smalti_group_norm(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        normalization: GroupNormalization,
    ) -> FloatTensor<Self>;

    fn smalti_layer_norm(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self>;
}

impl NormalizationOps for Flex {
    fn smalti_group_norm(
        input: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        normalization: GroupNormalization,
    ) -> FlexTensor {
        Self::normalize_groups([&input, &gamma, &beta], normalization).0
    }

    fn smalti_layer_norm(
        input: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        epsilon: f32,
    ) -> FlexTensor {
        Self::normalize_rows([&input, &gamma, &beta], epsilon).0
    }
}

#[derive(Debug)]
struct GroupNormBackward;

impl<B: NormalizationKernels> Differentiate<B, 3> for GroupNormBackward {
    type Saved = Saved<B, GroupNormalization>;

    fn gradients(
        saved: Self::Saved,
        gradient: FloatTensor<B>,
        _: [bool; 3],
    ) -> [Option<FloatTensor<B>>; 3] {
        B::normalize_groups_backward(&saved, &gradient).map(Some)
    }
}

#[derive(Debug)]
struct LayerNormBackward;

impl<B: NormalizationKernels> Differentiate<B, 3> for LayerNormBackward {
    type Saved = Saved<B, f32>;

    fn gradients(
        saved: Self::Saved,
        gradient: FloatTensor<B>,
        _: [bool; 3],
    ) -> [Option<FloatTensor<B>>; 3] {
        B::normalize_rows_backward(&saved, &gradient).map(Some)
    }
}

impl<B: NormalizationOps + NormalizationKernels, C: CheckpointStrategy> NormalizationOps
    for Autodiff<B, C>
{
    fn smalti_group_norm(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        normalization: GroupNormalization,
    ) -> FloatTensor<Self> {
        let operands = [input.primitive(), gamma.primitive(), beta.primitive()];
        let (output, statistics) = B::normalize_groups(operands, normalization);
        let nodes = [input.node(), gamma.node(), beta.node()];
        record::<B, C, GroupNormBackward, 3>(nodes, output, || {
            (operands.map(Clone::clone), statistics, normalization)
        })
    }

    fn smalti_layer_norm(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        let operands = [input.primitive(), gamma.primitive(), beta.primitive()];
        let (output, statistics) = B::normalize_rows(operands, epsilon);
        let nodes = [input.node(), gamma.node(), beta.node()];
        record::<B, C, LayerNormBackward, 3>(nodes, output, || {
            (operands.map(Clone::clone), statistics, epsilon)
        })
    }
}

impl NormalizationKernels for Flex {
    fn normalize_groups(
        operands: [&FlexTensor; 3],
        normalization: GroupNormalization,
    ) -> (FlexTensor, [FlexTensor; 2]) {
        by_type!(operands[0], group_norm_forward(operands, normalization))
    }

    fn normalize_groups_backward(
        (operands, statistics, normalization): &Saved<Self, GroupNormalization>,
        gradient: &FlexTensor,
    ) -> [FlexTensor; 3] {
        let refs = operands.each_ref();
        by_type!(
            refs[0],
            group_norm_gradients(refs, statistics, gradient, *normalization)
        )
    }

    fn normalize_rows(
        [input, gamma, beta]: [&FlexTensor; 3],
        epsilon: f32,
    ) -> (FlexTensor, [FlexTensor; 2]) {
        let [batch, tokens, channels] = dims(input);
        let rows = batch * tokens;
        let [values, gamma, beta] = [input, gamma, beta].map(Values::of);
        let layer = LayerNorm {
            gamma: gamma.slice(),
            beta: beta.slice(),
            epsilon,
        };
        let mut output = unset(rows * channels);
        let (mut mean, mut rstd) = (unset(rows), unset(rows));
        layer_norm::forward(&layer, values.slice(), &mut output, &mut mean, &mut rstd);
        (
            tensor_like(output, input),
            [tensor(mean, [rows]), tensor(rstd, [rows])],
        )
    }

    fn normalize_rows_backward(
        (operands, statistics, epsilon): &Saved<Self, f32>,
        gradient: &FlexTensor,
    ) -> [FlexTensor; 3] {
        let [input, gamma, beta] = operands.each_ref().map(Values::of);
        let [mean, rstd] = statistics.each_ref().map(Values::of);
        let layer = LayerNorm {
            gamma: gamma.slice(),
            beta: beta.slice(),
            epsilon: *epsilon,
        };
        let statistics = layer_norm::Statistics {
            mean: mean.slice(),
            rstd: rstd.slice(),
        };
        let channels = gamma.slice().len();
        let mut to_input = unset(input.slice().len());
        let (mut to_gamma, mut to_beta) = (unset(channels), unset(channels));
        let gradients = layer_norm::Gradients {
            input: &mut to_input,
            gamma: &mut to_gamma,
            beta: &mut to_beta,
        };
        let gradient = Values::of(gradient);
        layer_norm::backward(
            &layer,
            input.slice(),
            statistics,
            gradient.slice(),
            gradients,
        );
        [
            tensor_like(to_input, &operands[0]),
            tensor(to_gamma, [channels]),
            tensor(to_beta, [channels]),
        ]
    }
}

pub(super) fn group_norm_shape(input: &FlexTensor, groups: usize) -> GroupNormShape {
    let [batch, height, width, channels] = dims(input);
    GroupNormShape {
        batch,
        positions: height * width,
        channels,
        groups,
    }
}

pub(super) fn group_norm_layer<'a>(
    shape: GroupNormShape,
    gamma: &'a Values,
    beta: &'a Values,
    normalization: GroupNormalization,
) -> GroupNorm<'a> {
    GroupNorm {
        shape,
        gamma: gamma.slice(),
        beta: beta.slice(),
        epsilon: normalization.epsilon,
        activation: normalization.activation,
    }
}

fn group_norm_forward<E: Value>(
    [input, gamma, beta]: [&FlexTensor; 3],
    normalization: GroupNormalization,
) -> (FlexTensor, [FlexTensor; 2]) {
    let shape = group_norm_shape(input, normalization.groups);
    let [values, gamma, beta] = [input, gamma, beta].map(Values::of);
    let layer = group_norm_layer(shape, &gamma, &beta, normalization);
    let count = shape.batch * shape.groups;
    let (mut mean, mut rstd) = (unset(count), unset(count));
    let mut output = unset::<E>(values.of_type::<E>().len());
    group_norm::forward(&layer, values.of_type(), &mut output, &mut mean, &mut rstd);
    (
        tensor_like(output, input),
        [tensor(mean, [count]), tensor(rstd, [count])],
    )
}

/// Gradients of input, gamma and beta.
pub(super) fn group_norm_gradients<E: Value>(
    operands: [&FlexTensor; 3],
    statistics: &[FlexTensor; 2],
    gradient: &FlexTensor,
    normalization: GroupNormalization,
) -> [FlexTensor; 3] {
    let shape = group_norm_shape(operands[0], normalization.groups);
    let [input, gamma, beta] = operands.map(Values::of);
    let [mean, rstd] = statistics.each_ref().map(Values::of);
    let layer = group_norm_layer(shape, &gamma, &beta, normalization);
    let statistics = group_norm::Statistics {
        mean: mean.slice(),
        rstd: rstd.slice(),
    };
    let mut to_input = unset::<E>(input.of_type::<E>().len());
    let (mut to_gamma, mut to_beta) = (unset(shape.channels), unset(shape.channels));
    let gradients = group_norm::Gradients {
        input: &mut to_input,
        gamma: &mut to_gamma,
        beta: &mut to_beta,
    };
    let gradient = Values::of(gradient);
    group_norm::backward(
        &layer,
        input.of_type(),
        statistics,
        gradient.of_type(),
        gradients,
    );
    [
        tensor_like(to_input, operands[0]),
        tensor(to_gamma, [shape.channels]),
        tensor(to_beta, [shape.channels]),
    ]
}
