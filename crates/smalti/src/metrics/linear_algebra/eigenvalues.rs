//! The eigenvalues of a symmetric matrix: a tridiagonal matrix with the same ones, then bisection, which cannot fail to
//! converge and gives every eigenvalue by itself (Demmel, "Applied Numerical Linear Algebra", section 5.3.4).

use super::tridiagonal::{Tridiagonal, reduce};
use rayon::prelude::*;

/// Halvings of an interval. About 110 leave nothing to halve.
const MOST_STEPS: usize = 200;

/// The eigenvalues of the symmetric matrix `[size, size]` in ascending order, exact to rounding errors of the largest.
/// NaN where the matrix is not finite.
pub fn eigenvalues(mut matrix: Vec<f64>, size: usize) -> Vec<f64> {
    let largest = matrix.iter().map(|value| value.abs()).fold(0.0, f64::max);
    if matrix.iter().any(|value| !value.is_finite()) {
        return vec![f64::NAN; size];
    }
    if largest == 0.0 {
        return vec![0.0; size];
    }
    // Squares of very large or small numbers would leave the range of floats.
    matrix.iter_mut().for_each(|value| *value /= largest);
    let tridiagonal = reduce(matrix, size);
    let sturm = Sturm::new(&tridiagonal);
    let indices = (0..size).into_par_iter();
    indices
        .map(|index| largest * sturm.eigenvalue(index))
        .collect()
}

/// Counts the eigenvalues of a tridiagonal matrix below a number: as many as there are negative pivots when the matrix
/// less that number is factored (Sylvester's law of inertia).
struct Sturm<'a> {
    diagonal: &'a [f64],
    /// The squares of the elements beside the diagonal, after a zero.
    squares: Vec<f64>,
    /// No eigenvalue is larger in magnitude (Gershgorin).
    bound: f64,
    /// Smaller pivots count as this.
    smallest_pivot: f64,
}

impl<'a> Sturm<'a> {
    fn new(matrix: &'a Tridiagonal) -> Self {
        let beside = |index: usize| matrix.beside.get(index).map_or(0.0, |value| value.abs());
        let before = |index: usize| index.checked_sub(1).map_or(0.0, beside);
        let rows = matrix.diagonal.iter().enumerate();
        let sums = rows.map(|(index, value)| value.abs() + beside(index) + before(index));
        let squares = matrix.beside.iter().map(|value| value * value);
        let squares: Vec<f64> = std::iter::once(0.0).chain(squares).collect();
        let largest = squares.iter().copied().fold(1.0, f64::max);
        Self {
            diagonal: &matrix.diagonal,
            bound: sums.fold(0.0, f64::max) * (1.0 + 1e-10),
            smallest_pivot: f64::MIN_POSITIVE * largest,
            squares,
        }
    }

    fn below(&self, limit: f64) -> usize {
        let (mut count, mut pivot) = (0, 1.0);
        for (value, square) in self.diagonal.iter().zip(&self.squares) {
            pivot = value - limit - square / pivot;
            if pivot.abs() < self.smallest_pivot {
                pivot = -self.smallest_pivot;
            }
            count += usize::from(pivot < 0.0);
        }
        count
    }

    /// The eigenvalue that `index` others lie below.
    fn eigenvalue(&self, index: usize) -> f64 {
        let (mut low, mut high) = (-self.bound, self.bound);
        for _ in 0..MOST_STEPS {
            let middle = 0.5 * (low + high);
            if high - low <= f64::EPSILON * middle.abs().max(f64::EPSILON * self.bound) {
                break;
            }
            if self.below(middle) > index {
                high = middle;
            } else {
                low = middle;
            }
        }
        0.5 * (low + high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_eigenvalues(matrix: Vec<f64>, expected: &[f64]) {
        let scale = expected.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
        let found = eigenvalues(matrix, expected.len());
        for (found, expected) in found.iter().zip(expected) {
            let off = (found - expected).abs();
            assert!(off <= 1e-13 * scale, "{found} instead of {expected}");
        }
    }

    /// The second difference of `size` points has the eigenvalues 2 − 2 cos(kπ / (size + 1)).
    #[test]
    fn second_differences() {
        for size in [1_usize, 2, 3, 70] {
            let element = |index: usize| match (index / size).abs_diff(index % size) {
                0 => 2.0,
                1 => -1.0,
                _ => 0.0,
            };
            let angle = |k: usize| k as f64 * std::f64::consts::PI / (size + 1) as f64;
            let expected: Vec<f64> = (1..=size).map(|k| 2.0 - 2.0 * angle(k).cos()).collect();
            assert_eigenvalues((0..size * size).map(element).collect(), &expected);
        }
    }

    /// A full matrix of more than two panels: diagonal, then reflected at four vectors.
    #[test]
    fn full_matrices() {
        let size = 75;
        let expected: Vec<f64> = (0..size)
            .map(|k| f64::from(k as u8 / 2) * 0.5 - 7.0)
            .collect();
        let mut matrix = vec![0.0; size * size];
        for (index, value) in expected.iter().enumerate() {
            matrix[index * size + index] = *value;
        }
        for round in 1..5 {
            let vector: Vec<f64> = (0..size)
                .map(|index| ((index * index * round) as f64).sin())
                .collect();
            matrix = reflected(&matrix, &vector);
        }
        let scaled: Vec<f64> = matrix.iter().map(|value| value * 1e-200).collect();
        assert_eigenvalues(matrix, &expected);
        let expected: Vec<f64> = expected.iter().map(|value| value * 1e-200).collect();
        assert_eigenvalues(scaled, &expected);
    }

    /// H M H with H = 1 − 2 v vᵀ / vᵀv.
    fn reflected(matrix: &[f64], vector: &[f64]) -> Vec<f64> {
        let size = vector.len();
        let square: f64 = vector.iter().map(|value| value * value).sum();
        let element = |row: usize, column: usize| {
            let unit = f64::from(u8::from(row == column));
            unit - 2.0 * vector[row] * vector[column] / square
        };
        let times = |left: &dyn Fn(usize, usize) -> f64, right: &dyn Fn(usize, usize) -> f64| {
            let value = |place: usize| -> f64 {
                let (row, column) = (place / size, place % size);
                (0..size).map(|k| left(row, k) * right(k, column)).sum()
            };
            (0..size * size).map(value).collect::<Vec<f64>>()
        };
        let half = times(&element, &|row, column| matrix[row * size + column]);
        times(&|row, column| half[row * size + column], &element)
    }

    #[test]
    fn matrices_without_anything_to_find() {
        assert_eq!(eigenvalues(vec![0.0; 4], 2), [0.0, 0.0]);
        assert_eq!(eigenvalues(Vec::new(), 0), [0.0; 0]);
        assert!(eigenvalues(vec![1.0, f64::INFINITY, 0.0, 1.0], 2)[0].is_nan());
    }

    /// Ones everywhere: rank 1.
    #[test]
    fn small_eigenvalues_are_small() {
        let found = eigenvalues(vec![1.0; 40 * 40], 40);
        assert!((found[39] - 40.0).abs() < 1e-12);
        assert!(found[..39].iter().all(|value| value.abs() < 1e-14 * 40.0));
    }
}
