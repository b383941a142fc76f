//! Codes of two levels: the top one is quantised first, and the vectors of the bottom one are made knowing what came of
//! it, so that they need only hold what the top level leaves open (Razavi et al., "Generating Diverse High-Fidelity
//! Images with VQ-VAE-2", section 3.1 and algorithm 1).

use super::{Codebook, EmaQuantizer, Quantized, QuantizerStep};
use crate::initializer::Initializer;
use crate::layers::Conv2d;
use crate::tokenizer::blocks::{ResnetBlock, Upsample};
use crate::tokenizer::config::TokenizerConfig;
use crate::tokenizer::fold::{fold, unfold};
use burn::module::Module;
use burn::tensor::{Int, Tensor};

/// One codebook of moving averages per level, and the network between the levels. The bottom level's codes are numbered
/// after the top level's.
#[derive(Module, Debug)]
pub struct TwoLevelQuantizer {
    pub top: EmaQuantizer,
    pub between: Between,
    pub bottom: EmaQuantizer,
    #[module(skip)]
    dimension: usize,
    #[module(skip)]
    codebook_size: usize,
}

impl TwoLevelQuantizer {
    /// Codes of a position of the top map: its own, then the four of the bottom map below it in reading order.
    pub const CODES: usize = 5;

    pub fn new(init: &mut Initializer, config: &TokenizerConfig) -> Self {
        Self {
            top: EmaQuantizer::new(init, config),
            between: Between::new(init, config),
            bottom: EmaQuantizer::new(init, config),
            dimension: config.embed_dim,
            codebook_size: config.codebook_size,
        }
    }

    /// Quantises what the encoder gives, `[b, h, w, embed_dim + 4 · z_channels]`, to latents
    /// `[b, h, w, 5 · embed_dim]` and codes `[b, h, w · 5]`. The loss is the sum of both levels' commitment losses.
    pub fn forward(&self, vectors: Tensor<4>, step: Option<&QuantizerStep>) -> Quantized {
        let below = vectors.dims()[3] - self.dimension;
        let seen = unfold(vectors.clone().narrow(3, self.dimension, below));
        let top = vectors.narrow(3, 0, self.dimension);
        let top = self.top.forward(top, step);
        let bottom = self.between.forward(top.latent.clone(), seen);
        let bottom = self.bottom.forward(bottom, step);
        let mut searches = top.searches;
        searches.extend(bottom.searches);
        Quantized {
            latent: Tensor::cat(vec![top.latent, fold(bottom.latent)], 3),
            loss: top.loss + bottom.loss,
            codes: self.join(top.codes, bottom.codes),
            searches,
        }
    }

    /// The code vectors of `codes` `[b, h, w · 5]`, `[b, h, w, 5 · embed_dim]`.
    pub fn lookup(&self, codes: Tensor<3, Int>) -> Tensor<4> {
        let [top, bottom] = self.split(codes);
        let bottom = fold(self.bottom.lookup(bottom));
        Tensor::cat(vec![self.top.lookup(top), bottom], 3)
    }

    /// Codes of the codebooks, `[b, h, w]` and `[b, 2h, 2w]`, as codes of both `[b, h, w · 5]`.
    pub(super) fn join(&self, top: Tensor<3, Int>, bottom: Tensor<3, Int>) -> Tensor<3, Int> {
        let [batch, rows, columns] = top.dims();
        let squares: Tensor<5, Int> = bottom.reshape([batch, rows, 2, columns, 2]);
        let below: Tensor<4, Int> =
            squares
                .swap_dims(2, 3)
                .reshape([batch, rows, columns, Self::CODES - 1]);
        let below = below.add_scalar(self.codebook_size as i64);
        let above: Tensor<4, Int> = top.reshape([batch, rows, columns, 1]);
        Tensor::cat(vec![above, below], 3).reshape([batch, rows, columns * Self::CODES])
    }

    /// What [`Self::join`] joined. A code of the other level, which a prior may draw, counts as the code of the same
    /// number of its own level.
    pub(super) fn split(&self, codes: Tensor<3, Int>) -> [Tensor<3, Int>; 2] {
        let [batch, rows, width] = codes.dims();
        let columns = width / Self::CODES;
        let codes = codes.remainder_scalar(self.codebook_size as i64);
        let codes: Tensor<4, Int> = codes.reshape([batch, rows, columns, Self::CODES]);
        let top = codes.clone().narrow(3, 0, 1);
        let squares: Tensor<5, Int> = codes
            .narrow(3, 1, Self::CODES - 1)
            .reshape([batch, rows, columns, 2, 2]);
        [
            top.reshape([batch, rows, columns]),
            squares
                .swap_dims(2, 3)
                .reshape([batch, 2 * rows, 2 * columns]),
        ]
    }

    pub(super) fn codebooks(&mut self) -> Vec<Codebook<'_>> {
        let mut codebooks = Vec::new();
        for (level, quantizer) in [("top", &mut self.top), ("bottom", &mut self.bottom)] {
            for codebook in quantizer.codebooks() {
                let path = format!("{level}.{}", codebook.path);
                codebooks.push(Codebook { path, ..codebook });
            }
        }
        codebooks
    }
}

/// Makes the bottom level's vectors of what the encoder saw there and of what the top level's codes say.
#[derive(Module, Debug)]
pub struct Between {
    pub conv_in: Conv2d,
    pub block: Vec<ResnetBlock>,
    pub upsample: Upsample,
    pub conv_out: Conv2d,
}

impl Between {
    fn new(init: &mut Initializer, config: &TokenizerConfig) -> Self {
        let (dimension, width) = (config.embed_dim, config.z_channels);
        let blocks = 0..config.residual_blocks;
        Self {
            conv_in: Conv2d::same(init, [dimension, width]),
            block: blocks
                .map(|_| ResnetBlock::new(init, [width, width]))
                .collect(),
            upsample: Upsample::new(init, width),
            conv_out: Conv2d::pointwise(init, [2 * width, dimension]),
        }
    }

    /// Latents of the top level `[b, h, w, embed_dim]` and what was seen at the bottom level
    /// `[b, 2h, 2w, z_channels]` to the bottom level's vectors `[b, 2h, 2w, embed_dim]`.
    pub fn forward(&self, top: Tensor<4>, seen: Tensor<4>) -> Tensor<4> {
        let mut hidden = self.conv_in.forward(top);
        for block in &self.block {
            hidden = block.forward(hidden);
        }
        let told = self.upsample.forward(hidden);
        self.conv_out.forward(Tensor::cat(vec![told, seen], 3))
    }
}
