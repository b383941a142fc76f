//! The shape of a prior: everything that decides which parameters it has and what they compute.

use super::condition::Condition;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// A transformer over codes. The defaults are small enough to train on a CPU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PriorConfig {
    pub layers: usize,
    pub heads: usize,
    /// Length of the vector at each position (`n_embd` of the authors' GPT).
    pub width: usize,
    /// Rows and columns of the code grid of one picture.
    pub rows: usize,
    pub columns: usize,
    /// The longest sequence, condition included, less the last code, which is never an input.
    pub block_size: usize,
    /// Codes and condition tokens share one vocabulary, as in the authors' models.
    pub vocabulary_size: usize,
    pub embedding_dropout: f64,
    pub residual_dropout: f64,
    pub attention_dropout: f64,
    /// The first positions that see each other in both directions (`n_unmasked`).
    pub unmasked_prefix: usize,
    pub condition: Condition,
}

impl Default for PriorConfig {
    fn default() -> Self {
        Self {
            layers: 6,
            heads: 6,
            width: 192,
            rows: 16,
            columns: 16,
            block_size: 256,
            vocabulary_size: 1024,
            embedding_dropout: 0.0,
            residual_dropout: 0.0,
            attention_dropout: 0.0,
            unmasked_prefix: 0,
            condition: Condition::default(),
        }
    }
}

impl PriorConfig {
    /// Codes per picture.
    pub fn codes(&self) -> usize {
        self.rows * self.columns
    }

    /// No network of this shape has fewer parameters. It saturates, so a hostile configuration cannot overflow it.
    pub fn least_parameters(&self) -> usize {
        let blocks = self
            .layers
            .saturating_mul(12)
            .saturating_mul(self.width)
            .saturating_mul(self.width);
        let tables = self
            .vocabulary_size
            .saturating_mul(2)
            .saturating_add(self.block_size);
        blocks.saturating_add(tables.saturating_mul(self.width))
    }

    /// No network of this shape has fewer tensors: sixteen a layer. Layers of a single channel take far more memory
    /// than their parameters.
    pub fn least_tensors(&self) -> usize {
        self.layers.saturating_mul(16)
    }

    /// Says what is wrong with a configuration that cannot be built, naming the field.
    pub fn check(&self) -> Result<()> {
        let positive = [
            ("layers", self.layers),
            ("heads", self.heads),
            ("width", self.width),
            ("rows", self.rows),
            ("columns", self.columns),
            ("block_size", self.block_size),
            ("vocabulary_size", self.vocabulary_size),
        ];
        for (name, value) in positive {
            if value == 0 || value > 1 << 24 {
                return Err(Error::input(format!(
                    "{name} is {value}; it must be at least 1 and at most {}",
                    1 << 24
                )));
            }
        }
        if self.layers > 4096 {
            return Err(Error::input(format!(
                "layers is {}; the most is 4096",
                self.layers
            )));
        }
        if self.unmasked_prefix > self.condition.length() {
            return Err(Error::input(format!(
                "unmasked_prefix is {}, but the condition has only {} token(s): codes would see themselves",
                self.unmasked_prefix,
                self.condition.length()
            )));
        }
        if !self.width.is_multiple_of(self.heads) {
            return Err(Error::input(format!(
                "width is {} and heads is {}; the width must be a multiple of the heads",
                self.width, self.heads
            )));
        }
        let dropouts = [
            ("embedding_dropout", self.embedding_dropout),
            ("residual_dropout", self.residual_dropout),
            ("attention_dropout", self.attention_dropout),
        ];
        for (name, value) in dropouts {
            if !(0.0..1.0).contains(&value) {
                return Err(Error::input(format!(
                    "{name} is {value}; it must be at least 0 and below 1"
                )));
            }
        }
        let codes = self.rows.saturating_mul(self.columns);
        let needed = codes.saturating_add(self.condition.length()) - 1;
        if self.block_size < needed {
            return Err(Error::input(format!(
                "block_size is {}; {} × {} codes after {} condition token(s) need at least {needed}",
                self.block_size,
                self.rows,
                self.columns,
                self.condition.length()
            )));
        }
        self.condition.check(self.vocabulary_size)
    }
}
