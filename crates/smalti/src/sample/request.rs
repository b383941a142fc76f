//! What one picture is to become, and where its chance comes from.

use crate::error::{Error, Result};
use crate::prior::PriorConfig;
use crate::prior::condition::{Conditioning, Fixed, Window};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

/// What one picture is to become.
#[derive(Clone)]
pub struct Request {
    pub condition: Arc<dyn Conditioning>,
    /// What stands in the condition's place in a picture under none: guidance leads away from that.
    pub unconditional: Option<Arc<dyn Conditioning>>,
    /// The whole grid in reading order. What is known stays, the rest is drawn.
    pub known: Vec<Option<i64>>,
    /// Decides the picture, together with the options: it comes out the same beside any others.
    pub seed: u64,
}

impl Request {
    /// A picture of `codes` codes of which none is known.
    pub fn new(condition: Arc<dyn Conditioning>, codes: usize, seed: u64) -> Self {
        Self {
            condition,
            unconditional: None,
            known: vec![None; codes],
            seed,
        }
    }

    /// How many codes are to be drawn.
    pub fn unknown(&self) -> usize {
        self.known.iter().filter(|code| code.is_none()).count()
    }
}

/// The condition of a picture of `class`, which an unconditional prior ignores.
///
/// # Errors
/// A class-conditional prior without a class, or with one it does not have.
pub fn class_condition(
    config: &PriorConfig,
    class: Option<usize>,
) -> Result<Arc<dyn Conditioning>> {
    Ok(Arc::new(Fixed(config.condition.tokens(class)?)))
}

/// The seed of picture number `index` of those drawn with one `seed`.
pub fn picture_seed(seed: u64, index: usize) -> u64 {
    stream(seed, index, 1).next_u64()
}

/// Where the chance of one code of a picture comes from. It is the code's own, so the order of drawing decides nothing.
pub(super) fn code_random(seed: u64, cell: usize) -> ChaCha8Rng {
    stream(seed, cell, 2)
}

/// The generator number `number` of a purpose under a seed.
fn stream(seed: u64, number: usize, purpose: u8) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&(number as u64).to_le_bytes());
    key[16] = purpose;
    ChaCha8Rng::from_seed(key)
}

/// How many vectors and how many tokens a condition puts before the codes of a window.
pub(super) fn condition_shape(
    condition: &dyn Conditioning,
    window: &Window,
    width: usize,
) -> Result<[usize; 2]> {
    let vectors = condition.prefix().unwrap_or_default().len();
    if !vectors.is_multiple_of(width) {
        return Err(Error::input(format!(
            "the condition has vectors of {vectors} values in all, which is no multiple of the prior's width, {width}"
        )));
    }
    Ok([vectors / width, condition.tokens(window).len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_and_codes_have_seeds_of_their_own() {
        let mut seeds: Vec<u64> = (0..3)
            .flat_map(|seed| (0..100).map(move |index| picture_seed(seed, index)))
            .chain(
                (0..3)
                    .flat_map(|seed| (0..100).map(move |cell| code_random(seed, cell).next_u64())),
            )
            .collect();
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), 600);
        assert_eq!(picture_seed(1, 2), picture_seed(1, 2));
    }
}
