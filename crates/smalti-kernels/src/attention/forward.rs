//! The forward pass: one job for each block of queries, with all its heads.

use super::products::{Products, Tile};
use super::shape::BLOCK;
use super::{AttentionShape, Inputs};
use crate::dispatch::{self, vectorised};
use crate::math::{exp, larger, maximum, sum_by};
use crate::matmul::{Matrix, Product, multiply};
use crate::scratch::with_scratch;
use crate::split::blocks_of_rows;
use rayon::prelude::*;
use std::ops::Range;

/// Computes the output and the logarithms of the sums of exponentials.
pub fn forward(
    shape: &AttentionShape,
    inputs: Inputs<'_>,
    output: &mut [f32],
    logsumexp: &mut [f32],
) {
    shape.assert_lengths(&inputs, output.len(), logsumexp.len());
    let width = shape.width();
    let block = shape.query_block();
    let images = output.chunks_exact_mut(shape.queries * width);
    let sums = logsumexp.chunks_exact_mut(shape.heads * shape.queries);
    let mut jobs = Vec::new();
    for (batch, (output, sums)) in images.zip(sums).enumerate() {
        let outputs = output.chunks_mut(block * width);
        let sums = blocks_of_rows(sums, shape.queries, block);
        for (queries, (output, logsumexp)) in shape.blocks(block).zip(outputs.zip(sums)) {
            jobs.push(ForwardJob {
                batch,
                queries,
                output,
                logsumexp,
            });
        }
    }
    let products = Products { shape, inputs };
    jobs.into_par_iter().for_each(|job| job.run(&products));
}

/// Block of queries of one batch entry, with all its heads.
struct ForwardJob<'a> {
    batch: usize,
    queries: Range<usize>,
    output: &'a mut [f32],
    /// For each head, the logarithms of the block.
    logsumexp: Vec<&'a mut [f32]>,
}

impl ForwardJob<'_> {
    fn run(self, products: &Products<'_>) {
        let (shape, isa) = (products.shape, dispatch::isa());
        let count = self.queries.len();
        let visible = shape.visible_keys(self.queries.end - 1);
        for (head, logsumexp) in self.logsumexp.into_iter().enumerate() {
            let tile = Tile {
                batch: self.batch,
                head,
                queries: self.queries.clone(),
                keys: 0..visible,
            };
            let mut sums = [0.0f32; BLOCK];
            let sums = &mut sums[..count];
            with_scratch(visible * count, |scores| {
                products.scores(&tile, scores);
                exponentials(isa, scores, logsumexp, sums);
                multiply(
                    Matrix::new(scores, visible, count).transposed(),
                    products.values(&tile),
                    products.head_mut(self.output, head),
                    Product::SERIAL,
                );
            });
            let tokens = self.output.chunks_exact_mut(shape.width());
            for ((token, sum), logsumexp) in tokens.zip(sums).zip(logsumexp) {
                let factor = 1.0 / *sum;
                let values = &mut token[head * shape.head_dim..][..shape.head_dim];
                values.iter_mut().for_each(|value| *value *= factor);
                *logsumexp += sum.ln();
            }
        }
    }
}

vectorised! {
    /// Replaces scores by their exponentials relative to the query's largest score; writes the
    /// largest scores and the sums of the exponentials.
    pub(super) fn exponentials(scores: &mut [f32], maxima: &mut [f32], sums: &mut [f32]) {
        if let ([largest], [sum]) = (&mut *maxima, &mut *sums) {
            // A single query: its scores themselves lie along the vector registers.
            *largest = maximum(scores);
            for score in scores.iter_mut() {
                *score = exp(*score - *largest);
            }
            *sum = sum_by(scores, |value| value);
            return;
        }
        let queries = maxima.len();
        maxima.fill(f32::NEG_INFINITY);
        sums.fill(0.0);
        for row in scores.chunks_exact(queries) {
            for (largest, &score) in maxima.iter_mut().zip(row) {
                *largest = larger(*largest, score);
            }
        }
        for row in scores.chunks_exact_mut(queries) {
            let queries = maxima.iter().zip(sums.iter_mut());
            for (score, (largest, sum)) in row.iter_mut().zip(queries) {
                *score = exp(*score - largest);
                *sum += *score;
            }
        }
    }
}
