//! Matrix products: a checked, safe face of the `gemm` crate.
//!
//! Operands are views of slices with explicit strides, so a transpose costs nothing. `gemm` picks
//! its own instruction set; the choice made in [`crate::dispatch`] does not reach it. Networks
//! compute in `f32`; `f64` is for statistics, whose sums run over many pictures.

/// What products are computed in: `f32` or `f64`.
pub trait Number: sealed::Sealed + Copy + From<f32> + 'static {}

impl Number for f32 {}
impl Number for f64 {}

/// `gemm` panics for types it does not know.
mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// Read-only view of a matrix.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a, T = f32> {
    values: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// Rows of `columns` values, one after the other.
    pub fn new(values: &'a [T], rows: usize, columns: usize) -> Matrix<'a, T> {
        Matrix::strided(values, rows, columns, columns)
    }

    /// Rows of `columns` values that start `row_stride` values apart.
    pub fn strided(
        values: &'a [T],
        rows: usize,
        columns: usize,
        row_stride: usize,
    ) -> Matrix<'a, T> {
        assert_fits(values.len(), rows, columns, row_stride);
        Matrix {
            values,
            rows,
            columns,
            row_stride,
            column_stride: 1,
        }
    }

    /// The same values with rows and columns exchanged.
    pub fn transposed(self) -> Matrix<'a, T> {
        Matrix {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// View of a matrix that a product is written to.
#[derive(Debug)]
pub struct MatrixMut<'a, T = f32> {
    values: &'a mut [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
}

impl<'a, T> MatrixMut<'a, T> {
    /// Rows of `columns` values, one after the other.
    pub fn new(values: &'a mut [T], rows: usize, columns: usize) -> MatrixMut<'a, T> {
        MatrixMut::strided(values, rows, columns, columns)
    }

    /// Rows of `columns` values that start `row_stride` values apart and do not overlap.
    pub fn strided(
        values: &'a mut [T],
        rows: usize,
        columns: usize,
        row_stride: usize,
    ) -> MatrixMut<'a, T> {
        assert_fits(values.len(), rows, columns, row_stride);
        assert!(rows <= 1 || row_stride >= columns, "rows overlap");
        MatrixMut {
            values,
            rows,
            columns,
            row_stride,
        }
    }
}

/// Which threads compute a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// The calling thread alone.
    One,
    /// All threads of the current rayon pool.
    All,
}

/// How a product is computed and stored.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// Factor of the product.
    pub scale: f32,
    /// Whether the product is added to the destination instead of replacing it.
    pub accumulate: bool,
    /// Who computes it.
    pub threads: Threads,
}

impl Product {
    /// Replaces the destination, on the calling thread.
    pub const SERIAL: Product = Product {
        scale: 1.0,
        accumulate: false,
        threads: Threads::One,
    };

    /// Replaces the destination, on all threads.
    pub const PARALLEL: Product = Product {
        threads: Threads::All,
        ..Product::SERIAL
    };
}

/// Writes `scale * left * right` to the destination, or adds it.
pub fn multiply<T: Number>(
    left: Matrix<'_, T>,
    right: Matrix<'_, T>,
    destination: MatrixMut<'_, T>,
    how: Product,
) {
    assert_eq!(left.columns, right.rows, "inner sizes");
    assert_eq!(destination.rows, left.rows, "rows of the product");
    assert_eq!(destination.columns, right.columns, "columns of the product");
    let parallelism = match how.threads {
        Threads::One => gemm::Parallelism::None,
        Threads::All => gemm::Parallelism::Rayon(0),
    };
    // SAFETY: the constructors of the views checked that every element the sizes and strides reach
    // lies inside its slice and that rows of the destination are disjoint; the destination is
    // borrowed exclusively, so it overlaps neither operand.
    unsafe {
        gemm::gemm(
            destination.rows,
            destination.columns,
            left.columns,
            destination.values.as_mut_ptr(),
            1,
            destination.row_stride as isize,
            how.accumulate,
            left.values.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.values.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            T::from(1.0_f32),
            T::from(how.scale),
            false,
            false,
            false,
            parallelism,
        );
    }
}

fn assert_fits(len: usize, rows: usize, columns: usize, row_stride: usize) {
    if rows == 0 || columns == 0 {
        return;
    }
    let last_row = (rows - 1).saturating_mul(row_stride);
    assert!(
        last_row.saturating_add(columns) <= len,
        "{rows}x{columns} matrix with row stride {row_stride} needs more than {len} values"
    );
}

/// The slow version.
pub mod reference {
    /// Product of two row-major matrices; `inner` is the number of columns of the first.
    pub fn multiply(left: &[f32], right: &[f32], inner: usize) -> Vec<f64> {
        let columns = right.len() / inner;
        let mut product = Vec::new();
        for row in left.chunks_exact(inner) {
            for column in 0..columns {
                let terms = row.iter().zip(right[column..].iter().step_by(columns));
                product.push(terms.map(|(&l, &r)| f64::from(l) * f64::from(r)).sum());
            }
        }
        product
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, values};

    const SIZES: [[usize; 3]; 6] = [
        [1, 1, 1],
        [3, 5, 2],
        [1, 33, 40],
        [40, 33, 1],
        [65, 70, 33],
        [130, 600, 70],
    ];

    fn transpose(values: &[f32], columns: usize) -> Vec<f32> {
        let column = |column| values[column..].iter().step_by(columns).copied();
        (0..columns).flat_map(column).collect()
    }

    #[test]
    fn products_of_plain_and_transposed_views() {
        for [rows, inner, columns] in SIZES {
            let (left, right) = (values(1, rows * inner), values(2, inner * columns));
            let truth = reference::multiply(&left, &right, inner);
            let (turned_left, turned_right) = (transpose(&left, inner), transpose(&right, columns));
            let lefts = [
                Matrix::new(&left, rows, inner),
                Matrix::new(&turned_left, inner, rows).transposed(),
            ];
            let rights = [
                Matrix::new(&right, inner, columns),
                Matrix::new(&turned_right, columns, inner).transposed(),
            ];
            for (left, right) in lefts
                .iter()
                .flat_map(|l| rights.iter().map(move |r| (l, r)))
            {
                for how in [Product::SERIAL, Product::PARALLEL] {
                    let mut product = vec![f32::NAN; rows * columns];
                    let destination = MatrixMut::new(&mut product, rows, columns);
                    multiply(*left, *right, destination, how);
                    assert_close(&product, &truth, 1e-5, "product");
                }
            }
        }
    }

    #[test]
    fn strides_scale_and_accumulation() {
        let (left, right) = (values(1, 4 * 7), values(2, 5 * 9));
        let how = Product {
            scale: 2.0,
            accumulate: true,
            ..Product::SERIAL
        };
        let mut product = vec![1.0; 4 * 8];
        let destination = MatrixMut::strided(&mut product, 4, 6, 8);
        let left_view = Matrix::strided(&left, 4, 5, 7);
        multiply(
            left_view,
            Matrix::strided(&right, 5, 6, 9),
            destination,
            how,
        );
        for row in 0..4 {
            for column in 0..8 {
                let terms = (0..5).map(|i| left[row * 7 + i] * right[i * 9 + column]);
                let added = if column < 6 {
                    2.0 * terms.sum::<f32>()
                } else {
                    0.0
                };
                assert!((product[row * 8 + column] - 1.0 - added).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn products_in_double_precision() {
        let widened = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
        for [rows, inner, columns] in SIZES {
            let (left, right) = (values(1, rows * inner), values(2, inner * columns));
            let truth = reference::multiply(&left, &right, inner);
            let (left, right) = (widened(&left), widened(&right));
            for how in [Product::SERIAL, Product::PARALLEL] {
                let mut product = vec![f64::NAN; rows * columns];
                multiply(
                    Matrix::new(&left, rows, inner),
                    Matrix::new(&right, inner, columns),
                    MatrixMut::new(&mut product, rows, columns),
                    how,
                );
                for (product, truth) in product.iter().zip(&truth) {
                    assert!((product - truth).abs() < 1e-12, "{product}, not {truth}");
                }
            }
        }
    }

    #[test]
    fn an_empty_inner_size_gives_zero() {
        let mut product = vec![f32::NAN; 6];
        let destination = MatrixMut::new(&mut product, 2, 3);
        multiply(
            Matrix::new(&[], 2, 0),
            Matrix::new(&[], 0, 3),
            destination,
            Product::SERIAL,
        );
        assert_eq!(product, [0.0; 6]);
    }

    #[test]
    #[should_panic(expected = "needs more than")]
    fn short_slices_are_refused() {
        Matrix::new(&[0.0; 5], 2, 3);
    }
}
