//! The backward pass with one job for each head of each batch entry.

use super::Gradients;
use super::products::Tile;
use super::shape::BLOCK;
use super::softmax_gradient::{SUM, SoftmaxGradient};
use crate::matmul::{MatrixMut, multiply};
use crate::scratch::with_scratch;
use crate::split::blocks_of_rows;
use rayon::prelude::*;

/// One job for each head of each batch entry, which computes all three gradients.
pub(super) fn backward_by_head(softmax: &SoftmaxGradient<'_>, gradients: Gradients<'_>) {
    let shape = softmax.shape();
    let (dim, width) = (shape.head_dim, shape.width());
    let queries = gradients.query.chunks_exact_mut(shape.queries * width);
    let keys = gradients.key.chunks_exact_mut(shape.keys * width);
    let values = gradients.value.chunks_exact_mut(shape.keys * width);
    let mut jobs = Vec::new();
    for (batch, (query, (key, value))) in queries.zip(keys.zip(values)).enumerate() {
        let queries = blocks_of_rows(query, width, dim);
        let keys = blocks_of_rows(key, width, dim);
        let values = blocks_of_rows(value, width, dim);
        let heads = queries.into_iter().zip(keys.into_iter().zip(values));
        for (head, (query, (key, value))) in heads.enumerate() {
            jobs.push(HeadJob {
                batch,
                head,
                query,
                key,
                value,
            });
        }
    }
    jobs.into_par_iter().for_each(|job| job.run(softmax));
}

/// One head of one batch entry; gradients are written token by token.
struct HeadJob<'a> {
    batch: usize,
    head: usize,
    query: Vec<&'a mut [f32]>,
    key: Vec<&'a mut [f32]>,
    value: Vec<&'a mut [f32]>,
}

impl HeadJob<'_> {
    fn run(mut self, softmax: &SoftmaxGradient<'_>) {
        let shape = softmax.shape();
        let dim = shape.head_dim;
        with_scratch(2 * shape.keys * dim, |sums| {
            sums.fill(0.0);
            let (keys, values) = sums.split_at_mut(shape.keys * dim);
            for queries in shape.blocks(BLOCK) {
                let tile = Tile {
                    batch: self.batch,
                    head: self.head,
                    keys: 0..shape.visible_keys(queries.end - 1),
                    queries,
                };
                self.add_block(softmax, &tile, keys, values);
            }
            copy_rows(keys, &mut self.key);
            copy_rows(values, &mut self.value);
        });
    }

    fn add_block(
        &mut self,
        softmax: &SoftmaxGradient<'_>,
        tile: &Tile,
        keys: &mut [f32],
        values: &mut [f32],
    ) {
        let dim = softmax.shape().head_dim;
        let count = tile.keys.len();
        let products = &softmax.products;
        let targets = &mut self.query[tile.queries.clone()];
        softmax.with_tile(tile, |probabilities, gradients| {
            let keys = MatrixMut::new(keys, count, dim);
            multiply(
                gradients,
                products.queries(tile),
                keys,
                softmax.scaled(true),
            );
            let values = MatrixMut::new(values, count, dim);
            multiply(probabilities, softmax.output_gradient(tile), values, SUM);
            with_scratch(targets.len() * dim, |queries| {
                let target = MatrixMut::new(queries, targets.len(), dim);
                let how = softmax.scaled(false);
                multiply(gradients.transposed(), products.keys(tile), target, how);
                copy_rows(queries, targets);
            });
        });
    }
}

fn copy_rows(source: &[f32], targets: &mut [&mut [f32]]) {
    let mut rest = source;
    for target in targets {
        let (row, after) = rest.split_at(target.len());
        target.copy_from_slice(row);
        rest = after;
    }
}
