//! The backward pass, cut by heads where there are enough of them and by blocks of tokens otherwise.

use super::by_block::{backward_keys, backward_queries};
use super::by_head::backward_by_head;
use super::products::Products;
use super::softmax_gradient::{SoftmaxGradient, average_gradients};
use super::{AttentionShape, Gradients, Inputs, Saved};
use crate::threads;

/// Computes the gradients of queries, keys and values from that of the output.
pub fn backward(
    shape: &AttentionShape,
    inputs: Inputs<'_>,
    saved: Saved<'_>,
    grad_output: &[f32],
    gradients: Gradients<'_>,
) {
    shape.assert_lengths(&inputs, saved.output.len(), saved.logsumexp.len());
    assert_eq!(grad_output.len(), shape.query_len(), "output gradient");
    assert_eq!(gradients.query.len(), shape.query_len(), "query gradient");
    assert_eq!(gradients.key.len(), shape.key_len(), "key gradient");
    assert_eq!(gradients.value.len(), shape.key_len(), "value gradient");
    let softmax = SoftmaxGradient {
        products: Products { shape, inputs },
        logsumexp: saved.logsumexp,
        grad_output,
        averages: average_gradients(shape, saved.output, grad_output),
    };
    if shape.batch * shape.heads >= threads() {
        backward_by_head(&softmax, gradients);
    } else {
        backward_queries(&softmax, gradients.query);
        backward_keys(&softmax, gradients.key, gradients.value);
    }
}
