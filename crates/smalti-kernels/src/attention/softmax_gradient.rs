//! The gradient of the scores, from probabilities that are computed again.

use super::AttentionShape;
use super::products::{Products, Tile};
use super::shape::BLOCK;
use crate::dispatch::{self, vectorised};
use crate::math::{exp, sum_by_pairs};
use crate::matmul::{Matrix, MatrixMut, Product, multiply};
use crate::scratch::with_scratch;
use rayon::prelude::*;

/// The gradient of the scores and what it is computed from.
pub(super) struct SoftmaxGradient<'a> {
    pub(super) products: Products<'a>,
    pub(super) logsumexp: &'a [f32],
    pub(super) grad_output: &'a [f32],
    /// Average of the gradients of each query's probabilities, `[batch, queries, heads]`.
    pub(super) averages: Vec<f32>,
}

impl SoftmaxGradient<'_> {
    pub(super) fn shape(&self) -> &AttentionShape {
        self.products.shape
    }

    pub(super) fn output_gradient(&self, tile: &Tile) -> Matrix<'_> {
        self.products.query_rows(self.grad_output, tile)
    }

    /// Writes probabilities and gradients of the scores of a tile, both `[keys, queries]`.
    fn compute(&self, tile: &Tile, probabilities: &mut [f32], gradients: &mut [f32]) {
        let shape = self.shape();
        let (keys, queries) = (tile.keys.len(), tile.queries.len());
        self.products.scores(tile, probabilities);
        multiply(
            self.products.values(tile),
            self.output_gradient(tile).transposed(),
            MatrixMut::new(gradients, keys, queries),
            Product::SERIAL,
        );
        let first = (tile.batch * shape.heads + tile.head) * shape.queries + tile.queries.start;
        let logsumexp = &self.logsumexp[first..][..queries];
        let first = (tile.batch * shape.queries + tile.queries.start) * shape.heads + tile.head;
        let mut averages = [0.0f32; BLOCK];
        let averages = &mut averages[..queries];
        let stored = self.averages[first..].iter().step_by(shape.heads);
        for (average, stored) in averages.iter_mut().zip(stored) {
            *average = *stored;
        }
        let isa = dispatch::isa();
        differentiate(isa, probabilities, gradients, logsumexp, averages);
    }

    /// Computes a tile in scratch memory and hands probabilities and score gradients on.
    pub(super) fn with_tile(&self, tile: &Tile, work: impl FnOnce(Matrix<'_>, Matrix<'_>)) {
        let (keys, queries) = (tile.keys.len(), tile.queries.len());
        with_scratch(2 * keys * queries, |scratch| {
            let (probabilities, gradients) = scratch.split_at_mut(keys * queries);
            self.compute(tile, probabilities, gradients);
            work(
                Matrix::new(probabilities, keys, queries),
                Matrix::new(gradients, keys, queries),
            );
        });
    }

    /// Product of score gradients with queries or keys.
    pub(super) fn scaled(&self, accumulate: bool) -> Product {
        Product {
            scale: self.shape().scale,
            accumulate,
            ..Product::SERIAL
        }
    }
}

/// A product that is added to its destination.
pub(super) const SUM: Product = Product {
    accumulate: true,
    ..Product::SERIAL
};

vectorised! {
    /// Turns scores into probabilities and gradients of probabilities into gradients of scores.
    pub(super) fn differentiate(
        scores: &mut [f32],
        gradients: &mut [f32],
        logsumexp: &[f32],
        averages: &[f32],
    ) {
        let queries = logsumexp.len();
        let rows = scores.chunks_exact_mut(queries).zip(gradients.chunks_exact_mut(queries));
        for (scores, gradients) in rows {
            let values = scores.iter_mut().zip(gradients);
            let queries = logsumexp.iter().zip(averages);
            for ((score, gradient), (logsumexp, average)) in values.zip(queries) {
                let probability = exp(*score - logsumexp);
                *score = probability;
                *gradient = probability * (*gradient - average);
            }
        }
    }
}

/// Products of output and its gradient, summed over each head: `[batch, queries, heads]`. They
/// equal the averages of the probabilities' gradients.
pub(super) fn average_gradients(
    shape: &AttentionShape,
    output: &[f32],
    grad_output: &[f32],
) -> Vec<f32> {
    let (dim, isa) = (shape.head_dim, dispatch::isa());
    let block = BLOCK * shape.heads;
    let mut averages = vec![0.0; output.len() / dim];
    let values = output
        .par_chunks(block * dim)
        .zip(grad_output.par_chunks(block * dim));
    let jobs = averages.par_chunks_mut(block).zip(values);
    jobs.for_each(|(sums, (left, right))| write_products(isa, left, right, sums));
    averages
}

vectorised! {
    pub(super) fn write_products(left: &[f32], right: &[f32], sums: &mut [f32]) {
        let dim = left.len() / sums.len();
        let pairs = left.chunks_exact(dim).zip(right.chunks_exact(dim));
        for (sum, (left, right)) in sums.iter_mut().zip(pairs) {
            *sum = sum_by_pairs(left, right, |left, right| left * right);
        }
    }
}
