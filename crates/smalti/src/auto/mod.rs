//! What to train when nobody says: from [`Facts`] about pictures and machine to the recipes of both stages, each choice
//! with its reason. Plain functions of facts and wishes: the same ones give the same recipes.
//!
//! The figures behind the choices are those of `docs/emoji.md` (how fast, how long until something is learned) and
//! `docs/tokenizers.md` (which codebooks stay alive).

mod facts;
mod prior;
mod squares;
#[cfg(test)]
mod tests;
mod tokenizer;

pub use facts::Facts;

use crate::error::{Error, Result};
use crate::prior::PriorRecipe;
use crate::tokenizer::TokenizerRecipe;
use squares::Squares;

/// What a person wants, whatever the pictures are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wishes {
    /// Minutes for both trainings together.
    pub minutes: f64,
    /// The side of the square pictures in pixels; chosen if `None`.
    pub size: Option<usize>,
    /// Whether to learn classes; chosen if `None`.
    pub classes: Option<bool>,
}

/// One choice, for a person to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What it is about.
    pub about: &'static str,
    pub value: String,
    /// Why, in a few words.
    pub reason: String,
}

impl Choice {
    fn new(about: &'static str, value: impl ToString, reason: impl Into<String>) -> Self {
        Self {
            about,
            value: value.to_string(),
            reason: reason.into(),
        }
    }
}

/// The recipes of both stages, without data and tokenizer, and how they came about.
#[derive(Debug, Clone)]
pub struct Choices {
    pub tokenizer: TokenizerRecipe,
    pub prior: PriorRecipe,
    pub choices: Vec<Choice>,
}

/// Chooses what both stages are trained with.
///
/// ```
/// use smalti::auto::{Facts, Wishes, choose};
///
/// let facts = Facts {
///     pictures: 1892,
///     classes: 9,
///     without_class: 0,
///     sides: vec![32; 64],
///     grey: false,
///     pixel_art: false,
///     threads: 2,
/// };
/// let wishes = Wishes { minutes: 60.0, size: None, classes: None };
/// let chosen = choose(&facts, &wishes)?;
/// assert_eq!(chosen.tokenizer.training.size, 32);
/// assert_eq!(chosen.tokenizer.network.factor(), 4);
/// # Ok::<(), smalti::Error>(())
/// ```
///
/// # Errors
/// No time, or a size that no network has.
pub fn choose(facts: &Facts, wishes: &Wishes) -> Result<Choices> {
    if !(wishes.minutes > 0.0 && wishes.minutes.is_finite()) {
        return Err(Error::input("--minutes must be above 0"));
    }
    let mut choices = Vec::new();
    let minutes = divide(facts, wishes.minutes, &mut choices);
    let squares = Squares::choose(facts, wishes.size, minutes[0], &mut choices)?;
    let tokenizer = tokenizer::choose(facts, &squares, minutes[0], &mut choices)?;
    let prior = prior::choose(
        facts,
        (&squares, wishes.classes),
        &tokenizer,
        minutes[1],
        &mut choices,
    )?;
    Ok(Choices {
        tokenizer,
        prior,
        choices,
    })
}

/// Below so many pictures a prior has learned them by heart before long.
const SOON_BY_HEART: usize = 500;

/// Minutes of the tokenizer and of the prior.
fn divide(facts: &Facts, minutes: f64, choices: &mut Vec<Choice>) -> [f64; 2] {
    let (share, reason) = if facts.pictures < SOON_BY_HEART {
        (0.75, "so few pictures leave a prior little to learn")
    } else {
        (
            0.6,
            "a prior draws no better than the tokenizer can, and learns faster",
        )
    };
    let divided = [share * minutes, (1.0 - share) * minutes];
    let value = format!("{:.1} + {:.1} minutes", divided[0], divided[1]);
    choices.push(Choice::new("time", value, reason));
    divided
}
