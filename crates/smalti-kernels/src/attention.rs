//! Softmax attention and its gradients, without ever holding all scores.
//!
//! Tensors are `[batch, tokens, heads, head_dim]`. A thread takes a block of queries and computes
//! their scores against all keys they see, as `[keys, queries]`: the queries of a block lie along
//! the vector registers, so maxima and sums over the keys need no horizontal steps. The forward
//! pass keeps the logarithm of each query's sum of exponentials (`[batch, heads, queries]`), from
//! which the backward pass computes the probabilities again.

use crate::dispatch::{self, vectorised};
use crate::math::{exp, larger, maximum, sum_by, sum_by_pairs};
use crate::matmul::{Matrix, MatrixMut, Product, multiply};
use crate::scratch::with_scratch;
use crate::split::blocks_of_rows;
use crate::threads;
use rayon::prelude::*;
use std::ops::Range;

/// Most queries, and keys of gradients, in a block.
const BLOCK: usize = 64;

/// Fewest queries in a block when there are more threads than blocks.
const MIN_BLOCK: usize = 8;

/// Sizes and rules of an attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionShape {
    pub batch: usize,
    pub heads: usize,
    /// Number of query tokens.
    pub queries: usize,
    /// Number of key and value tokens.
    pub keys: usize,
    pub head_dim: usize,
    /// Whether a query sees only keys up to its own position; the last query stands at the last
    /// key.
    pub causal: bool,
    /// Factor of the scores.
    pub scale: f32,
    /// Under a causal rule, this many first positions still see each other.
    pub unmasked_prefix: usize,
}

impl AttentionShape {
    /// Values of all heads of a token.
    fn width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// A query sees the keys before this one. It never falls from one query to the next.
    fn visible_keys(&self, query: usize) -> usize {
        if self.causal {
            let position = query + self.keys - self.queries;
            (position + 1).max(self.unmasked_prefix).min(self.keys)
        } else {
            self.keys
        }
    }

    /// Queries of one job, fewer if the threads would otherwise go without work.
    fn query_block(&self) -> usize {
        let fair = (self.batch * self.queries).div_ceil(threads());
        fair.clamp(MIN_BLOCK, BLOCK)
    }

    /// Consecutive blocks of queries.
    fn blocks(&self, block: usize) -> impl Iterator<Item = Range<usize>> {
        let queries = self.queries;
        let starts = (0..queries).step_by(block);
        starts.map(move |start| start..queries.min(start + block))
    }

    fn query_len(&self) -> usize {
        self.batch * self.queries * self.width()
    }

    fn key_len(&self) -> usize {
        self.batch * self.keys * self.width()
    }

    fn assert_lengths(&self, inputs: &Inputs<'_>, output: usize, logsumexp: usize) {
        assert!(
            self.queries > 0 && self.keys > 0 && self.width() > 0,
            "empty attention: {self:?}"
        );
        assert!(
            !self.causal || self.queries <= self.keys,
            "causal attention with more queries than keys: {self:?}"
        );
        assert_eq!(inputs.query.len(), self.query_len(), "queries of {self:?}");
        assert_eq!(inputs.key.len(), self.key_len(), "keys of {self:?}");
        assert_eq!(inputs.value.len(), self.key_len(), "values of {self:?}");
        assert_eq!(output, self.query_len(), "output of {self:?}");
        let sums = self.batch * self.heads * self.queries;
        assert_eq!(logsumexp, sums, "logarithms of {self:?}");
    }
}

/// Queries, keys and values.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    pub query: &'a [f32],
    pub key: &'a [f32],
    pub value: &'a [f32],
}

/// What the forward pass leaves for the backward pass.
#[derive(Clone, Copy, Debug)]
pub struct Saved<'a> {
    pub output: &'a [f32],
    /// `[batch, heads, queries]`
    pub logsumexp: &'a [f32],
}

/// Where the backward pass writes.
#[derive(Debug)]
pub struct Gradients<'a> {
    pub query: &'a mut [f32],
    pub key: &'a mut [f32],
    pub value: &'a mut [f32],
}

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

/// Computes the gradients of queries, keys and values from that of the output.
pub fn backward(
    shape: &AttentionShape,
    inputs: Inputs<'_>,
    saved: Saved<'_>,
    grad_output: &[f32],
    gradients: Gradients<'_>,
) {
    shape.assert_lengths(&inputs, saved.output.len(), saved.logsumexp.len());
    assert_eq!(grad_output.len(), shape.query_len(), "output gradient");
    assert_eq!(gradients.query.len(), shape.query_len(), "query gradient");
    assert_eq!(gradients.key.len(), shape.key_len(), "key gradient");
    assert_eq!(gradients.value.len(), shape.key_len(), "value gradient");
    let softmax = SoftmaxGradient {
        products: Products { shape, inputs },
        logsumexp: saved.logsumexp,
        grad_output,
        averages: average_gradients(shape, saved.output, grad_output),
    };
    if shape.batch * shape.heads >= threads() {
        backward_by_head(&softmax, gradients);
    } else {
        backward_queries(&softmax, gradients.query);
        backward_keys(&softmax, gradients.key, gradients.value);
    }
}

/// A rectangle of scores of one head.
struct Tile {
    batch: usize,
    head: usize,
    queries: Range<usize>,
    keys: Range<usize>,
}

/// Scores and products with parts of the inputs.
struct Products<'a> {
    shape: &'a AttentionShape,
    inputs: Inputs<'a>,
}

impl<'a> Products<'a> {
    fn queries(&self, tile: &Tile) -> Matrix<'a> {
        self.query_rows(self.inputs.query, tile)
    }

    fn keys(&self, tile: &Tile) -> Matrix<'a> {
        self.key_rows(self.inputs.key, tile)
    }

    fn values(&self, tile: &Tile) -> Matrix<'a> {
        self.key_rows(self.inputs.value, tile)
    }

    /// Rows of a tensor that is shaped like the queries.
    fn query_rows<'t>(&self, tensor: &'t [f32], tile: &Tile) -> Matrix<'t> {
        let first = tile.batch * self.shape.queries + tile.queries.start;
        self.rows(tensor, first, tile.queries.len(), tile.head)
    }

    fn key_rows<'t>(&self, tensor: &'t [f32], tile: &Tile) -> Matrix<'t> {
        let first = tile.batch * self.shape.keys + tile.keys.start;
        self.rows(tensor, first, tile.keys.len(), tile.head)
    }

    fn rows<'t>(&self, tensor: &'t [f32], first: usize, count: usize, head: usize) -> Matrix<'t> {
        let (dim, width) = (self.shape.head_dim, self.shape.width());
        let start = first * width + head * dim;
        Matrix::strided(&tensor[start..], count, dim, width)
    }

    /// Head `head` of consecutive tokens, to be written.
    fn head_mut<'t>(&self, tokens: &'t mut [f32], head: usize) -> MatrixMut<'t> {
        let (dim, width) = (self.shape.head_dim, self.shape.width());
        let count = tokens.len() / width;
        MatrixMut::strided(&mut tokens[head * dim..], count, dim, width)
    }

    /// Writes the scaled scores of a tile as `[keys, queries]`, negative infinity where hidden.
    fn scores(&self, tile: &Tile, scores: &mut [f32]) {
        let (keys, queries) = (tile.keys.len(), tile.queries.len());
        let how = Product {
            scale: self.shape.scale,
            ..Product::SERIAL
        };
        multiply(
            self.keys(tile),
            self.queries(tile).transposed(),
            MatrixMut::new(scores, keys, queries),
            how,
        );
        let first_hidden = self.shape.visible_keys(tile.queries.start);
        for key in first_hidden.max(tile.keys.start)..tile.keys.end {
            let is_blind = |&query: &usize| self.shape.visible_keys(query) <= key;
            let hidden = tile.queries.clone().take_while(is_blind).count();
            scores[(key - tile.keys.start) * queries..][..hidden].fill(f32::NEG_INFINITY);
        }
    }
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
    fn exponentials(scores: &mut [f32], maxima: &mut [f32], sums: &mut [f32]) {
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

/// The gradient of the scores and what it is computed from.
struct SoftmaxGradient<'a> {
    products: Products<'a>,
    logsumexp: &'a [f32],
    grad_output: &'a [f32],
    /// Average of the gradients of each query's probabilities, `[batch, queries, heads]`.
    averages: Vec<f32>,
}

impl SoftmaxGradient<'_> {
    fn shape(&self) -> &AttentionShape {
        self.products.shape
    }

    fn output_gradient(&self, tile: &Tile) -> Matrix<'_> {
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
    fn with_tile(&self, tile: &Tile, work: impl FnOnce(Matrix<'_>, Matrix<'_>)) {
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
    fn scaled(&self, accumulate: bool) -> Product {
        Product {
            scale: self.shape().scale,
            accumulate,
            ..Product::SERIAL
        }
    }
}

/// A product that is added to its destination.
const SUM: Product = Product {
    accumulate: true,
    ..Product::SERIAL
};

vectorised! {
    /// Turns scores into probabilities and gradients of probabilities into gradients of scores.
    fn differentiate(
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
fn average_gradients(shape: &AttentionShape, output: &[f32], grad_output: &[f32]) -> Vec<f32> {
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
    fn write_products(left: &[f32], right: &[f32], sums: &mut [f32]) {
        let dim = left.len() / sums.len();
        let pairs = left.chunks_exact(dim).zip(right.chunks_exact(dim));
        for (sum, (left, right)) in sums.iter_mut().zip(pairs) {
            *sum = sum_by_pairs(left, right, |left, right| left * right);
        }
    }
}

/// One job for each head of each batch entry, which computes all three gradients.
fn backward_by_head(softmax: &SoftmaxGradient<'_>, gradients: Gradients<'_>) {
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

/// One job for each block of queries, with all its heads.
fn backward_queries(softmax: &SoftmaxGradient<'_>, grad_query: &mut [f32]) {
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
fn backward_keys(softmax: &SoftmaxGradient<'_>, grad_key: &mut [f32], grad_value: &mut [f32]) {
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

pub mod reference;

#[cfg(test)]
mod tests;
