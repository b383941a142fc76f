//! Linear algebra in double precision on symmetric matrices, as far as statistics of features need it: a factor of a
//! covariance, and the eigenvalues of a matrix. Matrices are row-major, both halves of symmetric ones filled in.

mod cholesky;
mod eigenvalues;
mod tridiagonal;

pub use cholesky::{Factor, cholesky};
pub use eigenvalues::eigenvalues;

use smalti_kernels::matmul::{Matrix, MatrixMut, Product, multiply};

/// The product of `left` `[rows, inner]` and `right` `[inner, columns]`.
pub(super) fn product(
    left: Matrix<'_, f64>,
    right: Matrix<'_, f64>,
    shape: [usize; 2],
) -> Vec<f64> {
    let [rows, columns] = shape;
    let mut result = vec![0.0; rows * columns];
    let destination = MatrixMut::new(&mut result, rows, columns);
    multiply(left, right, destination, Product::PARALLEL);
    result
}

/// Adds `factor` times `source` to `target`.
pub(super) fn add_scaled(target: &mut [f64], factor: f64, source: &[f64]) {
    for (target, source) in target.iter_mut().zip(source) {
        *target += factor * source;
    }
}

/// The inner product of two vectors of one length, in eight sums so that it can use vector registers.
pub(super) fn dot(left: &[f64], right: &[f64]) -> f64 {
    let ((lefts, left_rest), (rights, right_rest)) =
        (left.as_chunks::<8>(), right.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (left, right) in lefts.iter().zip(rights) {
        for ((sum, left), right) in sums.iter_mut().zip(left).zip(right) {
            *sum += left * right;
        }
    }
    let rest: f64 = left_rest.iter().zip(right_rest).map(|(l, r)| l * r).sum();
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_products_of_all_lengths() {
        for length in [0_usize, 1, 7, 8, 9, 31] {
            let left: Vec<f64> = (0..length).map(|index| index as f64).collect();
            let right: Vec<f64> = (0..length).map(|index| 1.0 - index as f64).collect();
            let expected: f64 = left.iter().map(|index| index * (1.0 - index)).sum();
            assert_eq!(dot(&left, &right), expected);
        }
    }
}
