//! Scaled dot-product attention: causal over codes in the transformer, full over positions in the VQGAN.

use super::{cpu::AttentionOps, on_cpu};
use burn::backend::Dispatch;
use burn::nn::Dropout;
use burn::tensor::{Int, Tensor, activation::softmax};

/// Who may look at whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attention {
    /// Position i sees positions up to i only. With more keys than queries, the queries are the last ones.
    pub causal: bool,
    /// The first positions see each other whatever `causal` says (`n_unmasked` of the authors' GPT).
    pub unmasked_prefix: usize,
}

/// `softmax(q · kᵀ / √d) · v` per head: `query` `[b, queries, heads, d]`, `key` and `value` `[b, keys, heads, d]`, to
/// `[b, queries, heads, d]`.
pub fn attention(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, mask: Attention) -> Tensor<4> {
    if !on_cpu(&query) {
        return composed(query, key, value, mask, |weights| weights);
    }
    Tensor::from_dispatch(Dispatch::smalti_attention(
        query.into_dispatch(),
        key.into_dispatch(),
        value.into_dispatch(),
        mask,
    ))
}

/// [`attention`] with dropout of the attention weights. Weights can only be dropped where they are written down, so with
/// dropout at work this takes the composed way.
pub fn attention_with_dropout(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    mask: Attention,
    dropout: &Dropout,
) -> Tensor<4> {
    if dropout.prob == 0.0 || !dropout.training.is_enabled() || !query.is_autodiff() {
        return attention(query, key, value, mask);
    }
    composed(query, key, value, mask, |weights| dropout.forward(weights))
}

pub(super) fn composed(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    mask: Attention,
    drop: impl FnOnce(Tensor<4>) -> Tensor<4>,
) -> Tensor<4> {
    let [_, queries, _, width] = query.dims();
    let keys = key.dims()[1];
    let query = query.swap_dims(1, 2) * (width as f32).sqrt().recip();
    let mut scores = query.matmul(key.swap_dims(1, 2).swap_dims(2, 3));
    if mask.causal {
        let device = scores.device();
        let offset = (keys - queries) as i64;
        let row = Tensor::<1, Int>::arange(offset..offset + queries as i64, &device)
            .reshape([1, 1, queries, 1]);
        let column = Tensor::<1, Int>::arange(0..keys as i64, &device).reshape([1, 1, 1, keys]);
        let prefix = mask.unmasked_prefix as i64;
        let later = column
            .clone()
            .expand([1, 1, queries, keys])
            .greater(row.clone().expand([1, 1, queries, keys]));
        let outside = row
            .greater_equal_elem(prefix)
            .expand([1, 1, queries, keys])
            .bool_or(
                column
                    .greater_equal_elem(prefix)
                    .expand([1, 1, queries, keys]),
            );
        let hidden = later.bool_and(outside).expand(scores.dims());
        scores = scores.mask_fill(hidden, f32::NEG_INFINITY);
    }
    drop(softmax(scores, 3))
        .matmul(value.swap_dims(1, 2))
        .swap_dims(1, 2)
}
