//! The Cholesky factor of a symmetric positive semi-definite matrix, with complete pivoting (Higham, "Accuracy and
//! Stability of Numerical Algorithms", section 10.3): it also shows the rank.

use super::add_scaled;
use smalti_kernels::matmul::{Matrix, MatrixMut, Product, multiply};

/// Rows that are taken off the matrix together, as one product.
const PANEL: usize = 64;

/// A factor F `[rank, dimensions]` with FᵀF the matrix. Its rows come in the order of their pivots, largest first; no
/// rows or columns are exchanged, so F is not triangular.
#[derive(Debug, Clone, PartialEq)]
pub struct Factor {
    /// Row-major.
    pub rows: Vec<f64>,
    pub rank: usize,
    pub dimensions: usize,
}

impl Factor {
    pub fn matrix(&self) -> Matrix<'_, f64> {
        Matrix::new(&self.rows, self.rank, self.dimensions)
    }
}

/// Factors a symmetric positive semi-definite matrix `[dimensions, dimensions]` of at most `largest_rank`. What is left
/// below the rounding errors of its largest diagonal element counts as zero.
pub fn cholesky(matrix: &[f64], dimensions: usize, largest_rank: usize) -> Factor {
    let mut left = Remainder::new(matrix, dimensions);
    let mut factor = Factor {
        rows: Vec::new(),
        rank: 0,
        dimensions,
    };
    let mut panel = 0;
    while factor.rank < largest_rank.min(dimensions) {
        let Some(pivot) = left.pivot() else {
            break;
        };
        if factor.rank - panel == PANEL {
            left.subtract(&factor.rows[panel * dimensions..]);
            panel = factor.rank;
        }
        let row = left.row(pivot, &factor.rows[panel * dimensions..]);
        left.choose(pivot, &row);
        factor.rows.extend(row);
        factor.rank += 1;
    }
    factor
}

/// What the rows found so far do not explain of the matrix.
struct Remainder {
    dimensions: usize,
    /// Without the finished panels.
    matrix: Vec<f64>,
    /// Without all rows found.
    diagonal: Vec<f64>,
    chosen: Vec<bool>,
    tolerance: f64,
}

impl Remainder {
    fn new(matrix: &[f64], dimensions: usize) -> Self {
        let diagonal: Vec<f64> = (0..dimensions)
            .map(|index| matrix[index * dimensions + index])
            .collect();
        let largest = diagonal.iter().copied().fold(0.0, f64::max);
        Self {
            dimensions,
            matrix: matrix.to_vec(),
            diagonal,
            chosen: vec![false; dimensions],
            tolerance: dimensions as f64 * f64::EPSILON * largest,
        }
    }

    /// Where the largest element of the diagonal is, if one is left that counts.
    fn pivot(&self) -> Option<usize> {
        let counts = |&index: &usize| !self.chosen[index] && self.diagonal[index] > self.tolerance;
        let candidates = (0..self.dimensions).filter(counts);
        candidates.max_by(|&one, &other| self.diagonal[one].total_cmp(&self.diagonal[other]))
    }

    /// The next row of the factor, given those of the unfinished panel.
    fn row(&self, pivot: usize, panel: &[f64]) -> Vec<f64> {
        let mut row = self.matrix[pivot * self.dimensions..][..self.dimensions].to_vec();
        for earlier in panel.chunks_exact(self.dimensions) {
            add_scaled(&mut row, -earlier[pivot], earlier);
        }
        let root = self.diagonal[pivot].sqrt();
        for (value, &chosen) in row.iter_mut().zip(&self.chosen) {
            *value = if chosen { 0.0 } else { *value / root };
        }
        row[pivot] = root;
        row
    }

    fn choose(&mut self, pivot: usize, row: &[f64]) {
        self.chosen[pivot] = true;
        for (left, value) in self.diagonal.iter_mut().zip(row) {
            *left -= value * value;
        }
    }

    fn subtract(&mut self, panel: &[f64]) {
        let size = self.dimensions;
        let rows = Matrix::new(panel, panel.len() / size, size);
        let how = Product {
            scale: -1.0,
            accumulate: true,
            ..Product::PARALLEL
        };
        let matrix = MatrixMut::new(&mut self.matrix, size, size);
        multiply(rows.transposed(), rows, matrix, how);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::uniform;
    use super::super::product;
    use super::*;

    /// The Gram matrix `[dimensions, dimensions]` of `rows` rows of pseudo-random numbers in -1..1.
    fn gram(rows: usize, dimensions: usize) -> Vec<f64> {
        let values = uniform(1, rows * dimensions);
        let matrix = Matrix::new(&values, rows, dimensions);
        product(matrix.transposed(), matrix, [dimensions, dimensions])
    }

    fn assert_factor(matrix: &[f64], factor: &Factor) {
        let size = factor.dimensions;
        let square = product(factor.matrix().transposed(), factor.matrix(), [size, size]);
        let largest = matrix.iter().copied().fold(0.0, f64::max);
        for (found, expected) in square.iter().zip(matrix) {
            assert!((found - expected).abs() < 1e-12 * largest);
        }
    }

    #[test]
    fn the_square_of_the_factor_is_the_matrix() {
        for (rows, dimensions) in [(5, 3), (200, 150)] {
            let matrix = gram(rows, dimensions);
            let factor = cholesky(&matrix, dimensions, dimensions);
            assert_eq!(factor.rank, dimensions);
            assert_factor(&matrix, &factor);
        }
    }

    /// Larger than a panel, and not told the rank.
    #[test]
    fn the_rank_is_found() {
        let matrix = gram(90, 150);
        let factor = cholesky(&matrix, 150, 150);
        assert_eq!(factor.rank, 90);
        assert_factor(&matrix, &factor);
        assert_eq!(cholesky(&matrix, 150, 20).rank, 20);
        assert_eq!(cholesky(&[0.0; 9], 3, 3).rank, 0);
        assert_eq!(cholesky(&[f64::NAN; 9], 3, 3).rank, 0);
    }

    #[test]
    fn pivots_come_largest_first() {
        let factor = cholesky(&[4.0, 2.0, 2.0, 10.0], 2, 2);
        let root = 10.0_f64.sqrt();
        let rest = (4.0_f64 - 0.4).sqrt();
        for (found, expected) in factor.rows.iter().zip([2.0 / root, root, rest, 0.0]) {
            assert!((found - expected).abs() < 1e-15);
        }
    }
}
