//! The shape of a prior: everything that decides which parameters it has and what they compute.

use super::condition::{Condition, Conditioning, Fixed};
use super::network::Architecture;
use super::order::ScanOrder;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A network over codes. The defaults are small enough to train on a CPU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PriorConfig {
    /// Which network it is.
    #[serde(skip_serializing_if = "Architecture::is_gpt")]
    pub network: Architecture,
    /// Of a PixelSNAIL, its blocks.
    pub layers: usize,
    pub heads: usize,
    /// Length of the vector at each position (`n_embd` of the authors' GPT, the channels of a PixelSNAIL).
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
    /// In which order the codes of the grid follow each other.
    #[serde(skip_serializing_if = "ScanOrder::is_raster")]
    pub order: ScanOrder,
    /// The token that stood in the place of all of the condition's where training left it out. Codes and conditions are
    /// below it: the vocabulary is larger by one because of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nothing_token: Option<usize>,
}

impl Default for PriorConfig {
    fn default() -> Self {
        Self {
            network: Architecture::Gpt,
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
            order: ScanOrder::Raster,
            nothing_token: None,
        }
    }
}

impl PriorConfig {
    /// Codes per picture.
    pub fn codes(&self) -> usize {
        self.rows * self.columns
    }

    /// The cell, in reading order, of every code of a sequence.
    pub fn positions(&self) -> Vec<usize> {
        self.order.positions(self.rows, self.columns)
    }

    /// The tokens that stand for no condition, if it was trained with those; a condition of vectors has no tokens (see
    /// [`Model::unconditional`](crate::model::Model::unconditional)).
    pub fn unconditional(&self) -> Option<Arc<dyn Conditioning>> {
        let token = self.nothing_token? as i64;
        Some(Arc::new(Fixed(vec![token; self.condition.tokens_before()])))
    }

    /// No network of this shape has fewer parameters. It saturates, so a hostile configuration cannot overflow it.
    pub fn least_parameters(&self) -> usize {
        let condition = self.condition.least_parameters(self.width);
        if let Some(shape) = self.network.pixelsnail() {
            return shape.least_parameters(self).saturating_add(condition);
        }
        let blocks = self
            .layers
            .saturating_mul(12)
            .saturating_mul(self.width)
            .saturating_mul(self.width);
        let tables = self
            .vocabulary_size
            .saturating_mul(2)
            .saturating_add(self.block_size);
        blocks
            .saturating_add(tables.saturating_mul(self.width))
            .saturating_add(condition)
    }

    /// No network of this shape has fewer tensors: sixteen a layer of a GPT. Layers of a single channel take far more
    /// memory than their parameters.
    pub fn least_tensors(&self) -> usize {
        match self.network.pixelsnail() {
            Some(shape) => shape.least_tensors(self),
            None => self.layers.saturating_mul(16),
        }
    }

    /// What the network is, in a few words: `6 layers, 6 heads, width 192`.
    pub fn describe(&self) -> String {
        let layers = match self.network.pixelsnail() {
            Some(shape) => format!(
                "pixelsnail of {} blocks of {} residual blocks, kernel {}, attention width {}",
                self.layers, shape.residual_blocks, shape.kernel, shape.attention_width
            ),
            None => format!("{} layers", self.layers),
        };
        format!("{layers}, {} heads, width {}", self.heads, self.width)
    }

    /// Says what is wrong with a configuration that cannot be built, naming the field.
    pub fn check(&self) -> Result<()> {
        self.check_sizes()?;
        if self.unmasked_prefix > self.condition.length() {
            return Err(Error::input(format!(
                "unmasked_prefix is {}, but the condition has only {} token(s): codes would see themselves",
                self.unmasked_prefix,
                self.condition.length()
            )));
        }
        self.network.check(self)?;
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
        self.check_length()?;
        self.order.check(self.rows, self.columns)?;
        self.check_vocabulary()
    }

    fn check_sizes(&self) -> Result<()> {
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
        Ok(())
    }

    /// Whether there are codes to learn, and the network can read them after the condition.
    fn check_length(&self) -> Result<()> {
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
        if codes < 2 && self.condition.tokens_before() == 0 {
            return Err(Error::input(
                "the grid has a single code; with a condition of vectors alone there must be two",
            ));
        }
        Ok(())
    }

    /// Whether conditions, and what stands for none, fit into the vocabulary.
    fn check_vocabulary(&self) -> Result<()> {
        match self.nothing_token {
            Some(token) if token >= self.vocabulary_size => Err(Error::input(format!(
                "nothing_token is {token}, but vocabulary_size is {}",
                self.vocabulary_size
            ))),
            Some(token) => self.condition.check(token),
            None => self.condition.check(self.vocabulary_size),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prior::condition::{ClassCondition, CoordCondition, Window};

    fn small() -> PriorConfig {
        PriorConfig {
            rows: 4,
            columns: 4,
            block_size: 16,
            vocabulary_size: 17,
            condition: Condition::Class(ClassCondition {
                classes: 16,
                names: Vec::new(),
            }),
            ..PriorConfig::default()
        }
    }

    #[test]
    fn files_do_not_mention_what_is_not_used() {
        let text = serde_json::to_string(&PriorConfig::default()).unwrap();
        assert!(
            ["order", "nothing", "network"]
                .iter()
                .all(|name| !text.contains(name)),
            "{text}"
        );
        let config = PriorConfig {
            order: ScanOrder::SpiralOut,
            nothing_token: Some(16),
            ..small()
        };
        let text = serde_json::to_string(&config).unwrap();
        assert!(text.contains(r#""order":"spiral-out","nothing_token":16"#));
        assert_eq!(serde_json::from_str::<PriorConfig>(&text).unwrap(), config);
    }

    #[test]
    fn nothing_is_no_token_of_the_condition() {
        assert!(small().unconditional().is_none());
        let with = |token| PriorConfig {
            nothing_token: Some(token),
            ..small()
        };
        with(16).check().unwrap();
        let nothing = with(16).unconditional().unwrap();
        let window = Window {
            rows: 0..4,
            columns: 0..4,
            grid: [4, 4],
        };
        assert_eq!(nothing.tokens(&window), [16]);
        let error = with(17).check().unwrap_err().to_string();
        assert!(error.contains("nothing_token is 17"), "{error}");
        assert!(with(15).check().is_err(), "a class has that token");
    }

    #[test]
    fn long_conditions_need_room() {
        let config = PriorConfig {
            block_size: 31,
            condition: Condition::Coord(CoordCondition {
                levels: 16,
                factor: 4,
                rows: 4,
                columns: 4,
            }),
            unmasked_prefix: 16,
            ..small()
        };
        config.check().unwrap();
        let short = PriorConfig {
            block_size: 30,
            ..config
        };
        let error = short.check().unwrap_err().to_string();
        assert!(
            error.contains("16 condition token(s) need at least 31"),
            "{error}"
        );
    }

    #[test]
    fn orders_must_fit_the_grid() {
        let config = PriorConfig {
            order: ScanOrder::ZCurve,
            rows: 3,
            ..small()
        };
        let error = config.check().unwrap_err().to_string();
        assert!(
            error.contains("z-curve") && error.contains("3 × 4"),
            "{error}"
        );
        let config = PriorConfig {
            order: ScanOrder::Alternate,
            ..config
        };
        config.check().unwrap();
        assert_eq!(config.positions()[4..8], [7, 6, 5, 4]);
    }
}
