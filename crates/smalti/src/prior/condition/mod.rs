//! What a prior is conditioned on, as tokens that stand before the codes. One file each, all behind [`Condition`].

mod class;
mod none;

pub use class::ClassCondition;
pub use none::StartToken;

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The part of a grid of codes that the prior sees at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    pub rows: Range<usize>,
    pub columns: Range<usize>,
    /// Rows and columns of the whole grid.
    pub grid: [usize; 2],
}

/// What a picture is drawn under: gives the condition's tokens for any window of it.
pub trait Conditioning: Send + Sync {
    /// As many for every window. With [`Conditioning::prefix`], there is at least one position in all.
    fn tokens(&self, window: &Window) -> Vec<i64>;

    /// Vectors that stand before the tokens in the place of embeddings, `[count, width]`.
    fn prefix(&self) -> Option<&[f32]> {
        None
    }
}

/// The same tokens for every window: a start token, a class, or what stands for no condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed(pub Vec<i64>);

impl Conditioning for Fixed {
    fn tokens(&self, _: &Window) -> Vec<i64> {
        self.0.clone()
    }
}

/// Any of the conditions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Condition {
    None(StartToken),
    Class(ClassCondition),
}

impl Default for Condition {
    fn default() -> Self {
        Self::None(StartToken::default())
    }
}

impl Condition {
    /// How many tokens it puts before the codes.
    pub fn length(&self) -> usize {
        match self {
            Self::None(_) | Self::Class(_) => 1,
        }
    }

    /// Its name on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::None(_) => "none",
            Self::Class(_) => "class",
        }
    }

    /// The tokens for a picture of `class`, which an unconditional prior ignores.
    ///
    /// # Errors
    /// A class-conditional prior without a class, or with one it does not have.
    pub fn tokens(&self, class: Option<usize>) -> Result<Vec<i64>> {
        match self {
            Self::None(start) => Ok(start.tokens()),
            Self::Class(condition) => match class {
                Some(class) => condition.tokens(class),
                None => Err(Error::input(format!(
                    "this prior is conditioned on a class: give --class ({})",
                    condition.describe()
                ))),
            },
        }
    }

    /// The class that a name or number stands for; `None` without one.
    ///
    /// # Errors
    /// A class this prior does not have, or any for an unconditional one.
    pub fn class(&self, text: Option<&str>) -> Result<Option<usize>> {
        match (self, text) {
            (Self::Class(condition), Some(text)) => condition.find(text).map(Some),
            (Self::None(_), Some(_)) => Err(Error::input(
                "a class is given, but this prior has no classes",
            )),
            (_, None) => Ok(None),
        }
    }

    /// Whether its tokens fit into the vocabulary they share with the codes.
    pub fn check(&self, vocabulary: usize) -> Result<()> {
        match self {
            Self::None(start) => start.check(vocabulary),
            Self::Class(condition) => condition.check(vocabulary),
        }
    }
}
