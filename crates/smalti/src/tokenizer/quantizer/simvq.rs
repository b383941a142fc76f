//! A random codebook that never moves, seen through one learned linear layer: a gradient to any code moves all of them
//! (Zhu et al., "Addressing Representation Collapse in Vector Quantized Models with One Linear Layer", 2024).

use super::{LossWeights, Quantized, QuantizerStep, gather_rows, quantize};
use crate::initializer::Initializer;
use crate::layers::{Embedding, Linear};
use crate::ops::Precision;
use crate::tokenizer::config::TokenizerConfig;
use burn::module::Module;
use burn::tensor::{Int, Tensor};

/// `embedding.weight` `[codebook_size, embed_dim]` gets no gradient; the codes are what `embedding_proj` makes of its
/// rows, compared by Euclidean distance. There is nothing a training could restart.
#[derive(Module, Debug)]
pub struct SimvqQuantizer {
    pub embedding: Embedding,
    pub embedding_proj: Linear,
    #[module(skip)]
    weights: LossWeights,
}

impl SimvqQuantizer {
    /// Normal rows of length about 1, and PyTorch's initialisation of a linear layer.
    pub fn new(init: &mut Initializer, config: &TokenizerConfig) -> Self {
        let dimension = config.embed_dim;
        let scale = 1.0 / (dimension as f32).sqrt();
        let codes = init.normal([config.codebook_size, dimension], scale);
        Self {
            embedding: Embedding {
                weight: codes.set_require_grad(false),
            },
            embedding_proj: Linear {
                weight: init.uniform([dimension, dimension], scale),
                bias: Some(init.uniform([dimension], scale)),
            },
            weights: LossWeights::new(config),
        }
    }

    /// Quantises `[b, h, w, embed_dim]`.
    pub fn forward(&self, vectors: Tensor<4>, step: Option<&QuantizerStep>) -> Quantized {
        let rows = self.embedding.weight.val();
        let [entries, dimension] = rows.dims();
        let codebook = self.project(rows.reshape([1, entries, dimension]));
        let codebook = codebook.reshape([entries, dimension]);
        Quantized {
            searches: Vec::new(),
            ..quantize(vectors, codebook, self.weights, step)
        }
    }

    /// The code vectors of `codes` `[b, h, w]`, `[b, h, w, embed_dim]`.
    pub fn lookup(&self, codes: Tensor<3, Int>) -> Tensor<4> {
        let rows = gather_rows(self.embedding.weight.val(), codes);
        let [batch, height, width, dimension] = rows.dims();
        self.project(rows.reshape([batch, height * width, dimension]))
            .reshape([batch, height, width, dimension])
    }

    fn project(&self, rows: Tensor<3>) -> Tensor<3> {
        self.embedding_proj.forward(rows, Precision::F32)
    }
}
