//! Quantisers: between the encoder's vectors and the codes. One file each, all behind [`Quantizer`].

mod l2;
mod nearest;
#[cfg(test)]
mod tests;

pub use l2::L2Quantizer;
pub use nearest::NearestQuantizer;

use super::config::{QuantizerKind, TokenizerConfig};
use crate::initializer::Initializer;
use crate::ops;
use burn::module::Module;
use burn::tensor::{Int, Tensor};

/// What a quantiser makes of a grid of vectors.
pub struct Quantized {
    /// The chosen code vectors, `[b, h, w, embed_dim]`, with straight-through gradients to the input.
    pub latent: Tensor<4>,
    /// Codebook loss plus commitment loss, `[1]`.
    pub loss: Tensor<1>,
    /// `[b, h, w]`.
    pub codes: Tensor<3, Int>,
}

/// Any of the quantisers.
#[derive(Module, Debug)]
pub enum Quantizer {
    Nearest(NearestQuantizer),
    L2(L2Quantizer),
}

impl Quantizer {
    pub fn new(init: &mut Initializer, config: &TokenizerConfig) -> Self {
        match config.quantizer {
            QuantizerKind::Nearest => Self::Nearest(NearestQuantizer::new(init, config)),
            QuantizerKind::L2 => Self::L2(L2Quantizer::new(init, config)),
        }
    }

    /// Quantises `[b, h, w, embed_dim]`.
    pub fn forward(&self, vectors: Tensor<4>) -> Quantized {
        match self {
            Self::Nearest(quantizer) => quantizer.forward(vectors),
            Self::L2(quantizer) => quantizer.forward(vectors),
        }
    }

    /// The code vectors that the decoder gets for `codes` `[b, h, w]`, `[b, h, w, embed_dim]`.
    pub fn lookup(&self, codes: Tensor<3, Int>) -> Tensor<4> {
        match self {
            Self::Nearest(quantizer) => quantizer.lookup(codes),
            Self::L2(quantizer) => quantizer.lookup(codes),
        }
    }
}

/// The weights of the two halves of the quantiser's loss.
#[derive(Debug, Clone, Copy, PartialEq)]
struct LossWeights {
    /// Of |sg[e] − z|², which pulls the encoder to the codes.
    commitment: f32,
    /// Of |e − sg[z]|², which pulls the codes to the encoder.
    codebook: f32,
}

impl LossWeights {
    fn new(config: &TokenizerConfig) -> Self {
        if config.legacy_beta {
            Self {
                commitment: 1.0,
                codebook: config.beta,
            }
        } else {
            Self {
                commitment: config.beta,
                codebook: 1.0,
            }
        }
    }

    fn loss(self, vectors: Tensor<4>, chosen: Tensor<4>) -> Tensor<1> {
        let commitment = (chosen.clone().detach() - vectors.clone()).square().mean();
        let codebook = (chosen - vectors.detach()).square().mean();
        commitment * self.commitment + codebook * self.codebook
    }
}

/// Takes the nearest row of `codebook` `[k, d]` for every vector of `[b, h, w, d]`.
fn quantize(vectors: Tensor<4>, codebook: Tensor<2>, weights: LossWeights) -> Quantized {
    let [batch, height, width, dimension] = vectors.dims();
    let flat = vectors.clone().reshape([batch * height * width, dimension]);
    let codes = ops::nearest_code(flat, codebook.clone()).reshape([batch, height, width]);
    let chosen = gather_rows(codebook, codes.clone());
    Quantized {
        loss: weights.loss(vectors.clone(), chosen.clone()),
        latent: straight_through(vectors, chosen),
        codes,
    }
}

/// `vectors` in the backward pass, `chosen` in the forward pass.
fn straight_through(vectors: Tensor<4>, chosen: Tensor<4>) -> Tensor<4> {
    vectors.clone() + (chosen - vectors).detach()
}

/// Rows of `table` `[k, d]` for codes `[b, h, w]`, `[b, h, w, d]`.
fn gather_rows(table: Tensor<2>, codes: Tensor<3, Int>) -> Tensor<4> {
    let [batch, rows, columns] = codes.dims();
    let width = table.dims()[1];
    ops::embedding(table, codes.reshape([batch, rows * columns]))
        .reshape([batch, rows, columns, width])
}
