//! The backward pass with jobs for blocks of tokens, so that few heads give all threads work.

use super::products::Tile;
use super::shape::{BLOCK, MIN_BLOCK};
use super::softmax_gradient::{SUM, SoftmaxGradient};
use crate::matmul::multiply;
use crate::threads;
use rayon::prelude::*;
use std::ops::Range;

/// One job for each block of queries, with all its heads.
pub(super) fn backward_queries(softmax: &SoftmaxGradient<'_>, grad_query: &mut [f32]) {
    let shape = softmax.shape();
    let (width, block) = (shape.width(), shape.query_block());
    let mut jobs = Vec::new();
    let images = grad_query.chunks_exact_mut(shape.queries * width);
    for (batch, tokens) in images.enumerate() {
        let tokens = tokens.chunks_mut(block * width);
        jobs.extend(shape.blocks(block).zip(tokens).map(|job| (batch, job)));
    }
    jobs.into_par_iter().for_each(|(batch, (queries, tokens))| {
        for head in 0..shape.heads {
            let tile = Tile {
                batch,
                head,
                queries: queries.clone(),
                keys: 0..shape.visible_keys(queries.end - 1),
            };
            softmax.with_tile(&tile, |_, gradients| {
                let (keys, how) = (softmax.products.keys(&tile), softmax.scaled(false));
                let target = softmax.products.head_mut(tokens, head);
                multiply(gradients.transposed(), keys, target, how);
            });
        }
    });
}

/// One job for each block of keys, with all its heads.
pub(super) fn backward_keys(
    softmax: &SoftmaxGradient<'_>,
    grad_key: &mut [f32],
    grad_value: &mut [f32],
) {
    let shape = softmax.shape();
    let image = shape.keys * shape.width();
    let fair = (shape.batch * shape.keys).div_ceil(threads());
    let block = fair.clamp(MIN_BLOCK, BLOCK) * shape.width();
    let mut jobs = Vec::new();
    let images = grad_key
        .chunks_exact_mut(image)
        .zip(grad_value.chunks_exact_mut(image));
    for (batch, (keys, values)) in images.enumerate() {
        let blocks = keys.chunks_mut(block).zip(values.chunks_mut(block));
        for (index, (key, value)) in blocks.enumerate() {
            let first = index * (block / shape.width());
            jobs.push(KeyJob {
                batch,
                keys: first..first + key.len() / shape.width(),
                key,
                value,
            });
        }
    }
    jobs.into_par_iter().for_each(|job| job.run(softmax));
}

/// Block of keys of one batch entry.
struct KeyJob<'a> {
    batch: usize,
    keys: Range<usize>,
    key: &'a mut [f32],
    value: &'a mut [f32],
}

impl KeyJob<'_> {
    fn run(self, softmax: &SoftmaxGradient<'_>) {
        let shape = softmax.shape();
        let products = &softmax.products;
        self.key.fill(0.0);
        self.value.fill(0.0);
        let seen = |queries: &Range<usize>| shape.visible_keys(queries.end - 1) > self.keys.start;
        for head in 0..shape.heads {
            for queries in shape.blocks(BLOCK).filter(seen) {
                let tile = Tile {
                    batch: self.batch,
                    head,
                    queries,
                    keys: self.keys.clone(),
                };
                softmax.with_tile(&tile, |probabilities, gradients| {
                    let key = products.head_mut(self.key, head);
                    multiply(
                        gradients,
                        products.queries(&tile),
                        key,
                        softmax.scaled(true),
                    );
                    let value = products.head_mut(self.value, head);
                    multiply(probabilities, softmax.output_gradient(&tile), value, SUM);
                });
            }
        }
    }
}
