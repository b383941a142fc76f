//! Nearest-code quantisation with straight-through gradients (`VectorQuantizer2` of taming/modules/vqvae/quantize.py).

use super::codebook::Rows;
use super::{Codebook, LossWeights, Quantized, QuantizerStep, gather_rows, quantize};
use crate::initializer::Initializer;
use crate::layers::Embedding;
use crate::tokenizer::config::TokenizerConfig;
use burn::module::Module;
use burn::tensor::{Int, Tensor};

/// A codebook searched by Euclidean distance; `embedding.weight` is `[codebook_size, embed_dim]`.
#[derive(Module, Debug)]
pub struct NearestQuantizer {
    pub embedding: Embedding,
    #[module(skip)]
    weights: LossWeights,
}

impl NearestQuantizer {
    /// The authors' initialisation: uniform within 1 / codebook_size.
    pub fn new(init: &mut Initializer, config: &TokenizerConfig) -> Self {
        let bound = 1.0 / config.codebook_size as f32;
        Self {
            embedding: Embedding {
                weight: init.uniform([config.codebook_size, config.embed_dim], bound),
            },
            weights: LossWeights::new(config),
        }
    }

    /// Quantises `[b, h, w, embed_dim]`.
    pub fn forward(&self, vectors: Tensor<4>, step: Option<&QuantizerStep>) -> Quantized {
        quantize(vectors, self.embedding.weight.val(), self.weights, step)
    }

    /// The code vectors of `codes` `[b, h, w]`, `[b, h, w, embed_dim]`.
    pub fn lookup(&self, codes: Tensor<3, Int>) -> Tensor<4> {
        gather_rows(self.embedding.weight.val(), codes)
    }

    pub(super) fn codebooks(&mut self) -> Vec<Codebook<'_>> {
        vec![Codebook {
            rows: Rows::Learned(&mut self.embedding.weight),
            unit_length: false,
            path: "embedding.weight".into(),
        }]
    }
}
