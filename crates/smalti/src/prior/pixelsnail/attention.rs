//! PixelSNAIL's attention block: causal attention over all codes before one's own.

use super::residual::GatedResidual;
use crate::initializer::Initializer;
use crate::layers::Conv2d;
use crate::ops::{self, Attention};
use crate::prior::PriorConfig;
use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig};
use burn::tensor::Tensor;

/// Channels that say where a cell lies.
pub(super) const BACKGROUND: usize = 2;

const MASK: Attention = Attention {
    causal: true,
    unmasked_prefix: 0,
};

/// Looks at all codes before a position, and mixes what it finds into what is known there.
#[derive(Module, Debug)]
pub struct AttentionBlock {
    /// Of codes, of what is known at their positions and of where these are: what keys and values are made from.
    pub content: GatedResidual,
    pub key: Conv2d,
    pub value: Conv2d,
    /// What queries are made from: the same without the code.
    pub position: GatedResidual,
    pub query: Conv2d,
    pub merge: GatedResidual,
    drop: Dropout,
    #[module(skip)]
    heads: usize,
}

impl AttentionBlock {
    /// `width` is that of the attention.
    pub(super) fn new(init: &mut Initializer, config: &PriorConfig, width: usize) -> Self {
        let channels = config.width;
        let (content, position) = (2 * channels + BACKGROUND, channels + BACKGROUND);
        let dropout = config.residual_dropout;
        Self {
            content: GatedResidual::new(init, [content, channels], 1, dropout),
            key: Conv2d::pointwise(init, [content, width]),
            value: Conv2d::pointwise(init, [content, width]),
            position: GatedResidual::new(init, [position, channels], 1, dropout),
            query: Conv2d::pointwise(init, [position, width]),
            merge: GatedResidual::new(init, [channels, channels], 1, dropout)
                .with_auxiliary(init, width),
            drop: DropoutConfig::new(config.attention_dropout).init(),
            heads: config.heads,
        }
    }

    /// `codes` and `hidden` `[b, h, w, channels]`, where `hidden` knows nothing of the code at its own position, and
    /// `background` `[b, h, w, 2]`, to the next `hidden`.
    pub(super) fn forward(
        &self,
        codes: Tensor<4>,
        hidden: Tensor<4>,
        background: Tensor<4>,
    ) -> Tensor<4> {
        let [batch, rows, columns, _] = hidden.dims();
        let content = Tensor::cat(vec![codes, hidden.clone(), background.clone()], 3);
        let content = self.content.forward(content, None, None);
        let position = Tensor::cat(vec![hidden.clone(), background], 3);
        let position = self.position.forward(position, None, None);
        let query = self.split(self.query.forward(position));
        let [key, value] = [&self.key, &self.value]
            .map(|layer| one_later(self.split(layer.forward(content.clone()))));
        let seen = ops::attention_with_dropout(query, key, value, MASK, &self.drop);
        let [_, _, heads, depth] = seen.dims();
        let seen = seen.reshape([batch, rows, columns, heads * depth]);
        self.merge.forward(hidden, Some(seen), None)
    }

    /// `[b, h, w, width]` to `[b, h · w, heads, width / heads]`.
    fn split(&self, tensor: Tensor<4>) -> Tensor<4> {
        let [batch, rows, columns, width] = tensor.dims();
        tensor.reshape([batch, rows * columns, self.heads, width / self.heads])
    }
}

/// Moves keys or values `[b, t, heads, d]` to the next position, so that a position sees those before its own only. The
/// first sees zeros, and so can every other that finds nothing.
fn one_later(tensor: Tensor<4>) -> Tensor<4> {
    let [batch, count, heads, depth] = tensor.dims();
    let zeros = Tensor::zeros([batch, 1, heads, depth], (&tensor.device(), tensor.dtype()));
    Tensor::cat(vec![zeros, tensor], 1).slice([0..batch, 0..count, 0..heads, 0..depth])
}
