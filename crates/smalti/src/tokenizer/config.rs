//! The shape of a tokenizer: everything that decides which parameters it has and what they compute.

mod check;

use super::remap::UnknownCode;
use super::{dalle, vqvae2};
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
    /// A code drawn by its logit: the authors' `GumbelQuantize`.
    Gumbel,
    /// Every dimension rounded to a few values; no codebook.
    Fsq,
    /// The signs of the vector as bits; no codebook.
    Lfq,
    /// The nearest code of a random codebook under a learned linear layer.
    Simvq,
    /// Several nearest codes that add up, codes being moving averages.
    Residual,
    /// The code with the largest product, with gradients to all of them.
    Ibq,
}

impl QuantizerKind {
    /// All there are.
    pub const ALL: [Self; 10] = [
        Self::Nearest,
        Self::L2,
        Self::Ema,
        Self::EmaL2,
        Self::Gumbel,
        Self::Fsq,
        Self::Lfq,
        Self::Simvq,
        Self::Residual,
        Self::Ibq,
    ];

    /// Whether its codes are rows of their own, which k-means may set and a restart may move. Those of Gumbel-softmax and
    /// IBQ are tied to logits, those of SimVQ to one linear layer, and FSQ and LFQ have none.
    pub fn has_rows(self) -> bool {
        match self {
            Self::Nearest | Self::L2 | Self::Ema | Self::EmaL2 | Self::Residual => true,
            Self::Gumbel | Self::Fsq | Self::Lfq | Self::Simvq | Self::Ibq => false,
        }
    }

    /// Whether it has an entropy loss.
    pub fn has_entropy_loss(self) -> bool {
        !matches!(self, Self::Gumbel | Self::Fsq)
    }

    /// Whether how the gradient passes a code can be chosen; the others have an estimator of their own.
    pub fn takes_code_gradient(self) -> bool {
        !matches!(self, Self::Gumbel | Self::Fsq | Self::Ibq)
    }

    /// As it is written in settings.
    pub(crate) fn name(self) -> String {
        let name = serde_json::to_value(self).unwrap_or_default();
        name.as_str().unwrap_or_default().to_string()
    }
}

/// Whose networks encoder and decoder are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// The paper's; latent-diffusion, diffusers and LlamaGen have the same.
    #[default]
    Taming,
    /// MaskGIT's.
    Maskgit,
    /// Open-MAGVIT2's.
    Magvit2,
    /// DALL-E's discrete VAE.
    Dalle,
    /// VQ-VAE-2's two levels of codes, of the paper's blocks.
    Vqvae2,
    /// None: pixels themselves are quantised.
    Colours,
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
    /// How many codes a codebook has; with two levels, each of both.
    pub codebook_size: usize,
    pub quantizer: QuantizerKind,
    /// FSQ: how many values each of the `embed_dim` dimensions takes; `codebook_size` is their product.
    pub fsq_levels: Vec<usize>,
    /// LFQ: whether the first dimension is the highest bit of the code, in place of the lowest.
    pub lfq_high_bit_first: bool,
    /// Residual: how many codes stand for one position, each for what those before it left over. Two levels have 5.
    pub codes_per_position: usize,
    /// How many codes have new numbers, all others being left out of the grids; 0 leaves the codebook's numbers.
    pub used_codes: usize,
    /// What becomes of the others: `random`, or `extra`, a number of their own.
    pub unknown_code: UnknownCode,
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
            used_codes: 0,
            unknown_code: UnknownCode::Random,
            kl_weight: 5e-4,
            beta: 0.25,
            legacy_beta: false,
        }
    }
}

impl TokenizerConfig {
    /// Whether 1×1 convolutions stand before and after the quantiser.
    pub fn has_quant_conv(&self) -> bool {
        self.family == Family::Taming
    }

    /// The number of resolutions.
    pub fn levels(&self) -> usize {
        self.channel_multipliers.len()
    }

    /// The downsampling factor f: one code stands for f × f pixels.
    pub fn factor(&self) -> usize {
        1 << (self.levels() - 1)
    }

    /// How many different codes there are in all codebooks; those of residual quantisation share their numbers.
    pub fn all_codes(&self) -> usize {
        match self.family {
            Family::Vqvae2 => self.codebook_size.saturating_mul(2),
            _ => self.codebook_size,
        }
    }

    /// How many different codes a grid may hold.
    pub fn codes(&self) -> usize {
        match (self.used_codes, self.unknown_code) {
            (0, _) => self.all_codes(),
            (used, UnknownCode::Random) => used,
            (used, UnknownCode::Extra) => used + 1,
        }
    }

    /// Rows and columns of the codes of a picture of `height` and `width`, multiples of f. Several codes of one position
    /// stand side by side.
    pub fn grid(&self, [height, width]: [usize; 2]) -> [usize; 2] {
        [height, width.saturating_mul(self.codes_per_position)].map(|side| side / self.factor())
    }

    /// Height and width of the picture of a grid of codes.
    pub fn pixels_of(&self, [rows, columns]: [usize; 2]) -> [usize; 2] {
        [rows, columns / self.codes_per_position].map(|side| side.saturating_mul(self.factor()))
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
        match self.family {
            Family::Dalle => return dalle::least_parameters(self),
            Family::Vqvae2 => return vqvae2::least_parameters(self),
            Family::Colours => {
                return self.quantizer_parameters().saturating_add(self.used_codes);
            }
            Family::Taming | Family::Maskgit | Family::Magvit2 => {}
        }
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
            match self.has_quant_conv() {
                true => product(&[2, self.z_channels, self.embed_dim]),
                false => 0,
            },
            self.quantizer_parameters(),
            self.used_codes,
        ];
        blocks.chain(rest).fold(0, usize::saturating_add)
    }

    /// The parameters of the quantiser, averages included, of one level where there are two; it saturates.
    pub(super) fn quantizer_parameters(&self) -> usize {
        let codebook = self.codebook_size.saturating_mul(self.embed_dim);
        // Rows, their sums, and how many vectors they are made of.
        let averaged = codebook
            .saturating_mul(2)
            .saturating_add(self.codebook_size);
        match self.quantizer {
            QuantizerKind::Nearest | QuantizerKind::L2 | QuantizerKind::Ibq => codebook,
            QuantizerKind::Ema | QuantizerKind::EmaL2 => averaged,
            QuantizerKind::Residual => averaged.saturating_mul(self.codes_per_position),
            // The convolution has a row and a bias for every code.
            QuantizerKind::Gumbel => averaged,
            QuantizerKind::Simvq => {
                let layer = self.embed_dim.saturating_mul(self.embed_dim);
                codebook.saturating_add(layer.saturating_add(self.embed_dim))
            }
            QuantizerKind::Fsq | QuantizerKind::Lfq => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantizer(
        quantizer: QuantizerKind,
        embed_dim: usize,
        codebook_size: usize,
    ) -> TokenizerConfig {
        TokenizerConfig {
            quantizer,
            embed_dim,
            codebook_size,
            ..TokenizerConfig::default()
        }
    }

    #[track_caller]
    fn refused(config: TokenizerConfig, part: &str) {
        let message = config.check().unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }

    #[test]
    fn quantisers_that_cannot_be_built_are_refused() {
        let fsq = |levels: &[usize], embed_dim, codebook_size| TokenizerConfig {
            fsq_levels: levels.to_vec(),
            ..quantizer(QuantizerKind::Fsq, embed_dim, codebook_size)
        };
        fsq(&[8, 5, 5], 3, 200).check().unwrap();
        refused(fsq(&[8, 5], 3, 40), "fsq_levels has 2 entries");
        refused(fsq(&[8, 1, 5], 3, 40), "fsq_levels has 1");
        refused(fsq(&[8, 65, 5], 3, 2600), "fsq_levels has 65");
        refused(fsq(&[8, 5, 5], 3, 256), "set codebook_size to 200");
        refused(fsq(&[64; 200], 200, 64), "fewer or smaller");

        quantizer(QuantizerKind::Lfq, 10, 1024).check().unwrap();
        refused(
            quantizer(QuantizerKind::Lfq, 10, 1000),
            "set codebook_size to 1024",
        );
        refused(
            quantizer(QuantizerKind::Lfq, 19, 1 << 19),
            "embed_dim is 19",
        );

        let codes = |kind, codes_per_position| TokenizerConfig {
            codes_per_position,
            ..quantizer(kind, 8, 64)
        };
        codes(QuantizerKind::Residual, 32).check().unwrap();
        refused(codes(QuantizerKind::Residual, 0), "codes_per_position is 0");
        refused(
            codes(QuantizerKind::Residual, 33),
            "codes_per_position is 33",
        );
        refused(codes(QuantizerKind::Nearest, 2), "quantizer to residual");
        refused(codes(QuantizerKind::Lfq, 2), "quantizer to residual");
        let kl_weight = f32::NAN;
        refused(
            TokenizerConfig {
                kl_weight,
                ..TokenizerConfig::default()
            },
            "kl_weight",
        );
    }

    #[test]
    fn kinds_have_the_names_of_the_literature() {
        for (kind, name) in [
            (QuantizerKind::Gumbel, "\"gumbel\""),
            (QuantizerKind::Simvq, "\"simvq\""),
            (QuantizerKind::EmaL2, "\"ema-l2\""),
            (QuantizerKind::Residual, "\"residual\""),
        ] {
            assert_eq!(serde_json::to_string(&kind).unwrap(), name);
        }
    }

    #[test]
    fn hostile_sizes_do_not_overflow() {
        for kind in [
            QuantizerKind::Nearest,
            QuantizerKind::Ema,
            QuantizerKind::Gumbel,
            QuantizerKind::Simvq,
            QuantizerKind::Residual,
        ] {
            let config = TokenizerConfig {
                codes_per_position: usize::MAX,
                ..quantizer(kind, usize::MAX, usize::MAX)
            };
            assert_eq!(config.least_parameters(), usize::MAX);
        }
    }
}
