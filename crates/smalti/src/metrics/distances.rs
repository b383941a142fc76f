//! Distances of all features of one set to all of another, a block at a time: never all of them in memory.

use super::linear_algebra::product;
use super::rows::FeatureRows;
use rayon::prelude::*;
use smalti_kernels::matmul::Matrix;
use std::ops::Range;

/// Pictures of each side in a block: 8 MB of distances.
const BLOCK: usize = 1024;

/// The squared Euclidean distances of some pictures of the left side (rows) to some of the right (columns), row-major.
pub(super) struct DistanceBlock {
    pub rows: Range<usize>,
    pub columns: Range<usize>,
    pub squared: Vec<f64>,
}

/// Pictures of one side in double precision, and the squares of their lengths.
struct Side {
    range: Range<usize>,
    values: Vec<f64>,
    squares: Vec<f64>,
}

impl Side {
    fn new(rows: &FeatureRows<'_>, range: Range<usize>) -> Self {
        let values = rows.gather(range.clone());
        let squares = values
            .par_chunks_exact(rows.dimensions())
            .map(|row| row.iter().map(|value| value * value).sum::<f64>())
            .collect();
        Self {
            range,
            values,
            squares,
        }
    }
}

/// Computes all blocks, one after the other, on all threads. Both sides have rows of one length.
pub(super) fn for_each_block(
    left: &FeatureRows<'_>,
    right: &FeatureRows<'_>,
    mut visit: impl FnMut(&DistanceBlock),
) {
    for rows in ranges(left.count()) {
        let one = Side::new(left, rows);
        for columns in ranges(right.count()) {
            let other = Side::new(right, columns);
            visit(&block(&one, &other, left.dimensions()));
        }
    }
}

fn ranges(count: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count)
        .step_by(BLOCK)
        .map(move |start| start..(start + BLOCK).min(count))
}

/// ‖x − y‖² = ‖x‖² + ‖y‖² − 2 xᵀy, in double precision because of what cancels.
fn block(one: &Side, other: &Side, dimensions: usize) -> DistanceBlock {
    let (rows, columns) = (one.range.len(), other.range.len());
    let left = Matrix::new(&one.values, rows, dimensions);
    let right = Matrix::new(&other.values, columns, dimensions).transposed();
    let mut squared = product(left, right, [rows, columns]);
    let lines = squared.par_chunks_exact_mut(columns).zip(&one.squares);
    lines.for_each(|(line, own)| {
        for (value, square) in line.iter_mut().zip(&other.squares) {
            *value = (own + square - 2.0 * *value).max(0.0);
        }
    });
    DistanceBlock {
        rows: one.range.clone(),
        columns: other.range.clone(),
        squared,
    }
}

/// The squared distances of every picture to its `neighbours` nearest other pictures of the set, nearest first:
/// `[count, neighbours]`, infinite where there are too few.
pub(super) fn nearest_distances(rows: &FeatureRows<'_>, neighbours: usize) -> Vec<f64> {
    let mut nearest = vec![f64::INFINITY; rows.count() * neighbours];
    for_each_block(rows, rows, |block| {
        let places = block.rows.start * neighbours..block.rows.end * neighbours;
        let lists = nearest[places].par_chunks_exact_mut(neighbours);
        let lines = block.squared.par_chunks_exact(block.columns.len());
        let numbered = lists.zip(lines).zip(block.rows.clone());
        numbered.for_each(|((list, line), picture)| {
            for (other, &distance) in block.columns.clone().zip(line) {
                if other != picture {
                    insert(list, distance);
                }
            }
        });
    });
    nearest
}

/// Puts a number into an ascending list, whose last falls out.
fn insert(list: &mut [f64], number: f64) {
    let place = list.partition_point(|&smaller| smaller <= number);
    if place < list.len() {
        list[place..].rotate_right(1);
        list[place] = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_keep_the_smallest() {
        let mut list = [f64::INFINITY; 3];
        for number in [5.0, 1.0, 4.0, 9.0, 1.0] {
            insert(&mut list, number);
        }
        assert_eq!(list, [1.0, 1.0, 4.0]);
    }

    /// Points on a line, more than one block of them: neighbours are one step apart.
    #[test]
    fn nearest_on_a_line() {
        let values: Vec<f32> = (0..BLOCK + 20).map(|index| index as f32).collect();
        let rows = FeatureRows::new(&values, 1, 0).unwrap();
        let found = nearest_distances(&rows, 2);
        assert_eq!(found[..2], [1.0, 4.0]);
        assert_eq!(found[2 * BLOCK..][..2], [1.0, 1.0]);
        assert_eq!(found[2 * (BLOCK + 19)..], [1.0, 4.0]);
    }

    #[test]
    fn blocks_cover_all_pairs() {
        let left: Vec<f32> = (0..BLOCK + 2).map(|index| index as f32 * 0.5).collect();
        let right = [3.0_f32, -1.0];
        let mut seen = 0;
        let rows = [&left[..], &right[..]].map(|values| FeatureRows::new(values, 1, 0).unwrap());
        for_each_block(&rows[0], &rows[1], |block| {
            for (row, line) in block.rows.clone().zip(block.squared.chunks(2)) {
                let expected = [3.0, -1.0].map(|value: f64| (row as f64 * 0.5 - value).powi(2));
                assert_eq!(line, expected);
                seen += 1;
            }
        });
        assert_eq!(seen, left.len());
    }
}
