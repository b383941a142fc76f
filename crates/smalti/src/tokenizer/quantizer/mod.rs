//! Quantisers: between the encoder's vectors and the codes. One file each, all behind [`Quantizer`].

mod codebook;
mod digits;
mod ema;
mod entropy;
mod fsq;
mod gradient;
mod gumbel;
mod ibq;
mod l2;
mod lfq;
mod nearest;
mod residual;
mod simvq;
#[cfg(test)]
mod tests;
mod two_level;

pub use codebook::{Codebook, Rows, Search};
pub use ema::{EmaQuantizer, EmbeddingEma};
pub use fsq::FsqQuantizer;
pub use gradient::CodeGradient;
pub use gumbel::GumbelQuantizer;
pub use ibq::IbqQuantizer;
pub use l2::L2Quantizer;
pub use lfq::LfqQuantizer;
pub use nearest::NearestQuantizer;
pub use residual::ResidualQuantizer;
pub use simvq::SimvqQuantizer;
pub use two_level::{Between, TwoLevelQuantizer};

use super::config::{Family, QuantizerKind, TokenizerConfig};
use crate::initializer::Initializer;
use crate::ops;
use burn::module::Module;
use burn::tensor::{Int, Tensor};
use entropy::{Affinity, TEMPERATURE, entropy_loss};

/// What a quantiser makes of a grid of vectors.
pub struct Quantized {
    /// The chosen code vectors, `[b, h, w, embed_dim]`, with gradients to the input.
    pub latent: Tensor<4>,
    /// Codebook loss, commitment loss and whatever else the quantiser asks for, weighted, `[1]`.
    pub loss: Tensor<1>,
    /// `[b, h, w]`; with several codes per position `[b, h, w · depth]`, those of one position side by side.
    pub codes: Tensor<3, Int>,
    /// In training one entry for each of [`Quantizer::codebooks`]; empty elsewhere.
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

    /// Vectors that pass as they are.
    fn unquantized(vectors: Tensor<4>, codes: Tensor<3, Int>, searches: Vec<Search>) -> Self {
        Self {
            loss: (vectors.clone() * 0.0).sum(),
            latent: vectors,
            codes,
            searches,
        }
    }
}

/// How a step of training quantises; pictures are tokenised without any of it.
#[derive(Debug, Clone, Copy)]
pub struct QuantizerStep {
    /// How the decoder's gradient passes the code back to the encoder, where the estimator is not the quantiser's own
    /// (Gumbel-softmax, FSQ and IBQ).
    pub gradient: CodeGradient,
    /// Of Gumbel-softmax; above 0.
    pub temperature: f32,
    /// The share of Gumbel-softmax's loss that counts, 0 to 1.
    pub divergence: f32,
    /// Of the entropy loss; 0 leaves it out. Gumbel-softmax and FSQ have none.
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
            divergence: 1.0,
            entropy_weight: 0.0,
            bypass: false,
            seed: 0,
        }
    }
}

/// Any of the quantisers.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one per model")]
pub enum Quantizer {
    Nearest(NearestQuantizer),
    L2(L2Quantizer),
    Ema(EmaQuantizer),
    Gumbel(GumbelQuantizer),
    Fsq(FsqQuantizer),
    Lfq(LfqQuantizer),
    Simvq(SimvqQuantizer),
    Residual(ResidualQuantizer),
    Ibq(IbqQuantizer),
    TwoLevel(TwoLevelQuantizer),
}

impl Quantizer {
    /// A new quantiser; `config` must have passed [`TokenizerConfig::check`].
    pub fn new(init: &mut Initializer, config: &TokenizerConfig) -> Self {
        if config.family == Family::Vqvae2 {
            return Self::TwoLevel(TwoLevelQuantizer::new(init, config));
        }
        match config.quantizer {
            QuantizerKind::Nearest => Self::Nearest(NearestQuantizer::new(init, config)),
            QuantizerKind::L2 => Self::L2(L2Quantizer::new(init, config)),
            QuantizerKind::Ema | QuantizerKind::EmaL2 => Self::Ema(EmaQuantizer::new(init, config)),
            QuantizerKind::Gumbel => Self::Gumbel(GumbelQuantizer::new(init, config)),
            QuantizerKind::Fsq => Self::Fsq(FsqQuantizer::new(config)),
            QuantizerKind::Lfq => Self::Lfq(LfqQuantizer::new(config)),
            QuantizerKind::Simvq => Self::Simvq(SimvqQuantizer::new(init, config)),
            QuantizerKind::Residual => Self::Residual(ResidualQuantizer::new(init, config)),
            QuantizerKind::Ibq => Self::Ibq(IbqQuantizer::new(init, config)),
        }
    }

    /// Quantises `[b, h, w, embed_dim]`; with two levels see [`TwoLevelQuantizer::forward`]. Nothing random, no loss
    /// terms that only training needs.
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
            Self::Gumbel(quantizer) => quantizer.forward(vectors, step),
            Self::Fsq(quantizer) => quantizer.forward(vectors, step),
            Self::Lfq(quantizer) => quantizer.forward(vectors, step),
            Self::Simvq(quantizer) => quantizer.forward(vectors, step),
            Self::Residual(quantizer) => quantizer.forward(vectors, step),
            Self::Ibq(quantizer) => quantizer.forward(vectors, step),
            Self::TwoLevel(quantizer) => quantizer.forward(vectors, step),
        }
    }

    /// The code vectors that the decoder gets for `codes` `[b, h, w]` (with several codes per position
    /// `[b, h, w · depth]`), `[b, h, w, embed_dim]`.
    pub fn lookup(&self, codes: Tensor<3, Int>) -> Tensor<4> {
        match self {
            Self::Nearest(quantizer) => quantizer.lookup(codes),
            Self::L2(quantizer) => quantizer.lookup(codes),
            Self::Ema(quantizer) => quantizer.lookup(codes),
            Self::Gumbel(quantizer) => quantizer.lookup(codes),
            Self::Fsq(quantizer) => quantizer.lookup(codes),
            Self::Lfq(quantizer) => quantizer.lookup(codes),
            Self::Simvq(quantizer) => quantizer.lookup(codes),
            Self::Residual(quantizer) => quantizer.lookup(codes),
            Self::Ibq(quantizer) => quantizer.lookup(codes),
            Self::TwoLevel(quantizer) => quantizer.lookup(codes),
        }
    }

    /// The codebooks whose rows a training may rewrite, in the order of [`Quantized::searches`].
    pub fn codebooks(&mut self) -> Vec<Codebook<'_>> {
        match self {
            Self::Nearest(quantizer) => quantizer.codebooks(),
            Self::L2(quantizer) => quantizer.codebooks(),
            Self::Ema(quantizer) => quantizer.codebooks(),
            Self::Residual(quantizer) => quantizer.codebooks(),
            Self::TwoLevel(quantizer) => quantizer.codebooks(),
            Self::Gumbel(_) | Self::Fsq(_) | Self::Lfq(_) | Self::Simvq(_) | Self::Ibq(_) => {
                Vec::new()
            }
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
    let chosen = gather_rows(codebook.clone(), codes.clone());
    let Some(step) = step else {
        return Quantized {
            loss: weights.loss(vectors, chosen.clone()),
            latent: chosen,
            codes,
            searches: Vec::new(),
        };
    };
    let searches = vec![Search::new(flat.clone(), found)];
    if step.bypass {
        return Quantized::unquantized(vectors, codes, searches);
    }
    let mut loss = weights.loss(vectors.clone(), chosen.clone());
    if step.entropy_weight > 0.0 {
        let entropy = entropy_loss(flat, codebook, Affinity::Distance, TEMPERATURE);
        loss = loss + entropy * step.entropy_weight;
    }
    Quantized {
        loss,
        latent: step.gradient.pass(vectors, chosen),
        codes,
        searches,
    }
}

/// How many vectors can be compared with `codes` codes at once if the products are to stay within 16 MiB.
fn rows_at_once(codes: usize) -> usize {
    ((4 << 20) / codes).max(1)
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
