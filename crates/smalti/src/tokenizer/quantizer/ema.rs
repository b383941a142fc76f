//! A codebook whose rows are moving averages of the vectors that chose them, in place of a gradient
//! (`EMAVectorQuantizer` of taming/modules/vqvae/quantize.py; van den Oord et al. 2017, appendix A.1).

use super::codebook::Rows;
use super::{Codebook, LossWeights, Quantized, QuantizerStep, gather_rows, normalize, quantize};
use crate::initializer::Initializer;
use crate::tokenizer::config::{QuantizerKind, TokenizerConfig};
use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor};

/// The rows and the sums they are made of. No gradient reaches them.
#[derive(Module, Debug)]
pub struct EmbeddingEma {
    /// `[codebook_size, embed_dim]`.
    pub weight: Param<Tensor<2>>,
    /// The moving average of how many vectors of a step choose each code, `[codebook_size]`.
    pub cluster_size: Param<Tensor<1>>,
    /// The moving average of their sum, `[codebook_size, embed_dim]`.
    pub embed_avg: Param<Tensor<2>>,
}

/// Searched by Euclidean distance, or among unit vectors.
#[derive(Module, Debug)]
pub struct EmaQuantizer {
    pub embedding: EmbeddingEma,
    #[module(skip)]
    unit_length: bool,
    #[module(skip)]
    weights: LossWeights,
}

impl EmaQuantizer {
    /// Normal rows, of length 1 where only directions are compared. Every code starts as if one vector had chosen it, so
    /// that rows and sums agree from the start; with counts of 0, as the authors have it, the first update would blow
    /// the rows up.
    pub fn new(init: &mut Initializer, config: &TokenizerConfig) -> Self {
        let shape = [config.codebook_size, config.embed_dim];
        let unit_length = config.quantizer == QuantizerKind::EmaL2;
        let weight = if unit_length {
            init.unit_rows(shape)
        } else {
            init.normal(shape, 1.0)
        };
        let embed_avg = Param::from_tensor(weight.val().detach());
        Self {
            embedding: EmbeddingEma {
                weight: weight.set_require_grad(false),
                cluster_size: init.constant([shape[0]], 1.0).set_require_grad(false),
                embed_avg: embed_avg.set_require_grad(false),
            },
            unit_length,
            weights: LossWeights::commitment_only(config),
        }
    }

    /// Quantises `[b, h, w, embed_dim]`.
    pub fn forward(&self, vectors: Tensor<4>, step: Option<&QuantizerStep>) -> Quantized {
        let vectors = if self.unit_length {
            normalize(vectors)
        } else {
            vectors
        };
        quantize(vectors, self.embedding.weight.val(), self.weights, step)
    }

    /// The code vectors of `codes` `[b, h, w]`, `[b, h, w, embed_dim]`.
    pub fn lookup(&self, codes: Tensor<3, Int>) -> Tensor<4> {
        gather_rows(self.embedding.weight.val(), codes)
    }

    pub(super) fn codebooks(&mut self) -> Vec<Codebook<'_>> {
        vec![Codebook {
            rows: Rows::Averaged(&mut self.embedding),
            unit_length: self.unit_length,
            path: "embedding.weight".into(),
        }]
    }
}
