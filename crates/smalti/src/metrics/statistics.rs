//! Mean and covariance of features, in one pass over any number of pictures and in constant memory: each block of
//! pictures is centred at its own mean and then moved to the common one (Chan, Golub and LeVeque, "Updating formulae
//! and a pairwise algorithm for computing sample variances", 1979), so that a large mean costs no digits.

use super::rows::{FeatureRows, check_dimensions};
use crate::error::{Error, Result};
use smalti_kernels::matmul::{Matrix, MatrixMut, Product, multiply};

/// Pictures that are added together, as one product of matrices.
const BLOCK: usize = 512;

/// What a file may claim: sums of such numbers do not overflow.
const MOST_PICTURES: usize = 1 << 31;

/// How far a covariance may be from symmetric, as a share of its largest variance: sums in 32 bits round.
const ASYMMETRY: f64 = 1e-5;

/// What is known of the features of the pictures so far, in double precision: 8 d² bytes for d features.
///
/// ```
/// use smalti::metrics::{FeatureStatistics, frechet_distance};
///
/// let mut here = FeatureStatistics::new(2);
/// here.add(&[0.0, 0.0, 2.0, 0.0, 0.0, 2.0, 2.0, 2.0])?;
/// assert_eq!(here.mean(), [1.0, 1.0]);
/// // The same moved by 3 and 4: the squared distance of the means.
/// let mut there = FeatureStatistics::new(2);
/// there.add(&[3.0, 4.0, 5.0, 4.0, 3.0, 6.0, 5.0, 6.0])?;
/// let distance = frechet_distance(&here, &there)?.distance;
/// assert!((distance - 25.0).abs() < 1e-6);
/// # Ok::<(), smalti::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureStatistics {
    dimensions: usize,
    count: usize,
    mean: Vec<f64>,
    /// The sum over pictures of (x − mean)(x − mean)ᵀ, row-major.
    scatter: Vec<f64>,
}

impl FeatureStatistics {
    /// Of no pictures yet, with `dimensions` features each.
    pub fn new(dimensions: usize) -> Self {
        Self {
            dimensions,
            count: 0,
            mean: vec![0.0; dimensions],
            scatter: vec![0.0; dimensions * dimensions],
        }
    }

    /// From a mean `[dimensions]` and a sample covariance `[dimensions, dimensions]` of `count` pictures.
    ///
    /// # Errors
    /// [`Error::Input`] where the sizes do not fit, fewer than two pictures or absurdly many are claimed, a number is
    /// not finite, a variance is negative or the covariance is not symmetric.
    pub fn from_moments(mean: Vec<f64>, mut covariance: Vec<f64>, count: usize) -> Result<Self> {
        check_moments(&mean, &mut covariance)?;
        if !(2..=MOST_PICTURES).contains(&count) {
            return Err(Error::input(format!(
                "a covariance takes two pictures at least, and no more than can be counted; not {count}"
            )));
        }
        let freedom = (count - 1) as f64;
        covariance.iter_mut().for_each(|value| *value *= freedom);
        if !is_finite(&covariance) {
            return Err(Error::input(format!(
                "the covariance is too large for {count} pictures: their sums are beyond all floats"
            )));
        }
        Ok(Self {
            dimensions: mean.len(),
            count,
            mean,
            scatter: covariance,
        })
    }

    /// Adds pictures: their features `[n, dimensions]`, row-major.
    ///
    /// # Errors
    /// [`Error::Input`] where the last row is not whole, or a number is not finite; the message names the picture,
    /// counted from the first ever added, and nothing is added.
    pub fn add(&mut self, features: &[f32]) -> Result<()> {
        FeatureRows::new(features, self.dimensions, self.count)?;
        for block in features.chunks(BLOCK * self.dimensions) {
            self.add_block(block);
        }
        Ok(())
    }

    fn add_block(&mut self, block: &[f32]) {
        let size = self.dimensions;
        let rows = block.chunks_exact(size);
        let count = rows.len();
        let mut mean = vec![0.0; size];
        for row in rows.clone() {
            for (sum, &value) in mean.iter_mut().zip(row) {
                *sum += f64::from(value);
            }
        }
        mean.iter_mut().for_each(|sum| *sum /= count as f64);
        let mut centred = Vec::with_capacity((count + 1) * size);
        for row in rows {
            centred.extend(
                row.iter()
                    .zip(&mean)
                    .map(|(&value, mean)| f64::from(value) - mean),
            );
        }
        // One row more moves both sums to the common mean.
        let weight = self.distance_weight(count).sqrt();
        centred.extend(
            mean.iter()
                .zip(&self.mean)
                .map(|(new, old)| weight * (new - old)),
        );
        let centred = Matrix::new(&centred, count + 1, size);
        let how = Product {
            accumulate: true,
            ..Product::PARALLEL
        };
        let scatter = MatrixMut::new(&mut self.scatter, size, size);
        multiply(centred.transposed(), centred, scatter, how);
        self.move_mean(&mean, count);
    }

    /// Adds the pictures that `other` knows.
    ///
    /// # Errors
    /// [`Error::Input`] where they have another number of features.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        check_dimensions(self.dimensions, other.dimensions)?;
        if other.count == 0 {
            return Ok(());
        }
        let weight = self.distance_weight(other.count);
        let means = self.mean.iter().zip(&other.mean);
        let distance: Vec<f64> = means.map(|(own, other)| other - own).collect();
        let rows = self.scatter.chunks_exact_mut(self.dimensions);
        let others = other.scatter.chunks_exact(self.dimensions);
        for ((row, other), along) in rows.zip(others).zip(&distance) {
            for ((value, other), across) in row.iter_mut().zip(other).zip(&distance) {
                *value += other + weight * along * across;
            }
        }
        self.move_mean(&other.mean, other.count);
        Ok(())
    }

    /// How much the square of the distance of the means of these and of `count` other pictures adds to the scatter.
    fn distance_weight(&self, count: usize) -> f64 {
        let (own, other) = (self.count as f64, count as f64);
        own * other / (own + other)
    }

    fn move_mean(&mut self, other: &[f64], count: usize) {
        self.count += count;
        let share = count as f64 / self.count as f64;
        for (mean, other) in self.mean.iter_mut().zip(other) {
            *mean += share * (other - *mean);
        }
    }

    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// How many pictures.
    pub fn count(&self) -> usize {
        self.count
    }

    /// `[dimensions]`.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The sample covariance `[dimensions, dimensions]`, row-major: divided by one fewer than the number of pictures.
    ///
    /// # Errors
    /// [`Error::Input`] for fewer than two pictures.
    pub fn covariance(&self) -> Result<Vec<f64>> {
        if self.count < 2 {
            return Err(Error::input(format!(
                "a covariance takes the features of two pictures at least, not of {}",
                self.count
            )));
        }
        let freedom = (self.count - 1) as f64;
        Ok(self.scatter.iter().map(|value| value / freedom).collect())
    }
}

/// Whether these can be a mean `[d]` and a covariance `[d, d]`; makes the covariance exactly symmetric.
///
/// # Errors
/// [`Error::Input`] where the sizes do not fit, a number is not finite, a variance is negative or the covariance is not
/// symmetric.
pub(super) fn check_moments(mean: &[f64], covariance: &mut [f64]) -> Result<()> {
    let dimensions = mean.len();
    if dimensions == 0 || dimensions.checked_mul(dimensions) != Some(covariance.len()) {
        return Err(Error::input(format!(
            "a covariance of {} numbers does not belong to a mean of {dimensions}",
            covariance.len()
        )));
    }
    let mut variances = covariance.iter().step_by(dimensions + 1);
    if !is_finite(mean) || !is_finite(covariance) || variances.any(|&variance| variance < 0.0) {
        return Err(Error::input(
            "a mean or covariance with numbers that are not finite, or a negative variance, is none",
        ));
    }
    symmetrise(covariance, dimensions)
}

fn is_finite(values: &[f64]) -> bool {
    values.iter().all(|value| value.is_finite())
}

fn symmetrise(covariance: &mut [f64], dimensions: usize) -> Result<()> {
    let variances = covariance.iter().step_by(dimensions + 1).copied();
    let tolerance = ASYMMETRY * variances.fold(0.0, f64::max);
    for row in 0..dimensions {
        for column in 0..row {
            let (below, above) = (row * dimensions + column, column * dimensions + row);
            let (one, other) = (covariance[below], covariance[above]);
            if (one - other).abs() > tolerance {
                return Err(Error::input(format!(
                    "a covariance is symmetric, but in row {row}, column {column} (counted from 0) this one has \
                     {one:e} and in row {column}, column {row} {other:e}"
                )));
            }
            let mean = 0.5 * one + 0.5 * other;
            (covariance[below], covariance[above]) = (mean, mean);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `count` pictures of 3 features, the last with a mean that is large beside its spread.
    fn features(count: usize) -> Vec<f32> {
        let row = |index: usize| {
            let wave = (index as f32 * 0.7).sin();
            [
                wave,
                wave * 0.5 + (index % 5) as f32,
                4000.0 + (index % 3) as f32 * 0.25,
            ]
        };
        (0..count).flat_map(row).collect()
    }

    /// In two passes.
    fn covariance(features: &[f32]) -> (Vec<f64>, Vec<f64>) {
        let count = features.len() as f64 / 3.0;
        let column = |index: usize| {
            features
                .iter()
                .skip(index)
                .step_by(3)
                .map(|&v| f64::from(v))
        };
        let mean: Vec<f64> = (0..3)
            .map(|index| column(index).sum::<f64>() / count)
            .collect();
        let element = |place: usize| -> f64 {
            let (row, other) = (place / 3, place % 3);
            let pairs = column(row).zip(column(other));
            let terms = pairs.map(|(a, b)| (a - mean[row]) * (b - mean[other]));
            terms.sum::<f64>() / (count - 1.0)
        };
        ((0..9).map(element).collect(), mean.clone())
    }

    fn assert_like(statistics: &FeatureStatistics, features: &[f32]) {
        let (expected, mean) = covariance(features);
        let found = statistics.covariance().unwrap();
        assert_eq!(statistics.count(), features.len() / 3);
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-11, "{found}, not {expected}");
        }
        for (found, expected) in statistics.mean().iter().zip(&mean) {
            assert!((found - expected).abs() <= 1e-13 * expected.abs().max(1.0));
        }
    }

    #[test]
    fn in_one_pass_as_in_two() {
        let values = features(1300);
        for batch in [1, 7, 600, 1300] {
            let mut statistics = FeatureStatistics::new(3);
            for part in values.chunks(3 * batch) {
                statistics.add(part).unwrap();
            }
            assert_like(&statistics, &values);
        }
    }

    #[test]
    fn merged_as_if_added() {
        let values = features(100);
        let (first, second) = values.split_at(3 * 30);
        let [mut one, mut other] = [first, second].map(|part| {
            let mut statistics = FeatureStatistics::new(3);
            statistics.add(part).unwrap();
            statistics
        });
        let mut nothing = FeatureStatistics::new(3);
        nothing.merge(&FeatureStatistics::new(3)).unwrap();
        assert_eq!(nothing, FeatureStatistics::new(3));
        nothing.merge(&one).unwrap();
        assert_eq!(nothing, one);
        one.merge(&other).unwrap();
        assert_like(&one, &values);
        other.add(first).unwrap();
        assert_like(&other, &values);
        assert!(one.merge(&FeatureStatistics::new(4)).is_err());
    }

    #[test]
    fn a_picture_with_features_that_are_no_numbers_is_refused() {
        let mut statistics = FeatureStatistics::new(3);
        statistics.add(&features(10)).unwrap();
        let before = statistics.clone();
        let mut bad = features(4);
        bad[3 * 2 + 1] = f32::NAN;
        let error = statistics.add(&bad).unwrap_err().to_string();
        assert!(error.contains("feature 1 of picture 12"), "{error}");
        assert_eq!(statistics, before);
        assert!(statistics.add(&[1.0; 4]).is_err());
    }

    #[test]
    fn moments_that_are_none_are_refused() {
        let good = FeatureStatistics::from_moments(vec![1.0, 2.0], vec![2.0, 1.0, 1.0, 3.0], 5);
        assert_eq!(good.unwrap().covariance().unwrap(), [2.0, 1.0, 1.0, 3.0]);
        let refuses = |mean: &[f64], covariance: &[f64], count| {
            FeatureStatistics::from_moments(mean.to_vec(), covariance.to_vec(), count).is_err()
        };
        assert!(refuses(&[], &[], 5));
        assert!(refuses(&[1.0, 2.0], &[1.0; 3], 5));
        assert!(refuses(&[1.0], &[1.0], 1));
        assert!(refuses(&[1.0], &[1.0], usize::MAX));
        assert!(refuses(&[f64::NAN], &[1.0], 5));
        assert!(refuses(&[1.0], &[f64::INFINITY], 5));
        assert!(refuses(&[1.0], &[-1.0], 5));
        assert!(refuses(&[1.0], &[1e300], 1 << 30));
        assert!(!refuses(&[1.0], &[1e290], 1 << 30));
        let few = FeatureStatistics::new(2).covariance().unwrap_err();
        assert!(few.to_string().contains("not of 0"));
    }

    #[test]
    fn a_covariance_is_symmetric() {
        let of = |above: f64| {
            FeatureStatistics::from_moments(vec![0.0; 2], vec![2.0, above, 1.0, 4.0], 5)
        };
        let rounded = of(1.0 + 1e-7).unwrap().covariance().unwrap();
        assert_eq!(rounded[1], rounded[2]);
        assert!((rounded[1] - (1.0 + 0.5e-7)).abs() < 1e-12);
        let error = of(1.001).unwrap_err().to_string();
        assert!(error.contains("row 1, column 0"), "{error}");
    }
}
