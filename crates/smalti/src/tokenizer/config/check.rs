//! What a tokenizer cannot be, said by the field that is wrong.

use super::{Family, QuantizerKind, TokenizerConfig};
use crate::error::{Error, Result};
use crate::layers::GroupNorm;
use crate::tokenizer::{colours, dalle, vqvae2};

/// The most that a size may be.
const LARGEST: usize = 1 << 20;

impl TokenizerConfig {
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
            if value > LARGEST {
                return Err(Error::input(format!(
                    "{name} is {value}; the most is {LARGEST}"
                )));
            }
        }
        if self.family != Family::Dalle && !self.channels.is_multiple_of(GroupNorm::GROUPS) {
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
        if self.used_codes > self.all_codes() {
            return Err(Error::input(format!(
                "used_codes is {}, but there are only {} codes",
                self.used_codes,
                self.all_codes()
            )));
        }
        self.check_family()?;
        self.check_quantizer()
    }

    fn check_family(&self) -> Result<()> {
        match self.family {
            Family::Taming => Ok(()),
            Family::Dalle => dalle::check(self),
            Family::Vqvae2 => vqvae2::check(self),
            Family::Colours => colours::check(self),
            Family::Maskgit | Family::Magvit2 if self.z_channels == self.embed_dim => Ok(()),
            Family::Maskgit | Family::Magvit2 => Err(Error::input(format!(
                "z_channels is {} and embed_dim {}; in this family, which has no convolution between, they must be equal",
                self.z_channels, self.embed_dim
            ))),
        }
    }

    fn check_quantizer(&self) -> Result<()> {
        if !self.kl_weight.is_finite() || self.kl_weight < 0.0 {
            return Err(Error::input(format!(
                "kl_weight is {}; it must be 0 or more",
                self.kl_weight
            )));
        }
        let codes = self.codes_per_position;
        match self.quantizer {
            QuantizerKind::Residual if !(1..=32).contains(&codes) => {
                return Err(Error::input(format!(
                    "codes_per_position is {codes}; residual quantisation has 1 to 32"
                )));
            }
            QuantizerKind::Residual => {}
            // The family has said how many it has.
            _ if self.family == Family::Vqvae2 => {}
            _ if codes != 1 => {
                return Err(Error::input(format!(
                    "codes_per_position is {codes}; set it to 1, or quantizer to residual, the only one with several"
                )));
            }
            QuantizerKind::Fsq => self.check_levels()?,
            QuantizerKind::Lfq => self.check_bits()?,
            _ => {}
        }
        Ok(())
    }

    fn check_levels(&self) -> Result<()> {
        let levels = &self.fsq_levels;
        if levels.len() != self.embed_dim {
            return Err(Error::input(format!(
                "fsq_levels has {} entries and embed_dim is {}; give one number of levels per dimension",
                levels.len(),
                self.embed_dim
            )));
        }
        if let Some(level) = levels.iter().find(|level| !(2..=64).contains(*level)) {
            return Err(Error::input(format!(
                "fsq_levels has {level}; give whole numbers from 2 to 64"
            )));
        }
        let product = levels.iter().try_fold(1usize, |product, &level| {
            product
                .checked_mul(level)
                .filter(|&product| product <= LARGEST)
        });
        match product {
            Some(product) if product == self.codebook_size => Ok(()),
            Some(product) => Err(Error::input(format!(
                "codebook_size is {}, but fsq_levels make {product} codes: set codebook_size to {product}",
                self.codebook_size
            ))),
            None => Err(Error::input(format!(
                "fsq_levels make more than {LARGEST} codes: give fewer or smaller ones"
            ))),
        }
    }

    fn check_bits(&self) -> Result<()> {
        let bits = self.embed_dim;
        if bits > 18 {
            return Err(Error::input(format!(
                "embed_dim is {bits}; lfq makes a bit of every dimension, and the most is 18"
            )));
        }
        let codes = 1usize << bits;
        if self.codebook_size != codes {
            return Err(Error::input(format!(
                "codebook_size is {}, but {bits} bits make {codes} codes: set codebook_size to {codes}",
                self.codebook_size
            )));
        }
        Ok(())
    }
}
