//! What the Fréchet distance would be with any number of pictures measured: Chong and Forsyth, "Effectively Unbiased
//! FID and Inception Score and Where to Find Them" (2020). Of N pictures it is too large by about b / N; two halves and
//! the whole determine b.

use super::frechet::{FrechetDistance, FrechetReference};
use super::statistics::FeatureStatistics;
use crate::error::Result;
use serde::Serialize;

/// A Fréchet distance without the part that comes from the number of pictures measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FrechetExtrapolation {
    /// Of all pictures together.
    pub whole: FrechetDistance,
    /// The mean of the two halves'.
    pub of_halves: f64,
    /// At infinitely many pictures, if the distance falls as 1 / N. It can be negative where N is small.
    pub limit: f64,
    /// By how much the distance of all pictures exceeds the limit.
    pub bias: f64,
}

/// Extrapolates from two halves of the pictures measured, which need not be of quite the same size. Takes three times
/// as long as one distance. The bias that comes from the reference's own number of pictures remains.
///
/// # Errors
/// Those of [`FrechetReference::distance`].
pub fn extrapolate(
    reference: &FrechetReference,
    halves: [&FeatureStatistics; 2],
) -> Result<FrechetExtrapolation> {
    let mut all = halves[0].clone();
    all.merge(halves[1])?;
    let whole = reference.distance(&all)?;
    let parts = [
        reference.distance(halves[0])?,
        reference.distance(halves[1])?,
    ];
    let of_halves = (parts[0].distance + parts[1].distance) / 2.0;
    let inverse = |distance: &FrechetDistance| 1.0 / distance.pictures as f64;
    let inverse_of_halves = (inverse(&parts[0]) + inverse(&parts[1])) / 2.0;
    let slope = (of_halves - whole.distance) / (inverse_of_halves - inverse(&whole));
    let bias = slope * inverse(&whole);
    Ok(FrechetExtrapolation {
        of_halves,
        limit: whole.distance - bias,
        bias,
        whole,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::uniform_f32;
    use super::*;

    /// Of halves of one size: twice the whole less the halves.
    #[test]
    fn the_limit_lies_on_the_line_through_both() {
        let features = |seed: u64, count: usize| {
            let mut statistics = FeatureStatistics::new(8);
            statistics.add(&uniform_f32(seed, 8 * count)).unwrap();
            statistics
        };
        let reference = FrechetReference::new(&features(1, 4000)).unwrap();
        let found = extrapolate(&reference, [&features(2, 60), &features(3, 60)]).unwrap();
        assert_eq!(found.whole.pictures, 120);
        let line = 2.0 * found.whole.distance - found.of_halves;
        assert!((found.limit - line).abs() < 1e-12);
        assert!((found.bias - (found.whole.distance - found.limit)).abs() < 1e-12);
        // Both sides come from one distribution: all there is of a distance is bias.
        assert!(found.bias > 0.5 * found.whole.distance, "{found:?}");
    }
}
