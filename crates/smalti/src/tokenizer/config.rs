//! The shape of a tokenizer: everything that decides which parameters it has and what they compute.

use crate::error::{Error, Result};
use crate::layers::GroupNorm;
use serde::{Deserialize, Serialize};

/// Which quantiser stands between encoder and decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QuantizerKind {
    /// The nearest code by Euclidean distance: the authors' `VectorQuantizer2`.
    Nearest,
    /// The nearest code among unit vectors, vectors normalised before the search (ViT-VQGAN, LlamaGen).
    L2,
    /// The nearest code, codes being moving averages of the vectors that chose them.
    Ema,
    /// The same among unit vectors.
    EmaL2,
}

/// Whose networks encoder and decoder are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// The paper's; latent-diffusion, diffusers and LlamaGen have the same.
    #[default]
    Taming,
}

/// A tokenizer's architecture. The defaults are a small network whose codebook stays alive on small data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenizerConfig {
    pub family: Family,
    /// The picture side the network is meant for. It only decides at which levels `attention_resolutions` falls.
    pub resolution: usize,
    pub in_channels: usize,
    pub out_channels: usize,
    /// Width at the highest resolution; a multiple of 32.
    pub channels: usize,
    /// Width of each level as a multiple of `channels`. One level more halves the resolution once more.
    pub channel_multipliers: Vec<usize>,
    pub residual_blocks: usize,
    /// Sides of feature maps at which attention follows each residual block. The middle block always has it.
    pub attention_resolutions: Vec<usize>,
    pub z_channels: usize,
    /// Length of a code vector.
    pub embed_dim: usize,
    pub codebook_size: usize,
    pub quantizer: QuantizerKind,
    /// FSQ: how many values each of the `embed_dim` dimensions takes; `codebook_size` is their product.
    pub fsq_levels: Vec<usize>,
    /// LFQ: whether the first dimension is the highest bit of the code, in place of the lowest.
    pub lfq_high_bit_first: bool,
    /// Residual: how many codes stand for one position, each for what those before it left over.
    pub codes_per_position: usize,
    /// Gumbel: weight of the divergence of the choice from an even one.
    pub kl_weight: f32,
    /// Weight of the commitment loss.
    pub beta: f32,
    /// Weigh the codebook loss by `beta` in place of the commitment loss, as the authors' released models were trained.
    pub legacy_beta: bool,
}

impl Default for TokenizerConfig {
    fn default() -> Self {
        Self {
            family: Family::Taming,
            resolution: 64,
            in_channels: 3,
            out_channels: 3,
            channels: 64,
            channel_multipliers: vec![1, 2, 2],
            residual_blocks: 1,
            attention_resolutions: vec![],
            z_channels: 128,
            embed_dim: 8,
            codebook_size: 1024,
            quantizer: QuantizerKind::L2,
            fsq_levels: vec![],
            lfq_high_bit_first: false,
            codes_per_position: 1,
            kl_weight: 5e-4,
            beta: 0.25,
            legacy_beta: false,
        }
    }
}

impl TokenizerConfig {
    /// The number of resolutions.
    pub fn levels(&self) -> usize {
        self.channel_multipliers.len()
    }

    /// The downsampling factor f: one code stands for f × f pixels.
    pub fn factor(&self) -> usize {
        1 << (self.levels() - 1)
    }

    /// The width of a level, 0 being the highest resolution.
    pub fn width(&self, level: usize) -> usize {
        self.channels * self.channel_multipliers[level]
    }

    /// Whether attention follows the residual blocks of a level.
    pub fn has_attention(&self, level: usize) -> bool {
        self.attention_resolutions
            .contains(&(self.resolution >> level))
    }

    /// No network of this shape has fewer parameters. It saturates, so a hostile configuration cannot overflow it.
    pub fn least_parameters(&self) -> usize {
        let product = |factors: &[usize]| {
            factors
                .iter()
                .fold(1usize, |all, &factor| all.saturating_mul(factor))
        };
        let level = |&multiplier: &usize| {
            let width = self.channels.saturating_mul(multiplier);
            // The second convolution of every residual block, encoder and decoder.
            product(&[2 * 9, self.residual_blocks, width, width])
        };
        let blocks = self.channel_multipliers.iter().map(level);
        let last = self.channel_multipliers.last().copied().unwrap_or(1);
        let rest = [
            product(&[9, self.in_channels, self.channels]),
            product(&[9, self.out_channels, self.channels]),
            product(&[2 * 9, self.z_channels, self.channels, last]),
            product(&[2, self.z_channels, self.embed_dim]),
            product(&[self.codebook_size, self.embed_dim]),
        ];
        blocks.chain(rest).fold(0, usize::saturating_add)
    }

    /// Says what is wrong with a configuration that cannot be built, naming the field.
    pub fn check(&self) -> Result<()> {
        let positive = [
            ("resolution", self.resolution),
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("channels", self.channels),
            ("residual_blocks", self.residual_blocks),
            ("z_channels", self.z_channels),
            ("embed_dim", self.embed_dim),
            ("codebook_size", self.codebook_size),
        ];
        for (name, value) in positive {
            if value == 0 {
                return Err(Error::input(format!("{name} is 0; it must be at least 1")));
            }
            if value > 1 << 20 {
                return Err(Error::input(format!(
                    "{name} is {value}; the most is {}",
                    1 << 20
                )));
            }
        }
        if !self.channels.is_multiple_of(GroupNorm::GROUPS) {
            return Err(Error::input(format!(
                "channels is {}; it must be a multiple of {}, the number of normalisation groups",
                self.channels,
                GroupNorm::GROUPS
            )));
        }
        let multipliers = &self.channel_multipliers;
        if multipliers.is_empty()
            || multipliers.len() > 8
            || multipliers.iter().any(|&m| m == 0 || m > 64)
        {
            return Err(Error::input(format!(
                "channel_multipliers is {multipliers:?}; give 1 to 8 whole numbers from 1 to 64"
            )));
        }
        if !self.beta.is_finite() || self.beta < 0.0 {
            return Err(Error::input(format!(
                "beta is {}; it must be 0 or more",
                self.beta
            )));
        }
        Ok(())
    }
}
