//! Quantisers: between the encoder's vectors and the codes. One file each, all behind [`Quantizer`].

mod codebook;
mod ema;
mod gradient;
mod l2;
mod nearest;
#[cfg(test)]
mod tests;

pub use codebook::{Codebook, Rows, Search};
pub use ema::{EmaQuantizer, EmbeddingEma};
pub use gradient::CodeGradient;
pub use l2::L2Quantizer;
pub use nearest::NearestQuantizer;

use super::config::{QuantizerKind, TokenizerConfig};
use crate::initializer::Initializer;
use crate::ops;
use burn::module::Module;
use burn::tensor::{Int, Tensor};

/// What a quantiser makes of a grid of vectors.
pub struct Quantized {
    /// The chosen code vectors, `[b, h, w, embed_dim]`, with gradients to the input.
    pub latent: Tensor<4>,
    /// Codebook loss, commitment loss and whatever else the quantiser asks for, weighted, `[1]`.
    pub loss: Tensor<1>,
    /// `[b, h, w]`; with several codes per position `[b, h, w · depth]`, those of one position side by side.
    pub codes: Tensor<3, Int>,
    /// One entry per codebook that was searched in training; empty elsewhere.
    pub searches: Vec<Search>,
}

impl Quantized {
    /// The results of a frozen network for one that trains: constants of its graph.
    pub fn with_autodiff(self) -> Self {
        Self {
            latent: Tensor::from_inner(self.latent),
            loss: Tensor::from_inner(self.loss * 0.0),
            codes: Tensor::from_inner(self.codes),
            searches: self.searches,
        }
    }
}

/// How a step of training quantises; pictures are tokenised without any of it.
#[derive(Debug, Clone, Copy)]
pub struct QuantizerStep {
    /// How the decoder's gradient passes the code back to the encoder.
    pub gradient: CodeGradient,
    /// Of Gumbel-softmax.
    pub temperature: f32,
    /// Of the entropy loss; 0 leaves it out.
    pub entropy_weight: f32,
    /// Let vectors pass unquantised, while there is no codebook worth the name yet.
    pub bypass: bool,
    /// Decides every random draw of the step.
    pub seed: u64,
}

impl Default for QuantizerStep {
    fn default() -> Self {
        Self {
            gradient: CodeGradient::StraightThrough,
            temperature: 1.0,
            entropy_weight: 0.0,
            bypass: false,
            seed: 0,
        }
    }
}

/// Any of the quantisers.
#[derive(Module, Debug)]
pub enum Quantizer {
    Nearest(NearestQuantizer),
    L2(L2Quantizer),
    Ema(EmaQuantizer),
}

impl Quantizer {
    pub fn new(init: &mut Initializer, config: &TokenizerConfig) -> Self {
        match config.quantizer {
            QuantizerKind::Nearest => Self::Nearest(NearestQuantizer::new(init, config)),
            QuantizerKind::L2 => Self::L2(L2Quantizer::new(init, config)),
            QuantizerKind::Ema | QuantizerKind::EmaL2 => Self::Ema(EmaQuantizer::new(init, config)),
        }
    }

    /// Quantises `[b, h, w, embed_dim]`. Nothing random, no loss terms that only training needs.
    pub fn forward(&self, vectors: Tensor<4>) -> Quantized {
        self.quantize(vectors, None)
    }

    /// The same as a step of training does it.
    pub fn forward_training(&self, vectors: Tensor<4>, step: &QuantizerStep) -> Quantized {
        self.quantize(vectors, Some(step))
    }

    fn quantize(&self, vectors: Tensor<4>, step: Option<&QuantizerStep>) -> Quantized {
        match self {
            Self::Nearest(quantizer) => quantizer.forward(vectors, step),
            Self::L2(quantizer) => quantizer.forward(vectors, step),
            Self::Ema(quantizer) => quantizer.forward(vectors, step),
        }
    }

    /// The code vectors that the decoder gets for `codes` `[b, h, w]`, `[b, h, w, embed_dim]`.
    pub fn lookup(&self, codes: Tensor<3, Int>) -> Tensor<4> {
        match self {
            Self::Nearest(quantizer) => quantizer.lookup(codes),
            Self::L2(quantizer) => quantizer.lookup(codes),
            Self::Ema(quantizer) => quantizer.lookup(codes),
        }
    }

    /// The codebooks whose rows a training may rewrite, in the order of [`Quantized::searches`].
    pub fn codebooks(&mut self) -> Vec<Codebook<'_>> {
        match self {
            Self::Nearest(quantizer) => quantizer.codebooks(),
            Self::L2(quantizer) => quantizer.codebooks(),
            Self::Ema(quantizer) => quantizer.codebooks(),
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

    /// Of codebooks that follow averages in place of a gradient.
    fn commitment_only(config: &TokenizerConfig) -> Self {
        Self {
            commitment: config.beta,
            codebook: 0.0,
        }
    }

    fn loss(self, vectors: Tensor<4>, chosen: Tensor<4>) -> Tensor<1> {
        let commitment = (chosen.clone().detach() - vectors.clone()).square().mean();
        if self.codebook == 0.0 {
            return commitment * self.commitment;
        }
        let codebook = (chosen - vectors.detach()).square().mean();
        commitment * self.commitment + codebook * self.codebook
    }
}

/// Takes the nearest row of `codebook` `[k, d]` for every vector of `[b, h, w, d]`.
fn quantize(
    vectors: Tensor<4>,
    codebook: Tensor<2>,
    weights: LossWeights,
    step: Option<&QuantizerStep>,
) -> Quantized {
    let [batch, height, width, dimension] = vectors.dims();
    let flat = vectors.clone().reshape([batch * height * width, dimension]);
    let found = ops::nearest_code(flat.clone(), codebook.clone());
    let codes = found.clone().reshape([batch, height, width]);
    let chosen = gather_rows(codebook, codes.clone());
    let Some(step) = step else {
        return Quantized {
            loss: weights.loss(vectors, chosen.clone()),
            latent: chosen,
            codes,
            searches: Vec::new(),
        };
    };
    let searches = vec![Search::new(flat, found)];
    if step.bypass {
        return Quantized {
            loss: (vectors.clone() * 0.0).sum(),
            latent: vectors,
            codes,
            searches,
        };
    }
    Quantized {
        loss: weights.loss(vectors.clone(), chosen.clone()),
        latent: step.gradient.pass(vectors, chosen),
        codes,
        searches,
    }
}

/// Rows of `table` `[k, d]` for codes `[b, h, w]`, `[b, h, w, d]`.
fn gather_rows(table: Tensor<2>, codes: Tensor<3, Int>) -> Tensor<4> {
    let [batch, rows, columns] = codes.dims();
    let width = table.dims()[1];
    ops::embedding(table, codes.reshape([batch, rows * columns]))
        .reshape([batch, rows, columns, width])
}

/// Every vector along the last axis divided by its length. A zero vector stays zero, and its gradient finite.
fn normalize<const D: usize>(vectors: Tensor<D>) -> Tensor<D> {
    let squares = vectors.clone().square().sum_dim(D - 1);
    vectors / squares.clamp_min(1e-24).sqrt()
}
