//! Cross-entropy, and the search of the nearest code.

use super::values::{Values, dims, indices, tensor, tensor_like, unset};
use super::{Differentiate, record};
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn::tensor::{Shape, TensorData};
use burn_flex::FlexTensor;
use smalti_kernels::{cross_entropy, nearest_code};

pub trait LossKernels: Backend {
    /// Losses, and the logarithm of each row's sum of exponentials.
    fn cross_entropy(
        logits: &FloatTensor<Self>,
        targets: &IntTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The gradient of the logits. `saved` holds logits and logarithms.
    fn cross_entropy_backward(
        saved: &[FloatTensor<Self>; 2],
        targets: &IntTensor<Self>,
        gradient: &FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

#[backend_extension(Flex, Autodiff)]
pub trait LossOps: Backend {
    fn smalti_cross_entropy(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> FloatTensor<Self>;

    fn smalti_nearest_code(
        vectors: FloatTensor<Self>,
        codebook: FloatTensor<Self>,
    ) -> IntTensor<Self>;
}

impl LossOps for Flex {
    fn smalti_cross_entropy(logits: FlexTensor, targets: FlexTensor) -> FlexTensor {
        <Self as LossKernels>::cross_entropy(&logits, &targets).0
    }

    fn smalti_nearest_code(vectors: FlexTensor, codebook: FlexTensor) -> FlexTensor {
        let [count, dimension] = dims(&vectors);
        let mut codes = vec![0i64; count];
        let (vectors, codebook) = (Values::of(&vectors), Values::of(&codebook));
        nearest_code::nearest_codes(vectors.slice(), codebook.slice(), dimension, &mut codes);
        FlexTensor::from_data(TensorData::new(codes, Shape::from([count])))
    }
}

#[derive(Debug)]
struct CrossEntropyBackward;

impl<B: LossKernels> Differentiate<B, 1> for CrossEntropyBackward {
    /// Logits and logarithms, targets.
    type Saved = ([FloatTensor<B>; 2], IntTensor<B>);

    fn gradients(
        (saved, targets): Self::Saved,
        gradient: FloatTensor<B>,
        _: [bool; 1],
    ) -> [Option<FloatTensor<B>>; 1] {
        [Some(B::cross_entropy_backward(&saved, &targets, &gradient))]
    }
}

impl<B: LossOps + LossKernels, C: CheckpointStrategy> LossOps for Autodiff<B, C> {
    fn smalti_cross_entropy(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> FloatTensor<Self> {
        let (output, log_sums) = B::cross_entropy(logits.primitive(), &targets);
        record::<B, C, CrossEntropyBackward, 1>([logits.node()], output, || {
            ([logits.primitive().clone(), log_sums], targets)
        })
    }

    fn smalti_nearest_code(_: FloatTensor<Self>, _: FloatTensor<Self>) -> IntTensor<Self> {
        unreachable!("codes are searched for tensors without autodiff")
    }
}

impl LossKernels for Flex {
    fn cross_entropy(logits: &FlexTensor, targets: &FlexTensor) -> (FlexTensor, FlexTensor) {
        let [rows, _] = dims(logits);
        let (mut losses, mut log_sums) = (unset(rows), unset(rows));
        let values = Values::of(logits);
        let targets = indices(targets);
        cross_entropy::forward(values.slice(), &targets, &mut losses, &mut log_sums);
        (tensor(losses, [rows]), tensor(log_sums, [rows]))
    }

    fn cross_entropy_backward(
        [logits, log_sums]: &[FlexTensor; 2],
        targets: &FlexTensor,
        gradient: &FlexTensor,
    ) -> FlexTensor {
        let [values, log_sums, gradient] = [logits, log_sums, gradient].map(Values::of);
        let mut output = unset(values.slice().len());
        cross_entropy::backward(
            values.slice(),
            &indices(targets),
            log_sums.slice(),
            gradient.slice(),
            &mut output,
        );
        tensor_like(output, logits)
    }
}
