//! What the perceptual loss needs besides convolutions: max pooling and the distance of features.

use super::values::{Value, Values, by_type, dims, tensor, tensor_like, unset};
use super::{Differentiate, record};
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn_flex::FlexTensor;
use smalti_kernels::feature_distance::{self, Features};
use smalti_kernels::max_pool::{self, MaxPoolShape};

pub trait FeatureKernels: Backend {
    fn pool(input: &FloatTensor<Self>, size: usize, stride: usize) -> FloatTensor<Self>;

    /// The gradient of the input. `saved` holds input and output.
    fn pool_backward(
        saved: &[FloatTensor<Self>; 2],
        windows: [usize; 2],
        gradient: &FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    fn distances(operands: [&FloatTensor<Self>; 3]) -> FloatTensor<Self>;

    /// The wanted gradients of both sides.
    fn distances_backward(
        saved: &[FloatTensor<Self>; 3],
        gradient: &FloatTensor<Self>,
        wanted: [bool; 2],
    ) -> [Option<FloatTensor<Self>>; 2];
}

#[backend_extension(Flex, Autodiff)]
pub trait FeatureOps: Backend {
    fn smalti_max_pool(input: FloatTensor<Self>, size: usize, stride: usize) -> FloatTensor<Self>;

    fn smalti_feature_distance(
        left: FloatTensor<Self>,
        right: FloatTensor<Self>,
        weights: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

impl FeatureOps for Flex {
    fn smalti_max_pool(input: FlexTensor, size: usize, stride: usize) -> FlexTensor {
        Self::pool(&input, size, stride)
    }

    fn smalti_feature_distance(
        left: FlexTensor,
        right: FlexTensor,
        weights: FlexTensor,
    ) -> FlexTensor {
        Self::distances([&left, &right, &weights])
    }
}

#[derive(Debug)]
struct PoolBackward;

impl<B: FeatureKernels> Differentiate<B, 1> for PoolBackward {
    /// Input and output; size and stride of the windows.
    type Saved = ([FloatTensor<B>; 2], [usize; 2]);

    fn gradients(
        (saved, windows): Self::Saved,
        gradient: FloatTensor<B>,
        _: [bool; 1],
    ) -> [Option<FloatTensor<B>>; 1] {
        [Some(B::pool_backward(&saved, windows, &gradient))]
    }
}

#[derive(Debug)]
struct DistanceBackward;

impl<B: FeatureKernels> Differentiate<B, 2> for DistanceBackward {
    /// Both sides and the weights.
    type Saved = [FloatTensor<B>; 3];

    fn gradients(
        saved: Self::Saved,
        gradient: FloatTensor<B>,
        wanted: [bool; 2],
    ) -> [Option<FloatTensor<B>>; 2] {
        B::distances_backward(&saved, &gradient, wanted)
    }
}

impl<B: FeatureOps + FeatureKernels, C: CheckpointStrategy> FeatureOps for Autodiff<B, C> {
    fn smalti_max_pool(input: FloatTensor<Self>, size: usize, stride: usize) -> FloatTensor<Self> {
        let output = B::pool(input.primitive(), size, stride);
        let kept = output.clone();
        record::<B, C, PoolBackward, 1>([input.node()], output, || {
            ([input.primitive().clone(), kept], [size, stride])
        })
    }

    fn smalti_feature_distance(
        left: FloatTensor<Self>,
        right: FloatTensor<Self>,
        weights: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let operands = [left.primitive(), right.primitive(), weights.primitive()];
        let output = B::distances(operands);
        let nodes = [left.node(), right.node()];
        record::<B, C, DistanceBackward, 2>(nodes, output, || operands.map(Clone::clone))
    }
}

impl FeatureKernels for Flex {
    fn pool(input: &FlexTensor, size: usize, stride: usize) -> FlexTensor {
        by_type!(input, pool_forward(input, [size, stride]))
    }

    fn pool_backward(
        [input, output]: &[FlexTensor; 2],
        windows: [usize; 2],
        gradient: &FlexTensor,
    ) -> FlexTensor {
        by_type!(input, pool_gradient(input, output, windows, gradient))
    }

    fn distances(operands: [&FlexTensor; 3]) -> FlexTensor {
        by_type!(operands[0], distance_forward(operands))
    }

    fn distances_backward(
        [left, right, weights]: &[FlexTensor; 3],
        gradient: &FlexTensor,
        wanted: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let sides = [[right, left], [left, right]];
        std::array::from_fn(|side| {
            let [fixed, moved] = sides[side];
            wanted[side]
                .then(|| by_type!(moved, distance_gradient(fixed, moved, weights, gradient)))
        })
    }
}

fn pool_shape(input: &FlexTensor, [size, stride]: [usize; 2]) -> MaxPoolShape {
    let [batch, height, width, channels] = dims(input);
    MaxPoolShape {
        batch,
        height,
        width,
        channels,
        size,
        stride,
    }
}

fn pool_forward<E: Value>(input: &FlexTensor, windows: [usize; 2]) -> FlexTensor {
    let shape = pool_shape(input, windows);
    let (height, width) = shape.output();
    let mut output = unset::<E>(shape.output_len());
    max_pool::forward(&shape, Values::of(input).of_type(), &mut output);
    tensor(output, [shape.batch, height, width, shape.channels])
}

fn pool_gradient<E: Value>(
    input: &FlexTensor,
    output: &FlexTensor,
    windows: [usize; 2],
    gradient: &FlexTensor,
) -> FlexTensor {
    let shape = pool_shape(input, windows);
    let (values, output, gradient) = (Values::of(input), Values::of(output), Values::of(gradient));
    let mut result = unset::<E>(values.of_type::<E>().len());
    let (values, output) = (values.of_type(), output.of_type());
    max_pool::backward(&shape, values, output, gradient.of_type(), &mut result);
    tensor_like(result, input)
}

fn distance_forward<E: Value>(operands: [&FlexTensor; 3]) -> FlexTensor {
    let [batch, ..] = dims::<4>(operands[0]);
    let [left, right, weights] = operands.map(Values::of);
    let mut distances = unset(batch);
    let features = Features::<E> {
        batch,
        left: left.of_type(),
        right: right.of_type(),
        weights: weights.slice(),
    };
    feature_distance::forward(&features, &mut distances);
    tensor(distances, [batch])
}

fn distance_gradient<E: Value>(
    fixed: &FlexTensor,
    moved: &FlexTensor,
    weights: &FlexTensor,
    gradient: &FlexTensor,
) -> FlexTensor {
    let [batch, ..] = dims::<4>(moved);
    let [left, right, weights, gradient] = [fixed, moved, weights, gradient].map(Values::of);
    let mut result = unset::<E>(right.of_type::<E>().len());
    let features = Features {
        batch,
        left: left.of_type(),
        right: right.of_type(),
        weights: weights.slice(),
    };
    feature_distance::backward_right(&features, gradient.slice(), &mut result);
    tensor_like(result, moved)
}
