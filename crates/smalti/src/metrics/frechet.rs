//! The Fréchet distance of two sets of features, FID where they are Inception's: Heusel et al., "GANs Trained by a Two
//! Time-Scale Update Rule Converge to a Local Nash Equilibrium" (2017).
//!
//! ‖μ₁ − μ₂‖² + tr C₁ + tr C₂ − 2 tr (C₁C₂)^½, of which only the last term takes work. With C₁ = FᵀF, the matrices
//! FᵀF C₂ and F C₂ Fᵀ have the same eigenvalues but for zeros, so that tr (C₁C₂)^½ is the sum of the roots of the
//! eigenvalues of the symmetric F C₂ Fᵀ; no root of a matrix is taken, and nothing can become complex.
//!
//! F is the Cholesky factor with complete pivoting. It has one row per dimension of C₁ that counts, at most one fewer
//! than there were pictures, and its rows become smaller downwards: so the small eigenvalues of F C₂ Fᵀ are not lost
//! among the rounding errors of large ones, as they are in C₁C₂. More than N₂ − 1 eigenvalues cannot be above zero; the
//! others are rounding errors, whose roots would add up, and are left out. For 2048 features that is about 60 · 10⁹
//! operations and six matrices of 32 MB.

use super::extrapolation::FrechetExtrapolation;
use super::linear_algebra::{Factor, cholesky, eigenvalues, product};
use super::published::PublishedStatistics;
use super::rows::check_dimensions;
use super::statistics::FeatureStatistics;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use smalti_kernels::matmul::Matrix;

/// One side of the distance, prepared for any number of others.
pub struct FrechetReference {
    mean: Vec<f64>,
    /// How many pictures, where that is known.
    count: Option<usize>,
    factor: Factor,
    trace: f64,
}

/// A Fréchet distance and what it is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrechetDistance {
    pub distance: f64,
    /// The part of the means.
    pub mean_term: f64,
    /// The part of the covariances.
    pub covariance_term: f64,
    /// Features per picture.
    pub dimensions: usize,
    /// Pictures of the reference, where it is known how many there were.
    pub reference_pictures: Option<usize>,
    /// Pictures that were measured.
    pub pictures: usize,
}

/// The Fréchet distance of `measured` from `reference`. It is symmetric but for rounding errors.
///
/// # Errors
/// Those of [`FrechetReference::new`] and [`FrechetReference::distance`].
pub fn frechet_distance(
    reference: &FeatureStatistics,
    measured: &FeatureStatistics,
) -> Result<FrechetDistance> {
    FrechetReference::new(reference)?.distance(measured)
}

impl FrechetReference {
    /// # Errors
    /// [`Error::Input`] for fewer than two pictures.
    pub fn new(statistics: &FeatureStatistics) -> Result<Self> {
        let covariance = statistics.covariance()?;
        let count = Some(statistics.count());
        Ok(Self::of_moments(statistics.mean(), &covariance, count))
    }

    /// Of statistics that somebody published without saying of how many pictures they are.
    pub fn of_published(statistics: &PublishedStatistics) -> Self {
        Self::of_moments(statistics.mean(), statistics.covariance(), None)
    }

    fn of_moments(mean: &[f64], covariance: &[f64], count: Option<usize>) -> Self {
        let size = mean.len();
        let largest_rank = count.map_or(size, |count| count.saturating_sub(1));
        Self {
            mean: mean.to_vec(),
            count,
            trace: trace(covariance, size),
            factor: cholesky(covariance, size, largest_rank),
        }
    }

    /// The distance of `measured` from this.
    ///
    /// # Errors
    /// [`Error::Input`] for fewer than two pictures, another number of features, or features whose squares are beyond
    /// all floats.
    pub fn distance(&self, measured: &FeatureStatistics) -> Result<FrechetDistance> {
        check_dimensions(self.mean.len(), measured.dimensions())?;
        let covariance = measured.covariance()?;
        let size = self.mean.len();
        let means = self.mean.iter().zip(measured.mean());
        let mean_term: f64 = means.map(|(one, other)| (one - other).powi(2)).sum();
        let shared = self.trace_of_root(&covariance, measured.count());
        let covariance_term = self.trace + trace(&covariance, size) - 2.0 * shared;
        let distance = mean_term + covariance_term;
        if !distance.is_finite() {
            return Err(Error::input(
                "the Fréchet distance is not finite: the features are too large; look at the network's weights",
            ));
        }
        Ok(FrechetDistance {
            // Equal covariances leave rounding errors, of either sign.
            distance: distance.max(0.0),
            mean_term,
            covariance_term,
            dimensions: size,
            reference_pictures: self.count,
            pictures: measured.count(),
        })
    }

    /// tr (C₁C₂)^½ for a C₂ of `count` pictures.
    fn trace_of_root(&self, covariance: &[f64], count: usize) -> f64 {
        let (rank, size) = (self.factor.rank, self.mean.len());
        let covariance = Matrix::new(covariance, size, size);
        let half = product(self.factor.matrix(), covariance, [rank, size]);
        let half = Matrix::new(&half, rank, size);
        let whole = product(half, self.factor.matrix().transposed(), [rank, rank]);
        let ascending = eigenvalues(whole, rank);
        let largest = ascending.iter().rev().take(count - 1);
        largest.map(|&value| root(value)).sum()
    }
}

/// Zero for what rounding errors made negative; what is no number stays none.
fn root(eigenvalue: f64) -> f64 {
    if eigenvalue < 0.0 {
        0.0
    } else {
        eigenvalue.sqrt()
    }
}

fn trace(matrix: &[f64], size: usize) -> f64 {
    matrix.iter().step_by(size + 1).sum()
}

impl FrechetDistance {
    /// What to say beside the figure where there are fewer pictures than features on a side, and by how much the figure
    /// is too large, if an extrapolation says so.
    pub fn warning(&self, extrapolation: Option<&FrechetExtrapolation>) -> Option<String> {
        let fewest = match self.reference_pictures {
            Some(count) => count.min(self.pictures),
            None => self.pictures,
        };
        if fewest > self.dimensions {
            return None;
        }
        let bias = match extrapolation {
            Some(found) => format!(
                "about {:.2} of the {:.2} come from the number of pictures alone (at infinitely many: {:.2})",
                found.bias, found.whole.distance, found.limit
            ),
            None => "extrapolate from two halves to see by how much".to_string(),
        };
        Some(format!(
            "{fewest} pictures are too few for {} features: the covariance has a rank of {} at most and the Fréchet \
             distance is too large, {bias}; compare it only with figures of as many pictures, or use the kernel \
             distance",
            self.dimensions,
            fewest - 1
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_moments(mean: &[f64], covariance: &[f64], count: usize) -> FeatureStatistics {
        let (mean, covariance) = (mean.to_vec(), covariance.to_vec());
        FeatureStatistics::from_moments(mean, covariance, count).unwrap()
    }

    /// Of independent features: Σ (μ₁ − μ₂)² + (σ₁ − σ₂)².
    #[test]
    fn of_diagonal_covariances() {
        let one = of_moments(&[1.0, 2.0], &[4.0, 0.0, 0.0, 9.0], 100);
        let other = of_moments(&[1.5, 0.0], &[1.0, 0.0, 0.0, 16.0], 50);
        let found = frechet_distance(&one, &other).unwrap();
        assert!((found.mean_term - 4.25).abs() < 1e-13);
        assert!((found.covariance_term - 2.0).abs() < 1e-13);
        assert!((found.distance - 6.25).abs() < 1e-13);
        assert_eq!(found.reference_pictures, Some(100));
        assert_eq!(found.pictures, 50);
    }

    /// Of one covariance and its multiple k²: (k − 1)² tr C.
    #[test]
    fn of_a_multiple() {
        let covariance = [2.0, 1.0, 0.5, 1.0, 3.0, -1.0, 0.5, -1.0, 4.0];
        let scaled = covariance.map(|value| 6.25 * value);
        let one = of_moments(&[0.0; 3], &covariance, 100);
        let other = of_moments(&[0.0; 3], &scaled, 100);
        let found = frechet_distance(&one, &other).unwrap().distance;
        assert!((found - 2.25 * 9.0).abs() < 1e-12);
        assert!(frechet_distance(&one, &one).unwrap().distance < 1e-13);
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let two = of_moments(&[0.0; 2], &[1.0, 0.0, 0.0, 1.0], 9);
        let one = of_moments(&[0.0], &[1.0], 9);
        assert!(frechet_distance(&two, &one).is_err());
        assert!(frechet_distance(&two, &FeatureStatistics::new(2)).is_err());
        assert!(frechet_distance(&FeatureStatistics::new(2), &two).is_err());
        let huge = of_moments(&[0.0; 2], &[1e300, 0.0, 0.0, 1e300], 9);
        assert!(frechet_distance(&huge, &huge).is_err());
    }

    #[test]
    fn few_pictures_are_warned_of() {
        let many = of_moments(&[0.0; 2], &[1.0, 0.0, 0.0, 1.0], 9);
        let few = of_moments(&[0.0; 2], &[1.0, 0.0, 0.0, 0.0], 2);
        let found = frechet_distance(&many, &many).unwrap();
        assert_eq!(found.warning(None), None);
        let found = frechet_distance(&many, &few).unwrap();
        let warning = found.warning(None).unwrap();
        assert!(warning.contains("2 pictures are too few for 2 features"));
        assert!(warning.contains("rank of 1"));
    }
}
