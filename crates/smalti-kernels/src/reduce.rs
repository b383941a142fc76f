//! Sums over rows, split into blocks that do not depend on the number of threads and are added up
//! in order, so that results are always the same.

use crate::dispatch::{self, vectorised};
use crate::element::Element;
use rayon::prelude::*;

const MAX_BLOCKS: usize = 64;
const MIN_ROWS: usize = 16;

/// How many of `rows` one block of a reduction covers.
pub(crate) fn rows_per_block(rows: usize) -> usize {
    rows.div_ceil(MAX_BLOCKS).max(MIN_ROWS)
}

/// Sum of vectors of length `width` that lie one after the other.
pub(crate) fn fold(vectors: &[f64], width: usize) -> Vec<f64> {
    let mut total = vec![0.0f64; width];
    for vector in vectors.chunks_exact(width) {
        for (total, value) in total.iter_mut().zip(vector) {
            *total += value;
        }
    }
    total
}

/// Sum of each column of a matrix with `sums.len()` columns.
pub(crate) fn column_sums<E: Element>(values: &[E], sums: &mut [f32]) {
    let width = sums.len();
    let rows = values.len() / width;
    let block = rows_per_block(rows);
    let mut partials = vec![0.0f64; rows.div_ceil(block) * width];
    let isa = dispatch::isa();
    partials
        .par_chunks_mut(width)
        .zip(values.par_chunks(block * width))
        .for_each(|(partial, rows)| accumulate_rows(isa, rows, partial));
    for (sum, total) in sums.iter_mut().zip(fold(&partials, width)) {
        *sum = total as f32;
    }
}

vectorised! {
    fn accumulate_rows<E: Element>(rows: &[E], sums: &mut [f64]) {
        for row in rows.chunks_exact(sums.len()) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += f64::from(value.to_f32());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{levels, values};

    #[test]
    fn columns_are_summed() {
        for (rows, width) in [(1, 1), (17, 3), (1500, 33), (0, 4)] {
            let data = values(3, rows * width);
            let mut sums = vec![9.0; width];
            column_sums(&data, &mut sums);
            for (column, &sum) in sums.iter().enumerate() {
                let column = data.iter().skip(column).step_by(width);
                let truth: f64 = column.map(|&value| f64::from(value)).sum();
                assert!((f64::from(sum) - truth).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn levels_agree() {
        let data = values(4, 33 * 21);
        let mut truth = vec![0.0; 33];
        accumulate_rows(dispatch::Isa::Portable, &data, &mut truth);
        for level in levels() {
            let mut sums = vec![0.0; 33];
            accumulate_rows(level, &data, &mut sums);
            assert_eq!(sums, truth);
        }
    }
}
