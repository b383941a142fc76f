//! A condition as a map of vectors that lies under the codes: one for all of them where it is a class, one for each
//! where it is a grid as large as theirs.

use crate::error::{Error, Result};
use crate::initializer::Initializer;
use crate::layers::{Conv2d, Embedding};
use crate::ops;
use crate::prior::PriorConfig;
use crate::prior::condition::Condition;
use burn::module::Module;
use burn::tensor::{Int, Tensor};

/// Convolutions that spread what a grid says: unlike codes, all of it is known from the start.
const CONVOLUTIONS: usize = 2;

/// What the tokens of a condition become.
#[derive(Module, Debug)]
pub struct ConditionMap {
    pub table: Embedding,
    /// 3×3, each added to what it reads; a class has none.
    pub surroundings: Vec<Conv2d>,
    #[module(skip)]
    grid: [usize; 2],
}

/// Rows and columns of the map: a single cell for a class, `None` without a condition.
///
/// # Errors
/// A condition that is neither a class nor a grid as large as that of the codes.
pub(super) fn map_size(config: &PriorConfig) -> Result<Option<[usize; 2]>> {
    let own = [config.rows, config.columns];
    let given = match &config.condition {
        Condition::None(_) => return Ok(None),
        Condition::Class(_) => return Ok(Some([1, 1])),
        Condition::Coord(coord) => Some([coord.rows, coord.columns]),
        other => other
            .second_picture()
            .map(|picture| [picture.codes.rows, picture.codes.columns]),
    };
    let name = config.condition.name();
    match given {
        Some(given) if given == own => Ok(Some(own)),
        Some([rows, columns]) => Err(Error::input(format!(
            "a pixelsnail reads a condition cell by cell: {name} has {rows} × {columns} tokens for {} × {} codes; use \
             network gpt, or a condition with as many",
            own[0], own[1]
        ))),
        None => Err(Error::input(format!(
            "a pixelsnail cannot be conditioned on {name}, only on a class or a grid as large as that of the codes: use \
             network gpt"
        ))),
    }
}

/// The rows of the table: one for each token of the condition, and the last for none where training used that.
fn entries(config: &PriorConfig) -> usize {
    match config.condition.vocabulary() {
        // Codes of the tokenizer's own.
        0 => config.vocabulary_size,
        known => known + usize::from(config.nothing_token.is_some()),
    }
}

impl ConditionMap {
    /// `None` without a condition; `config` must have passed [`PriorConfig::check`].
    pub(super) fn new(init: &mut Initializer, config: &PriorConfig) -> Option<Self> {
        let grid = map_size(config).ok().flatten()?;
        let count = match config.condition {
            Condition::Class(_) => 0,
            _ => CONVOLUTIONS,
        };
        Some(Self {
            table: Embedding {
                weight: init.normal([entries(config), config.width], 1.0),
            },
            surroundings: (0..count)
                .map(|_| Conv2d::same(init, [config.width; 2]))
                .collect(),
            grid,
        })
    }

    /// The vectors for the first `rows` rows of codes, from all `tokens` `[b, cells]`: `[b, rows, columns, width]`, or
    /// `[b, 1, 1, width]` of a class.
    pub(super) fn forward(&self, tokens: Tensor<2, Int>, rows: usize) -> Tensor<4> {
        let [entries, width] = self.table.weight.dims();
        let [all_rows, columns] = self.grid;
        let batch = tokens.dims()[0];
        // The token for none lies above those of the codes, which may be many more than the condition's.
        let tokens = tokens.clamp_max(entries as i64 - 1);
        let mut map = self
            .table
            .forward(tokens)
            .reshape([batch, all_rows, columns, width]);
        for layer in &self.surroundings {
            map = layer.forward_residual(ops::elu(map.clone()), map);
        }
        map.slice([0..batch, 0..rows.min(all_rows), 0..columns, 0..width])
    }
}
