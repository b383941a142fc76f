//! What a prior reads: for every square of a picture its codes and what the condition needs, in memory
//! ([`CodeSet`](super::CodeSet)) or in a file that is larger than it; and how both become tokens.

use super::condition::Condition;
use super::config::PriorConfig;
use crate::error::{Error, Result};

/// Many pictures of one size, as codes. Each has the same number of everything.
pub trait Sequences {
    /// How many pictures.
    fn count(&self) -> usize;

    /// The codes of a picture in reading order.
    fn codes(&self, index: usize) -> Vec<i64>;

    /// The class of a picture, if it has one.
    fn class(&self, index: usize) -> Option<usize>;

    /// The condition's tokens of a picture; empty where they follow from its class or there are none.
    fn condition(&self, index: usize) -> Vec<i64>;

    /// The vector of a picture's text, or nothing.
    fn text(&self, index: usize) -> Vec<f32>;
}

/// Condition tokens and codes of each picture, one row each, the codes in the order of the prior.
///
/// # Errors
/// A set without the condition that the prior is for.
pub fn sequences(
    config: &PriorConfig,
    set: &dyn Sequences,
    pictures: &[usize],
) -> Result<Vec<Vec<i64>>> {
    let positions = config.positions();
    let sequence = |&picture: &usize| -> Result<Vec<i64>> {
        let mut tokens = condition_tokens(config, set, picture)?;
        let codes = set.codes(picture);
        tokens.extend(positions.iter().map(|&cell| codes[cell]));
        Ok(tokens)
    };
    pictures.iter().map(sequence).collect()
}

/// The condition's tokens of one picture.
///
/// # Errors
/// A set without the condition that the prior is for.
pub fn condition_tokens(
    config: &PriorConfig,
    set: &dyn Sequences,
    picture: usize,
) -> Result<Vec<i64>> {
    let condition = &config.condition;
    if matches!(condition, Condition::None(_) | Condition::Class(_)) {
        return condition.tokens(set.class(picture));
    }
    if condition.tokens_before() == 0 {
        return Ok(Vec::new());
    }
    let tokens = set.condition(picture);
    if tokens.len() != condition.tokens_before() {
        return Err(Error::input(format!(
            "the codes come with {} tokens of a condition, but this prior's condition, {}, has {}",
            tokens.len(),
            condition.name(),
            condition.tokens_before()
        )));
    }
    let largest = config.nothing_token.unwrap_or(config.vocabulary_size) as i64;
    match tokens.iter().find(|token| !(0..largest).contains(*token)) {
        Some(token) => Err(Error::input(format!(
            "the condition of picture {picture} has the token {token}, which is outside the vocabulary"
        ))),
        None => Ok(tokens),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prior::condition::CoordCondition;
    use crate::prior::{CodeSet, ScanOrder};

    fn config() -> PriorConfig {
        PriorConfig {
            rows: 2,
            columns: 2,
            block_size: 7,
            vocabulary_size: 16,
            condition: Condition::Coord(CoordCondition {
                levels: 8,
                factor: 4,
                rows: 2,
                columns: 2,
            }),
            ..PriorConfig::default()
        }
    }

    fn set() -> CodeSet {
        CodeSet {
            codes: vec![10, 11, 12, 13, 14, 15, 10, 11],
            rows: 2,
            columns: 2,
            condition: vec![0, 1, 2, 3, 4, 5, 6, 7],
            ..CodeSet::default()
        }
    }

    #[test]
    fn the_condition_comes_first_and_codes_follow_in_their_order() {
        let rows = sequences(&config(), &set(), &[1, 0]).unwrap();
        assert_eq!(rows[0], [4, 5, 6, 7, 14, 15, 10, 11]);
        assert_eq!(rows[1], [0, 1, 2, 3, 10, 11, 12, 13]);
        let spiral = PriorConfig {
            order: ScanOrder::SpiralOut,
            ..config()
        };
        let rows = sequences(&spiral, &set(), &[0]).unwrap();
        assert_eq!(rows[0], [0, 1, 2, 3, 12, 10, 11, 13]);
    }

    #[test]
    fn codes_without_their_condition_are_refused() {
        let without = CodeSet {
            condition: Vec::new(),
            ..set()
        };
        let error = sequences(&config(), &without, &[0]).unwrap_err();
        assert!(error.to_string().contains("coord, has 4"), "{error}");
        let outside = CodeSet {
            condition: vec![0, 1, 2, 16, 4, 5, 6, 7],
            ..set()
        };
        let error = sequences(&config(), &outside, &[0]).unwrap_err();
        assert!(error.to_string().contains("the token 16"), "{error}");
        assert!(sequences(&config(), &outside, &[1]).is_ok());
    }

    #[test]
    fn files_of_codes_keep_the_condition() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("codes.safetensors");
        let set = CodeSet {
            texts: vec![0.5, -1.0],
            codebook_size: 16,
            ..set()
        };
        set.save(&path).unwrap();
        assert_eq!(CodeSet::load(&path).unwrap(), set);
        assert_eq!(
            (set.condition(1), set.text(1)),
            (&[4, 5, 6, 7][..], &[-1.0][..])
        );
    }
}
