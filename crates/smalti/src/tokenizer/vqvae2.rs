//! The networks of a tokenizer with two levels of codes (Razavi et al., "Generating Diverse High-Fidelity Images with
//! VQ-VAE-2", section 3.1 and figure 2a): a bottom map for detail, and a top map of half its sides for what is large.
//! Blocks and levels are the paper's; the last level is the top one, the level before it the bottom one. What the two
//! levels know of each other lies in the quantiser (`quantizer/two_level.rs`), because the bottom's vectors depend on
//! the top's codes.
//!
//! A position of the top map holds the vectors, and after quantisation the latents, of both levels: its own, and the
//! four of the bottom map that lie below it, in reading order.

use super::blocks::Upsample;
use super::config::{QuantizerKind, TokenizerConfig};
use super::decoder::UpLevel;
use super::encoder::DownLevel;
use super::fold::{fold, unfold};
use super::quantizer::TwoLevelQuantizer;
use crate::error::{Error, Result};
use crate::initializer::Initializer;
use crate::layers::{Conv2d, GroupNorm};
use burn::module::Module;
use burn::tensor::Tensor;

/// Says what is wrong with a configuration of this family, whose numbers are known to be of a possible size.
///
/// # Errors
/// A single level, widths that cannot be normalised, or another quantiser than the two of moving averages.
pub fn check(config: &TokenizerConfig) -> Result<()> {
    if config.levels() < 2 {
        return Err(Error::input(
            "channel_multipliers has 1 entry; a tokenizer of two levels has at least 2, the last one for the top",
        ));
    }
    if !config.z_channels.is_multiple_of(GroupNorm::GROUPS) {
        return Err(Error::input(format!(
            "z_channels is {}; with two levels it must be a multiple of {}, the number of normalisation groups",
            config.z_channels,
            GroupNorm::GROUPS
        )));
    }
    if !matches!(config.quantizer, QuantizerKind::Ema | QuantizerKind::EmaL2) {
        return Err(Error::input(
            "the codebooks of a tokenizer of two levels follow averages: set quantizer to ema or ema-l2",
        ));
    }
    let codes = TwoLevelQuantizer::CODES;
    if config.codes_per_position != codes {
        return Err(Error::input(format!(
            "codes_per_position is {}; two levels have {codes}, one above and four below: set it to {codes}",
            config.codes_per_position
        )));
    }
    Ok(())
}

/// No network of this family and shape has fewer parameters, quantiser included. It saturates.
pub fn least_parameters(config: &TokenizerConfig) -> usize {
    let product = |factors: &[usize]| {
        factors
            .iter()
            .fold(1usize, |all, &factor| all.saturating_mul(factor))
    };
    // The second convolution of every residual block.
    let level = |&multiplier: &usize| {
        let width = config.channels.saturating_mul(multiplier);
        product(&[9, config.residual_blocks, width, width])
    };
    let multipliers = &config.channel_multipliers;
    let lower: &[usize] = match multipliers.split_last() {
        Some((_, rest)) => rest,
        None => &[],
    };
    let both = multipliers.iter().chain(lower).map(level);
    let between = [
        2 * 9,
        config.residual_blocks,
        config.z_channels,
        config.z_channels,
    ];
    let rest = [
        product(&between),
        product(&[2, config.quantizer_parameters()]),
        config.used_codes,
    ];
    both.chain(rest).fold(0, usize::saturating_add)
}

/// Pictures to the vectors of both levels.
#[derive(Module, Debug)]
pub struct Encoder {
    pub conv_in: Conv2d,
    /// The levels of higher resolution than the bottom one.
    pub down: Vec<DownLevel>,
    pub bottom: DownLevel,
    pub norm_bottom: GroupNorm,
    pub conv_bottom: Conv2d,
    pub top: DownLevel,
    pub norm_top: GroupNorm,
    pub conv_top: Conv2d,
}

impl Encoder {
    /// A new network; `config` must have passed [`TokenizerConfig::check`] and [`check`].
    pub fn new(init: &mut Initializer, config: &TokenizerConfig) -> Self {
        let conv_in = Conv2d::same(init, [config.in_channels, config.channels]);
        let mut width = config.channels;
        let last = config.levels() - 1;
        let mut down = Vec::new();
        for level in 0..last - 1 {
            down.push(DownLevel::new(init, config, level, &mut width));
        }
        let bottom = DownLevel::new(init, config, last - 1, &mut width);
        let of_bottom = width;
        let top = DownLevel::new(init, config, last, &mut width);
        Self {
            conv_in,
            down,
            bottom,
            norm_bottom: GroupNorm::new(init, of_bottom),
            conv_bottom: Conv2d::same(init, [of_bottom, config.z_channels]),
            top,
            norm_top: GroupNorm::new(init, width),
            conv_top: Conv2d::same(init, [width, config.embed_dim]),
        }
    }

    /// `[b, h, w, in_channels]` to `[b, h/f, w/f, embed_dim + 4 · z_channels]`: vectors of the top level, which are
    /// quantised as they are, and what the bottom level's are made of.
    pub fn forward(&self, pixels: Tensor<4>) -> Tensor<4> {
        let mut hidden = self.conv_in.forward(pixels);
        for level in &self.down {
            hidden = level.forward(hidden);
        }
        let bottom = self.bottom.same_size(hidden);
        let top = self.top.forward(self.bottom.downsampled(bottom.clone()));
        let top = self.conv_top.forward_normalized(&self.norm_top, top, None);
        let bottom = self
            .conv_bottom
            .forward_normalized(&self.norm_bottom, bottom, None);
        Tensor::cat(vec![top, fold(bottom)], 3)
    }
}

/// Latents of both levels to pictures.
#[derive(Module, Debug)]
pub struct Decoder {
    pub upsample_top: Upsample,
    pub conv_in: Conv2d,
    /// `up[0]` is the highest resolution, the last one that of the bottom map.
    pub up: Vec<UpLevel>,
    pub norm_out: GroupNorm,
    pub conv_out: Conv2d,
    #[module(skip)]
    dimension: usize,
}

impl Decoder {
    /// A new network; `config` must have passed [`TokenizerConfig::check`] and [`check`].
    pub fn new(init: &mut Initializer, config: &TokenizerConfig) -> Self {
        let bottom = config.levels() - 2;
        let mut width = config.width(bottom);
        let upsample_top = Upsample::new(init, config.embed_dim);
        let conv_in = Conv2d::same(init, [2 * config.embed_dim, width]);
        let mut up = Vec::new();
        for level in (0..=bottom).rev() {
            up.push(UpLevel::new(init, config, level, &mut width));
        }
        up.reverse();
        Self {
            upsample_top,
            conv_in,
            up,
            norm_out: GroupNorm::new(init, width),
            conv_out: Conv2d::same(init, [width, config.out_channels]),
            dimension: config.embed_dim,
        }
    }

    /// `[b, h, w, 5 · embed_dim]` to pictures `[b, f·h, f·w, out_channels]`.
    pub fn forward(&self, latent: Tensor<4>) -> Tensor<4> {
        self.conv_out
            .forward_normalized(&self.norm_out, self.hidden(latent), None)
    }

    /// What the last convolution reads, `[b, f·h, f·w, channels]`. The adaptive weight λ needs it.
    pub fn features(&self, latent: Tensor<4>) -> Tensor<4> {
        self.norm_out.forward_silu(self.hidden(latent))
    }

    /// The last convolution, which makes pictures of the features.
    pub fn last(&self) -> &Conv2d {
        &self.conv_out
    }

    fn hidden(&self, latent: Tensor<4>) -> Tensor<4> {
        let below = latent.dims()[3] - self.dimension;
        let top = latent.clone().narrow(3, 0, self.dimension);
        let bottom = unfold(latent.narrow(3, self.dimension, below));
        let both = Tensor::cat(vec![self.upsample_top.forward(top), bottom], 3);
        let mut hidden = self.conv_in.forward(both);
        for level in self.up.iter().rev() {
            hidden = level.forward(hidden);
        }
        hidden
    }
}

#[cfg(test)]
mod tests;
