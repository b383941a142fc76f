//! The kernel distance of two sets of features, KID where they are Inception's: the square of the maximum mean
//! discrepancy under the kernel (xᵀy / d + 1)³, without bias, so that it can be negative and sets of different sizes
//! can be compared (Bińkowski et al., "Demystifying MMD GANs", 2018). Mean and spread over random subsets, as
//! torch-fidelity computes them.

use super::linear_algebra::product;
use super::random::stream;
use super::rows::FeatureRows;
use crate::error::{Error, Result};
use rand::seq::index;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use smalti_kernels::matmul::Matrix;

/// Pictures whose kernel with as many others is held at a time.
const BLOCK: usize = 1024;

/// Which subsets are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelDistanceSettings {
    pub subsets: usize,
    /// Pictures of each side in a subset, none of them twice.
    pub subset_size: usize,
    pub seed: u64,
}

/// torch-fidelity's numbers.
impl Default for KernelDistanceSettings {
    fn default() -> Self {
        Self {
            subsets: 100,
            subset_size: 1000,
            seed: 0,
        }
    }
}

/// The kernel distance over subsets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KernelDistance {
    pub mean: f64,
    /// Of the subsets' distances; not the error of their mean.
    pub standard_deviation: f64,
    pub subsets: usize,
    pub subset_size: usize,
}

/// Measures the distance of random subsets. For 2048 features and subsets of 1000 that is 12 · 10⁹ operations each.
///
/// # Errors
/// [`Error::Input`] where features of different length are compared, or the settings ask for no subsets, for fewer than
/// two pictures in one, or for more than there are.
pub fn kernel_distance(
    reference: FeatureRows<'_>,
    measured: FeatureRows<'_>,
    settings: &KernelDistanceSettings,
) -> Result<KernelDistance> {
    reference.check_like(&measured)?;
    let fewest = reference.count().min(measured.count());
    let size = settings.subset_size;
    if settings.subsets == 0 || size < 2 || size > fewest {
        return Err(Error::input(format!(
            "{} subsets of {size} pictures cannot be drawn from {fewest}: ask for at least one subset of 2 to {fewest} \
             pictures",
            settings.subsets
        )));
    }
    let distances = (0..settings.subsets).map(|number| {
        let mut random = stream(settings.seed, number as u64);
        let [one, other] = [reference, measured].map(|rows| {
            let chosen = index::sample(&mut random, rows.count(), size);
            rows.gather(chosen.into_iter())
        });
        discrepancy(&one, &other, reference.dimensions())
    });
    let distances: Vec<f64> = distances.collect();
    let mean = distances.iter().sum::<f64>() / distances.len() as f64;
    let squares = distances.iter().map(|distance| (distance - mean).powi(2));
    Ok(KernelDistance {
        mean,
        standard_deviation: (squares.sum::<f64>() / distances.len() as f64).sqrt(),
        subsets: settings.subsets,
        subset_size: size,
    })
}

/// The distance of all pictures of both sides, of which there may be different numbers.
///
/// # Errors
/// [`Error::Input`] where features of different length are compared, or one side has fewer than two pictures.
pub fn squared_discrepancy(reference: FeatureRows<'_>, measured: FeatureRows<'_>) -> Result<f64> {
    reference.check_like(&measured)?;
    if reference.count() < 2 || measured.count() < 2 {
        return Err(Error::input(
            "a kernel distance takes two pictures on each side at least",
        ));
    }
    let [one, other] = [reference, measured].map(|rows| rows.gather(0..rows.count()));
    Ok(discrepancy(&one, &other, reference.dimensions()))
}

fn discrepancy(one: &[f64], other: &[f64], dimensions: usize) -> f64 {
    let within = |rows| mean_kernel(rows, rows, dimensions, true);
    within(one) + within(other) - 2.0 * mean_kernel(one, other, dimensions, false)
}

/// The mean of the kernel over pairs; over pairs of different rows where both sides are the `same`.
fn mean_kernel(left: &[f64], right: &[f64], dimensions: usize, same: bool) -> f64 {
    let mut sum = 0.0;
    for (row, rows) in left.chunks(BLOCK * dimensions).enumerate() {
        for (column, columns) in right.chunks(BLOCK * dimensions).enumerate() {
            sum += kernel_sum(rows, columns, dimensions, same && row == column);
        }
    }
    let (rows, columns) = (left.len() / dimensions, right.len() / dimensions);
    let pairs = if same {
        rows * (rows - 1)
    } else {
        rows * columns
    };
    sum / pairs as f64
}

/// The sum of the kernel over pairs, or over all but those of equal number.
fn kernel_sum(left: &[f64], right: &[f64], dimensions: usize, skip_equal: bool) -> f64 {
    let (rows, columns) = (left.len() / dimensions, right.len() / dimensions);
    let left = Matrix::new(left, rows, dimensions);
    let right = Matrix::new(right, columns, dimensions).transposed();
    let products = product(left, right, [rows, columns]);
    let kernel = |product: &f64| (product / dimensions as f64 + 1.0).powi(3);
    // Summed row by row, in the same order by any number of threads.
    let sums = products
        .par_chunks(columns)
        .enumerate()
        .map(|(row, products)| {
            let all: f64 = products.iter().map(kernel).sum();
            if skip_equal {
                all - kernel(&products[row])
            } else {
                all
            }
        });
    let sums: Vec<f64> = sums.collect();
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: [f32; 6] = [1.0, 2.0, 0.0, 1.0, -1.0, 0.5];
    const OTHER: [f32; 8] = [2.0, 2.0, 0.5, 0.0, 1.0, 1.0, -2.0, 1.0];

    fn rows(values: &[f32]) -> FeatureRows<'_> {
        FeatureRows::new(values, 2, 0).unwrap()
    }

    /// Pair by pair.
    fn expected(one: &[f32], other: &[f32]) -> f64 {
        let kernel = |a: &[f32], b: &[f32]| {
            let products = a.iter().zip(b).map(|(a, b)| f64::from(a * b));
            (products.sum::<f64>() / 2.0 + 1.0).powi(3)
        };
        let mean = |left: &[f32], right: &[f32], same: bool| {
            let mut terms = Vec::new();
            for (row, a) in left.chunks(2).enumerate() {
                for (column, b) in right.chunks(2).enumerate() {
                    if !same || row != column {
                        terms.push(kernel(a, b));
                    }
                }
            }
            terms.iter().sum::<f64>() / terms.len() as f64
        };
        mean(one, one, true) + mean(other, other, true) - 2.0 * mean(one, other, false)
    }

    #[test]
    fn of_different_numbers_of_pictures() {
        let found = squared_discrepancy(rows(&ONE), rows(&OTHER)).unwrap();
        assert!((found - expected(&ONE, &OTHER)).abs() < 1e-12);
    }

    /// More rows than a block has, all alike on both sides but for one.
    #[test]
    fn in_blocks() {
        let mut one = [1.0, 0.0].repeat(BLOCK + 10);
        let other = one.clone();
        one[2 * BLOCK + 1] = 2.0;
        let found = squared_discrepancy(rows(&one), rows(&other)).unwrap();
        let whole = expected(&one, &other);
        assert!((found - whole).abs() < 1e-11, "{found}, not {whole}");
    }

    /// Subsets of all pictures are all the same set.
    #[test]
    fn over_subsets() {
        let settings = KernelDistanceSettings {
            subsets: 5,
            subset_size: 3,
            seed: 7,
        };
        let found = kernel_distance(rows(&ONE), rows(&OTHER[..6]), &settings).unwrap();
        assert!((found.mean - expected(&ONE, &OTHER[..6])).abs() < 1e-12);
        assert!(found.standard_deviation < 1e-12);
        let smaller = KernelDistanceSettings {
            subset_size: 2,
            ..settings
        };
        let first = kernel_distance(rows(&ONE), rows(&OTHER), &smaller).unwrap();
        assert!(first.standard_deviation > 0.1);
        let again = kernel_distance(rows(&ONE), rows(&OTHER), &smaller).unwrap();
        assert_eq!(first, again);
    }

    #[test]
    fn subsets_that_cannot_be_drawn_are_refused() {
        for (subsets, subset_size) in [(0, 2), (1, 1), (1, 4)] {
            let settings = KernelDistanceSettings {
                subsets,
                subset_size,
                seed: 0,
            };
            let error = kernel_distance(rows(&ONE), rows(&OTHER), &settings).unwrap_err();
            assert!(error.to_string().contains("2 to 3 pictures"));
        }
        let other = FeatureRows::new(&OTHER, 4, 0).unwrap();
        assert!(squared_discrepancy(rows(&ONE), other).is_err());
        assert!(squared_discrepancy(rows(&ONE), rows(&OTHER[..2])).is_err());
    }
}
