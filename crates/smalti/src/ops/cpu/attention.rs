//! Attention. It is computed in f32 whatever its tensors hold: it is a small part of every network.

use super::super::attention::Attention;
use super::values::{Values, dims, narrowed, tensor, tensor_like, unset, widened};
use super::{Differentiate, record};
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn_flex::FlexTensor;
use smalti_kernels::attention::{self, AttentionShape, Inputs};

/// Query, key and value; output and the logarithm of each row's sum of exponentials.
type Saved<B> = ([FloatTensor<B>; 3], [FloatTensor<B>; 2], Attention);

pub trait AttentionKernels: Backend {
    /// Output, and the logarithm of each row's sum of exponentials.
    fn attend(
        inputs: [&FloatTensor<Self>; 3],
        mask: Attention,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Gradients of query, key and value.
    fn attend_backward(saved: &Saved<Self>, gradient: &FloatTensor<Self>)
    -> [FloatTensor<Self>; 3];
}

#[backend_extension(Flex, Autodiff)]
pub trait AttentionOps: Backend {
    fn smalti_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        mask: Attention,
    ) -> FloatTensor<Self>;
}

impl AttentionOps for Flex {
    fn smalti_attention(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        mask: Attention,
    ) -> FlexTensor {
        Self::attend([&query, &key, &value], mask).0
    }
}

#[derive(Debug)]
struct AttentionBackward;

impl<B: AttentionKernels> Differentiate<B, 3> for AttentionBackward {
    type Saved = Saved<B>;

    fn gradients(
        saved: Saved<B>,
        gradient: FloatTensor<B>,
        _: [bool; 3],
    ) -> [Option<FloatTensor<B>>; 3] {
        B::attend_backward(&saved, &gradient).map(Some)
    }
}

impl<B: AttentionOps + AttentionKernels, C: CheckpointStrategy> AttentionOps for Autodiff<B, C> {
    fn smalti_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        mask: Attention,
    ) -> FloatTensor<Self> {
        let inputs = [query.primitive(), key.primitive(), value.primitive()];
        let (output, log_sums) = B::attend(inputs, mask);
        let nodes = [query.node(), key.node(), value.node()];
        let kept = output.clone();
        record::<B, C, AttentionBackward, 3>(nodes, output, || {
            (inputs.map(Clone::clone), [kept, log_sums], mask)
        })
    }
}

fn attention_shape(query: &FlexTensor, key: &FlexTensor, mask: Attention) -> AttentionShape {
    let [batch, queries, heads, head_dim] = dims(query);
    let [_, keys, _, _] = dims(key);
    AttentionShape {
        batch,
        heads,
        queries,
        keys,
        head_dim,
        causal: mask.causal,
        scale: (head_dim as f32).sqrt().recip(),
        unmasked_prefix: mask.unmasked_prefix,
    }
}

impl AttentionKernels for Flex {
    fn attend(inputs: [&FlexTensor; 3], mask: Attention) -> (FlexTensor, FlexTensor) {
        let shape = attention_shape(inputs[0], inputs[1], mask);
        let [query, key, value] = inputs.map(|tensor| Values::of(&widened(tensor)));
        let rows = shape.batch * shape.heads * shape.queries;
        let mut output = unset(query.slice().len());
        let mut log_sums = unset(rows);
        let read = Inputs {
            query: query.slice(),
            key: key.slice(),
            value: value.slice(),
        };
        attention::forward(&shape, read, &mut output, &mut log_sums);
        let output = narrowed(tensor_like(output, inputs[0]), inputs[0].dtype());
        (output, tensor(log_sums, [rows]))
    }

    fn attend_backward(
        (inputs, [output, log_sums], mask): &Saved<Self>,
        gradient: &FlexTensor,
    ) -> [FlexTensor; 3] {
        let shape = attention_shape(&inputs[0], &inputs[1], *mask);
        let [query, key, value] = inputs.each_ref().map(|tensor| Values::of(&widened(tensor)));
        let [output, gradient] = [output, gradient].map(|tensor| Values::of(&widened(tensor)));
        let log_sums = Values::of(log_sums);
        let mut to_query = unset(query.slice().len());
        let (mut to_key, mut to_value) = (unset(key.slice().len()), unset(key.slice().len()));
        let gradients = attention::Gradients {
            query: &mut to_query,
            key: &mut to_key,
            value: &mut to_value,
        };
        attention::backward(
            &shape,
            Inputs {
                query: query.slice(),
                key: key.slice(),
                value: value.slice(),
            },
            attention::Saved {
                output: output.slice(),
                logsumexp: log_sums.slice(),
            },
            gradient.slice(),
            gradients,
        );
        let dtype = inputs[0].dtype();
        [
            narrowed(tensor_like(to_query, &inputs[0]), dtype),
            narrowed(tensor_like(to_key, &inputs[1]), dtype),
            narrowed(tensor_like(to_value, &inputs[2]), dtype),
        ]
    }
}
