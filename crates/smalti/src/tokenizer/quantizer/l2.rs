//! Nearest-code quantisation among unit vectors: encoder vectors and codes are divided by their length before the
//! search, so that no code is out of reach because of its length (ViT-VQGAN, section 3.2; LlamaGen).

use super::codebook::Rows;
use super::{Codebook, LossWeights, Quantized, QuantizerStep, gather_rows, normalize, quantize};
use crate::initializer::Initializer;
use crate::layers::Embedding;
use crate::tokenizer::config::TokenizerConfig;
use burn::module::Module;
use burn::tensor::{Int, Tensor};

/// A codebook of directions; `embedding.weight` is `[codebook_size, embed_dim]`, of any length, normalised when used.
#[derive(Module, Debug)]
pub struct L2Quantizer {
    pub embedding: Embedding,
    #[module(skip)]
    weights: LossWeights,
}

impl L2Quantizer {
    /// Codes evenly distributed over the unit sphere.
    pub fn new(init: &mut Initializer, config: &TokenizerConfig) -> Self {
        Self {
            embedding: Embedding {
                weight: init.unit_rows([config.codebook_size, config.embed_dim]),
            },
            weights: LossWeights::new(config),
        }
    }

    /// Quantises `[b, h, w, embed_dim]`.
    pub fn forward(&self, vectors: Tensor<4>, step: Option<&QuantizerStep>) -> Quantized {
        quantize(
            normalize(vectors),
            normalize(self.embedding.weight.val()),
            self.weights,
            step,
        )
    }

    /// The code vectors of `codes` `[b, h, w]`, `[b, h, w, embed_dim]`.
    pub fn lookup(&self, codes: Tensor<3, Int>) -> Tensor<4> {
        gather_rows(normalize(self.embedding.weight.val()), codes)
    }

    pub(super) fn codebooks(&mut self) -> Vec<Codebook<'_>> {
        vec![Codebook {
            rows: Rows::Learned(&mut self.embedding.weight),
            unit_length: true,
            path: "embedding.weight".into(),
        }]
    }
}
