//! Nearest-code quantisation among unit vectors: encoder vectors and codes are divided by their length before the
//! search, so that no code is out of reach because of its length (ViT-VQGAN, section 3.2; LlamaGen).

use super::{LossWeights, Quantized, gather_rows, straight_through};
use crate::initializer::Initializer;
use crate::layers::Embedding;
use crate::ops;
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
        let weight = init.normal([config.codebook_size, config.embed_dim], 1.0);
        Self {
            embedding: Embedding {
                weight: weight.map(|codes| normalize(codes).detach().require_grad()),
            },
            weights: LossWeights::new(config),
        }
    }

    pub fn forward(&self, vectors: Tensor<4>) -> Quantized {
        let [batch, height, width, dimension] = vectors.dims();
        let vectors = normalize(vectors);
        let codebook = normalize(self.embedding.weight.val());
        let flat = vectors.clone().reshape([batch * height * width, dimension]);
        let codes = ops::nearest_code(flat, codebook.clone()).reshape([batch, height, width]);
        let chosen = gather_rows(codebook, codes.clone());
        Quantized {
            loss: self.weights.loss(vectors.clone(), chosen.clone()),
            latent: straight_through(vectors, chosen),
            codes,
        }
    }

    pub fn lookup(&self, codes: Tensor<3, Int>) -> Tensor<4> {
        gather_rows(normalize(self.embedding.weight.val()), codes)
    }
}

/// Every vector along the last axis divided by its length. A zero vector stays zero, and its gradient finite.
fn normalize<const D: usize>(vectors: Tensor<D>) -> Tensor<D> {
    let squares = vectors.clone().square().sum_dim(D - 1);
    vectors / squares.clamp_min(1e-24).sqrt()
}
