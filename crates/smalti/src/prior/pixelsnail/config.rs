//! The shape of a PixelSNAIL beyond what every prior has, and which priors it can be.

use super::condition;
use crate::error::{Error, Result};
use crate::prior::PriorConfig;
use serde::{Deserialize, Serialize};

/// The most codes of a picture: every one of them looks at all others before it.
const MAX_CODES: usize = 1 << 16;

/// What only a PixelSNAIL has. Of the prior's own settings, `layers` are its blocks, `width` its channels and `heads`
/// those of its attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PixelSnailConfig {
    /// Gated residual blocks before the attention of each block.
    pub residual_blocks: usize,
    /// Values of a query, of a key and of what is seen there, of all heads together.
    pub attention_width: usize,
    /// The side of causal kernels: so many rows and columns they see, the code's own counted.
    pub kernel: usize,
}

impl Default for PixelSnailConfig {
    fn default() -> Self {
        Self {
            residual_blocks: 2,
            attention_width: 96,
            kernel: 2,
        }
    }
}

impl PixelSnailConfig {
    /// Says what is wrong with a prior that cannot be built in this shape, naming the setting.
    pub(crate) fn check(&self, prior: &PriorConfig) -> Result<()> {
        for (name, value, most) in [
            ("residual_blocks", self.residual_blocks, 256),
            ("attention_width", self.attention_width, 1 << 20),
            ("kernel", self.kernel, 9),
        ] {
            if value == 0 || value > most {
                return Err(Error::input(format!(
                    "{name} is {value}; it must be at least 1 and at most {most}"
                )));
            }
        }
        if !self.attention_width.is_multiple_of(prior.heads) {
            return Err(Error::input(format!(
                "attention_width is {} and heads is {}; the width must be a multiple of the heads",
                self.attention_width, prior.heads
            )));
        }
        if !prior.order.is_raster() {
            return Err(Error::input(
                "a pixelsnail reads codes row by row: with network pixelsnail, order must be raster",
            ));
        }
        if prior.unmasked_prefix > 0 {
            return Err(Error::input(
                "unmasked_prefix is for a gpt: a pixelsnail sees all of its condition anyway",
            ));
        }
        if prior.rows.saturating_mul(prior.columns) > MAX_CODES {
            return Err(Error::input(format!(
                "{} × {} codes are too many for a pixelsnail; the most is {MAX_CODES}",
                prior.rows, prior.columns
            )));
        }
        condition::map_size(prior)?;
        Ok(())
    }

    /// No network of this shape has fewer parameters. It saturates.
    pub(crate) fn least_parameters(&self, prior: &PriorConfig) -> usize {
        let square = prior.width.saturating_mul(prior.width);
        let taps = self.kernel.saturating_mul(self.kernel);
        let residual = taps.saturating_mul(3).saturating_mul(self.residual_blocks);
        let attention = self
            .attention_width
            .saturating_mul(prior.width)
            .saturating_mul(6);
        let block = residual
            .saturating_add(12)
            .saturating_mul(square)
            .saturating_add(attention);
        let tables = prior
            .vocabulary_size
            .saturating_mul(2)
            .saturating_mul(prior.width);
        block.saturating_mul(prior.layers).saturating_add(tables)
    }

    /// No network of this shape has fewer tensors. It saturates.
    pub(crate) fn least_tensors(&self, prior: &PriorConfig) -> usize {
        let block = self.residual_blocks.saturating_mul(4).saturating_add(20);
        block.saturating_mul(prior.layers)
    }
}
