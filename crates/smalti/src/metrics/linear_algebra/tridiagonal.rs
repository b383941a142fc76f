//! A symmetric matrix turned into a tridiagonal one with the same eigenvalues, by Householder's reflections, in panels:
//! Dongarra, Sorensen and Hammarling, "Block reduction of matrices to condensed forms for eigenvalue computations"
//! (1989), as LAPACK's `dsytrd` does it.
//!
//! Reflecting at v of length 1 takes A to A − v wᵀ − w vᵀ, where p = 2 A v and w = p − (vᵀp) v. Within a panel A is
//! left as it is and what was taken off so far is applied to vectors alone, so that the matrix is read once per column;
//! at the end of the panel it is changed by products of matrices.

use super::{add_scaled, dot};
use rayon::prelude::*;
use smalti_kernels::matmul::{Matrix, MatrixMut, Product, multiply};

/// Columns per panel.
const PANEL: usize = 32;

/// Rows that one thread multiplies at least: less is not worth handing out.
const ROWS: usize = 32;

/// Below this a vector beside elements of at most one is nothing, and its direction is inexact.
const NOTHING: f64 = f64::MIN_POSITIVE / f64::EPSILON;

/// A symmetric matrix with elements on its diagonal and beside it alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Tridiagonal {
    pub diagonal: Vec<f64>,
    /// One fewer.
    pub beside: Vec<f64>,
}

/// Reduces the symmetric matrix `[size, size]`, whose elements are at most 1 in magnitude.
pub fn reduce(mut matrix: Vec<f64>, size: usize) -> Tridiagonal {
    let mut result = Tridiagonal {
        diagonal: Vec::with_capacity(size),
        beside: Vec::with_capacity(size),
    };
    for first in (0..size).step_by(PANEL) {
        let mut panel = Panel::new(&matrix, size);
        for column in first..(first + PANEL).min(size) {
            let row = panel.row(column);
            result.diagonal.push(row[column]);
            if column + 1 < size {
                result.beside.push(panel.reflect(column, row));
            }
        }
        let taken_off = panel.taken_off;
        taken_off.subtract(&mut matrix, first + PANEL);
    }
    result
}

/// Columns that are being reduced, and the matrix before them.
struct Panel<'a> {
    matrix: &'a [f64],
    taken_off: TakenOff,
}

/// The rows v and w of a panel's reflections, `size` long, zero up to the column they belong to.
struct TakenOff {
    size: usize,
    v: Vec<f64>,
    w: Vec<f64>,
}

impl<'a> Panel<'a> {
    fn new(matrix: &'a [f64], size: usize) -> Self {
        let taken_off = TakenOff {
            size,
            v: Vec::with_capacity(PANEL * size),
            w: Vec::with_capacity(PANEL * size),
        };
        Self { matrix, taken_off }
    }

    /// Row `column` of the matrix as it is by now, from the diagonal on; zero before.
    fn row(&self, column: usize) -> Vec<f64> {
        let size = self.taken_off.size;
        let mut row = vec![0.0; size];
        row[column..].copy_from_slice(&self.matrix[column * size + column..][..size - column]);
        for (v, w) in self.taken_off.pairs() {
            add_scaled(&mut row[column..], -v[column], &w[column..]);
            add_scaled(&mut row[column..], -w[column], &v[column..]);
        }
        row
    }

    /// Reflects so that of `row` behind the diagonal only the first element is left; returns that element.
    fn reflect(&mut self, column: usize, mut row: Vec<f64>) -> f64 {
        let below = column + 1;
        row[column] = 0.0;
        let square = dot(&row[below..], &row[below..]);
        let mut left = 0.0;
        if square > NOTHING {
            let length = square.sqrt();
            // Away from the axis: nothing cancels.
            left = if row[below] > 0.0 { -length } else { length };
            row[below] -= left;
            let scale = dot(&row[below..], &row[below..]).sqrt().recip();
            row.iter_mut().for_each(|value| *value *= scale);
        } else {
            row.fill(0.0);
        }
        let w = self.second(below, &row);
        self.taken_off.v.extend(row);
        self.taken_off.w.extend(w);
        left
    }

    /// The w of the v whose elements begin at `below`.
    fn second(&self, below: usize, v: &[f64]) -> Vec<f64> {
        let size = self.taken_off.size;
        let mut p = vec![0.0; size];
        let rows = self.matrix[below * size..].par_chunks_exact(size);
        let targets = p[below..].par_iter_mut().with_min_len(ROWS);
        targets.zip(rows).for_each(|(target, row)| {
            *target = 2.0 * dot(&row[below..], &v[below..]);
        });
        for (earlier_v, earlier_w) in self.taken_off.pairs() {
            let along_v = dot(&earlier_v[below..], &v[below..]);
            let along_w = dot(&earlier_w[below..], &v[below..]);
            add_scaled(&mut p[below..], -2.0 * along_w, &earlier_v[below..]);
            add_scaled(&mut p[below..], -2.0 * along_v, &earlier_w[below..]);
        }
        let along = dot(&p[below..], &v[below..]);
        add_scaled(&mut p[below..], -along, &v[below..]);
        p
    }
}

impl TakenOff {
    fn pairs(&self) -> impl Iterator<Item = (&[f64], &[f64])> {
        let vs = self.v.chunks_exact(self.size);
        vs.zip(self.w.chunks_exact(self.size))
    }

    /// Changes the matrix from row and column `first` on, all that is still needed of it.
    fn subtract(&self, matrix: &mut [f64], first: usize) {
        let size = self.size;
        if first >= size {
            return;
        }
        let (count, rest) = (self.v.len() / size, size - first);
        let v = Matrix::strided(&self.v[first..], count, rest, size);
        let w = Matrix::strided(&self.w[first..], count, rest, size);
        let how = Product {
            scale: -1.0,
            accumulate: true,
            ..Product::PARALLEL
        };
        for (left, right) in [(v, w), (w, v)] {
            let place = &mut matrix[first * size + first..];
            let changed = MatrixMut::strided(place, rest, rest, size);
            multiply(left.transposed(), right, changed, how);
        }
    }
}
