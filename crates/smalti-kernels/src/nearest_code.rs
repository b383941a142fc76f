//! Search for the nearest codebook entry of every vector.
//!
//! Vectors are `[n, dim]`, the codebook is `[k, dim]`. The squared distance is taken as
//! `(|z|^2 + |e|^2) - 2 z.e`, rounded to `f32` in this order: it decides between near ties. Of
//! entries at the same distance the first one wins. Only a block of products exists at a time.

use crate::dispatch::{self, vectorised};
use crate::math::sum_by;
use crate::matmul::{Matrix, MatrixMut, Product, multiply};
use crate::scratch::with_scratch;
use rayon::prelude::*;

/// Vectors searched at once by a thread; they lie along the vector registers.
const VECTORS: usize = 64;

/// Largest number of codebook entries compared at once.
const CODES: usize = 128;

/// Vectors whose squared lengths are one job of the thread pool.
const NORMS: usize = 256;

/// Writes the index of the nearest codebook entry of every vector.
pub fn nearest_codes(vectors: &[f32], codebook: &[f32], dim: usize, codes: &mut [i64]) {
    assert!(dim > 0 && !codebook.is_empty(), "empty codebook");
    assert_eq!(codebook.len() % dim, 0, "codebook values");
    assert_eq!(vectors.len(), codes.len() * dim, "vector values");
    let code_norms = squared_lengths(codebook, dim);
    let search = Search {
        codebook,
        code_norms: &code_norms,
        dim,
    };
    let jobs = codes.par_chunks_mut(VECTORS);
    jobs.zip(vectors.par_chunks(VECTORS * dim))
        .for_each(|(codes, vectors)| {
            search.run(vectors, codes);
        });
}

struct Search<'a> {
    codebook: &'a [f32],
    code_norms: &'a [f32],
    dim: usize,
}

impl Search<'_> {
    fn run(&self, vectors: &[f32], codes: &mut [i64]) {
        let (isa, count) = (dispatch::isa(), codes.len());
        let mut vector_norms = [0.0; VECTORS];
        let vector_norms = &mut vector_norms[..count];
        write_squared_lengths(isa, vectors, vector_norms);
        let (mut distances, mut indices) = ([f32::INFINITY; VECTORS], [0u32; VECTORS]);
        let (distances, indices) = (&mut distances[..count], &mut indices[..count]);
        // Even blocks: a last block of a single entry would be multiplied in another way, with
        // other rounding errors.
        let total = self.code_norms.len();
        let block = total.div_ceil(total.div_ceil(CODES));
        with_scratch(block * count, |products| {
            let blocks = self.codebook.chunks(block * self.dim);
            for (index, entries) in blocks.enumerate() {
                let norms = &self.code_norms[index * block..][..entries.len() / self.dim];
                let products = &mut products[..norms.len() * count];
                self.multiply(entries, vectors, count, products);
                let first = (index * block) as u32;
                keep_nearest(
                    isa,
                    products,
                    norms,
                    vector_norms,
                    first,
                    distances,
                    indices,
                );
            }
        });
        for (code, index) in codes.iter_mut().zip(indices) {
            *code = i64::from(*index);
        }
    }

    /// Writes twice the products of every entry (rows) with every vector (columns).
    fn multiply(&self, entries: &[f32], vectors: &[f32], count: usize, products: &mut [f32]) {
        let rows = entries.len() / self.dim;
        let how = Product {
            scale: 2.0,
            ..Product::SERIAL
        };
        multiply(
            Matrix::new(entries, rows, self.dim),
            Matrix::new(vectors, count, self.dim).transposed(),
            MatrixMut::new(products, rows, count),
            how,
        );
    }
}

fn squared_lengths(vectors: &[f32], dim: usize) -> Vec<f32> {
    let isa = dispatch::isa();
    let mut lengths = vec![0.0; vectors.len() / dim];
    let jobs = lengths
        .par_chunks_mut(NORMS)
        .zip(vectors.par_chunks(NORMS * dim));
    jobs.for_each(|(lengths, vectors)| write_squared_lengths(isa, vectors, lengths));
    lengths
}

vectorised! {
    fn write_squared_lengths(vectors: &[f32], lengths: &mut [f32]) {
        let dim = vectors.len() / lengths.len();
        for (length, vector) in lengths.iter_mut().zip(vectors.chunks_exact(dim)) {
            *length = sum_by(vector, |value| value * value);
        }
    }
}

vectorised! {
    /// Compares entries from number `first` on; a later entry must be strictly nearer.
    fn keep_nearest(
        products: &[f32],
        code_norms: &[f32],
        vector_norms: &[f32],
        first: u32,
        distances: &mut [f32],
        indices: &mut [u32],
    ) {
        let rows = products.chunks_exact(vector_norms.len());
        for (code, (row, &code_norm)) in (first..).zip(rows.zip(code_norms)) {
            let nearest = distances.iter_mut().zip(indices.iter_mut());
            let values = row.iter().zip(vector_norms);
            for ((product, vector_norm), (distance, index)) in values.zip(nearest) {
                let candidate = (vector_norm + code_norm) - product;
                let nearer = candidate < *distance;
                *distance = if nearer { candidate } else { *distance };
                *index = if nearer { code } else { *index };
            }
        }
    }
}

/// The slow version in double precision.
pub mod reference {
    /// Squared distance of two vectors.
    pub fn squared_distance(left: &[f32], right: &[f32]) -> f64 {
        let differences = left.iter().zip(right);
        let differences = differences.map(|(&l, &r)| f64::from(l) - f64::from(r));
        differences.map(|difference| difference * difference).sum()
    }

    /// Index of the nearest codebook entry of every vector.
    pub fn nearest_codes(vectors: &[f32], codebook: &[f32], dim: usize) -> Vec<i64> {
        let mut codes = Vec::new();
        for vector in vectors.chunks_exact(dim) {
            let (mut nearest, mut least) = (0, f64::INFINITY);
            for (index, entry) in codebook.chunks_exact(dim).enumerate() {
                let distance = squared_distance(vector, entry);
                if distance < least {
                    (nearest, least) = (index as i64, distance);
                }
            }
            codes.push(nearest);
        }
        codes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::Isa;
    use crate::testing::{in_pool, levels, values};

    fn fast(vectors: &[f32], codebook: &[f32], dim: usize) -> Vec<i64> {
        let mut codes = vec![-1; vectors.len() / dim];
        nearest_codes(vectors, codebook, dim, &mut codes);
        codes
    }

    #[test]
    fn codes_are_nearest_up_to_rounding() {
        for [n, k, dim] in [
            [0, 3, 2],
            [1, 1, 1],
            [5, 7, 3],
            [65, 129, 33],
            [200, 1000, 16],
        ] {
            let (vectors, codebook) = (values(1, n * dim), values(2, k * dim));
            let codes = in_pool(2, || fast(&vectors, &codebook, dim));
            let truths = reference::nearest_codes(&vectors, &codebook, dim);
            for (index, (&code, truth)) in codes.iter().zip(truths).enumerate() {
                let vector = &vectors[index * dim..][..dim];
                let distance = |code: i64| {
                    let entry = &codebook[code as usize * dim..][..dim];
                    reference::squared_distance(vector, entry)
                };
                assert!(distance(code) - distance(truth) < 2e-5);
            }
        }
    }

    #[test]
    fn the_first_of_equal_entries_wins() {
        // Small whole numbers make all sums exact, so equal distances are equal numbers.
        let whole = |seed, len| -> Vec<f32> {
            let scaled = values(seed, len)
                .into_iter()
                .map(|value| (value * 2.0).round());
            scaled.collect()
        };
        let (vectors, codebook) = (whole(1, 150 * 3), whole(2, 300 * 3));
        let truth = reference::nearest_codes(&vectors, &codebook, 3);
        assert_eq!(fast(&vectors, &codebook, 3), truth);
    }

    #[test]
    fn runs_are_identical() {
        let (vectors, codebook) = (values(1, 300 * 8), values(2, 500 * 8));
        let run = |threads| in_pool(threads, || fast(&vectors, &codebook, 8));
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn levels_agree() {
        let (products, code_norms, vector_norms) =
            (values(1, 20 * 33), values(2, 20), values(3, 33));
        let run = |level| {
            let (mut best, mut indices) = (vec![1.0; 33], vec![0; 33]);
            keep_nearest(
                level,
                &products,
                &code_norms,
                &vector_norms,
                5,
                &mut best,
                &mut indices,
            );
            let mut lengths = vec![0.0; 20];
            write_squared_lengths(level, &products, &mut lengths);
            (best, indices, lengths)
        };
        for level in levels() {
            assert_eq!(run(level), run(Isa::Portable));
        }
    }
}
