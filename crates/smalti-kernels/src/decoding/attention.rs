//! Attention of the newest tokens over all before them, whose keys and values are kept.
//!
//! New tokens come as their projections, `[tokens, 3, heads, head_dim]`: query, key and value of a
//! token side by side, as one linear layer computes them. Those of one sequence are a [`Span`]; the
//! sequences of a cache may stand at different positions, read different numbers of tokens, or
//! rest. Each query of each head is a job of its own. Keys are kept in tiles,
//! `[batch, heads, capacity / TILE, head_dim, TILE]`: the tokens of a tile lie along the vector
//! registers, so that scores need no horizontal steps. Values are kept as
//! `[batch, heads, capacity, head_dim]`.

use crate::dispatch::{self, Isa, vectorised};
use crate::element::{Element, bf16};
use crate::math::{exp, maximum, sum_by};
use crate::scratch::with_scratch;
use rayon::prelude::*;

/// Tokens of a tile of keys. The capacity of a cache is rounded up to whole tiles.
const TILE: usize = 16;

/// Values of the cache that are worth a job of the thread pool.
const JOB: usize = 32 * 1024;

/// Sizes of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheShape {
    pub batch: usize,
    pub heads: usize,
    pub head_dim: usize,
    /// Most tokens of a sequence.
    pub capacity: usize,
}

impl CacheShape {
    /// Values of all heads of a token.
    fn width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Keys of a head of a sequence, and as many values.
    fn head_len(&self) -> usize {
        self.capacity.next_multiple_of(TILE) * self.head_dim
    }

    /// Checks that `spans` lie one behind the other in projections of `len` values, in the order of
    /// their sequences, and that the cache has room for them.
    fn check(&self, spans: &[Span], len: usize) {
        let (mut row, mut next) = (0, 0);
        for span in spans {
            assert!(
                span.row == row && span.sequence >= next && span.tokens > 0,
                "{span:?} is out of place"
            );
            assert!(span.sequence < self.batch, "{span:?} in {self:?}");
            assert!(
                span.end() <= self.capacity,
                "{} tokens after {} in {self:?}",
                span.tokens,
                span.position
            );
            row += span.tokens;
            next = span.sequence + 1;
        }
        assert_eq!(len, 3 * row * self.width(), "projections of {row} tokens");
    }
}

/// The new tokens of one sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Which sequence of the cache.
    pub sequence: usize,
    /// Tokens of it that were there before.
    pub position: usize,
    /// New tokens, at least one.
    pub tokens: usize,
    /// The first of them among the new tokens of all sequences.
    pub row: usize,
}

impl Span {
    /// Tokens of the sequence when the new ones are there.
    pub fn end(&self) -> usize {
        self.position + self.tokens
    }
}

/// Which tokens the new ones see, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CausalRule {
    /// This many first positions see each other, as far as they are there.
    pub unmasked_prefix: usize,
    /// Factor of the scores.
    pub scale: f32,
}

impl CausalRule {
    /// How many tokens of its sequence a token of `span` sees, the first ones.
    fn visible(&self, span: &Span, token: usize) -> usize {
        let own = span.position + token + 1;
        own.max(self.unmasked_prefix).min(span.end())
    }
}

/// Keys and values of the tokens seen so far, for one layer.
#[derive(Clone, Debug)]
pub struct KeyValueCache {
    shape: CacheShape,
    stored: Stored,
}

#[derive(Clone, Debug)]
enum Stored {
    F32(Tensors<f32>),
    Bf16(Tensors<bf16>),
}

impl KeyValueCache {
    /// A cache that keeps values as they are.
    pub fn new(shape: CacheShape) -> KeyValueCache {
        KeyValueCache {
            shape,
            stored: Stored::F32(Tensors::new(&shape)),
        }
    }

    /// A cache of half the size that rounds to eight significant bits.
    pub fn compact(shape: CacheShape) -> KeyValueCache {
        KeyValueCache {
            shape,
            stored: Stored::Bf16(Tensors::new(&shape)),
        }
    }

    /// Stores keys and values of the new tokens of `spans`, which are in the order of their
    /// sequences. What was there is replaced.
    pub fn append(&mut self, spans: &[Span], projections: &[f32]) {
        self.shape.check(spans, projections.len());
        match &mut self.stored {
            Stored::F32(tensors) => tensors.append(&self.shape, spans, projections),
            Stored::Bf16(tensors) => tensors.append(&self.shape, spans, projections),
        }
    }

    /// Writes what the new tokens attend to, `[tokens, heads, head_dim]`. They must have been
    /// stored.
    pub fn attend(
        &self,
        rule: CausalRule,
        spans: &[Span],
        projections: &[f32],
        output: &mut [f32],
    ) {
        let query = Queries {
            isa: dispatch::isa(),
            rule,
            spans,
            projections,
        };
        self.attend_from(&query, output);
    }

    fn attend_from(&self, query: &Queries<'_>, output: &mut [f32]) {
        self.shape.check(query.spans, query.projections.len());
        assert_eq!(3 * output.len(), query.projections.len(), "output");
        match &self.stored {
            Stored::F32(tensors) => tensors.attend(&self.shape, query, output),
            Stored::Bf16(tensors) => tensors.attend(&self.shape, query, output),
        }
    }
}

/// What is attended from.
struct Queries<'a> {
    isa: Isa,
    rule: CausalRule,
    spans: &'a [Span],
    projections: &'a [f32],
}

impl Queries<'_> {
    /// The span of a new token.
    fn span(&self, row: usize) -> &Span {
        &self.spans[self.spans.partition_point(|span| span.row <= row) - 1]
    }
}

#[derive(Clone, Debug)]
struct Tensors<E> {
    keys: Vec<E>,
    values: Vec<E>,
}

impl<E: Element> Tensors<E> {
    fn new(shape: &CacheShape) -> Tensors<E> {
        let len = shape.batch * shape.heads * shape.head_len();
        assert!(len > 0, "empty cache: {shape:?}");
        Tensors {
            keys: vec![E::default(); len],
            values: vec![E::default(); len],
        }
    }

    fn append(&mut self, shape: &CacheShape, spans: &[Span], projections: &[f32]) {
        let (width, dim, len) = (shape.width(), shape.head_dim, shape.head_len());
        let most = spans.iter().map(|span| span.tokens).max().unwrap_or(0);
        let values = self.values.par_chunks_mut(len);
        let heads = self.keys.par_chunks_mut(len).zip(values).enumerate();
        let heads_per_job = JOB / (most * dim).max(1);
        let heads = heads.with_min_len(heads_per_job.max(1));
        heads.for_each(|(index, (keys, values))| {
            let (sequence, head) = (index / shape.heads, index % shape.heads);
            let Ok(found) = spans.binary_search_by_key(&sequence, |span| span.sequence) else {
                return;
            };
            let span = &spans[found];
            for token in 0..span.tokens {
                let row = &projections[(span.row + token) * 3 * width..][..3 * width];
                let place = span.position + token;
                let tile = &mut keys[place / TILE * TILE * dim..][..TILE * dim];
                let key = &row[width + head * dim..][..dim];
                for (column, &key) in tile.chunks_exact_mut(TILE).zip(key) {
                    column[place % TILE] = E::from_f32(key);
                }
                let value = &row[2 * width + head * dim..][..dim];
                for (stored, &value) in values[place * dim..].iter_mut().zip(value) {
                    *stored = E::from_f32(value);
                }
            }
        });
    }

    fn attend(&self, shape: &CacheShape, queries: &Queries<'_>, output: &mut [f32]) {
        let (width, dim, len) = (shape.width(), shape.head_dim, shape.head_len());
        let longest = queries.spans.iter().map(Span::end).max().unwrap_or(0);
        let per_job = JOB / (longest * dim).max(1);
        let jobs = output.par_chunks_mut(dim).enumerate();
        let jobs = jobs.with_min_len(per_job.max(1));
        jobs.for_each(|(index, output)| {
            let (row, head) = (index / shape.heads, index % shape.heads);
            let span = queries.span(row);
            let first = (span.sequence * shape.heads + head) * len;
            let query = Query {
                query: &queries.projections[row * 3 * width + head * dim..][..dim],
                keys: &self.keys[first..][..len],
                values: &self.values[first..][..len],
                scale: queries.rule.scale,
            };
            let visible = queries.rule.visible(span, row - span.row);
            with_scratch(visible, |scores| {
                attend_head(queries.isa, &query, scores, output);
            });
        });
    }
}

/// A query, and keys and values of its head.
struct Query<'a, E> {
    query: &'a [f32],
    keys: &'a [E],
    values: &'a [E],
    scale: f32,
}

vectorised! {
    /// Attends to as many tokens as there are `scores`, which are overwritten.
    fn attend_head<E: Element>(query: &Query<'_, E>, scores: &mut [f32], output: &mut [f32]) {
        write_scores(query, scores);
        let largest = maximum(scores);
        for score in scores.iter_mut() {
            *score = exp(*score - largest);
        }
        let factor = 1.0 / sum_by(scores, |value| value);
        add_up(query.values, scores, output);
        for value in output.iter_mut() {
            *value *= factor;
        }
    }
}

#[inline(always)]
fn write_scores<E: Element>(query: &Query<'_, E>, scores: &mut [f32]) {
    let tiles = query.keys.chunks_exact(query.query.len() * TILE);
    for (tile, scores) in tiles.zip(scores.chunks_mut(TILE)) {
        let (columns, _) = tile.as_chunks::<TILE>();
        let mut sums = [0.0; TILE];
        for (&value, keys) in query.query.iter().zip(columns) {
            for (sum, key) in sums.iter_mut().zip(keys) {
                *sum += value * key.to_f32();
            }
        }
        for (score, sum) in scores.iter_mut().zip(sums) {
            *score = sum * query.scale;
        }
    }
}

/// Writes the sum of `values` `[tokens, dim]`, each token multiplied by its weight.
#[inline(always)]
fn add_up<E: Element>(values: &[E], weights: &[f32], output: &mut [f32]) {
    let dim = output.len();
    output.fill(0.0);
    // Four tokens at a time: the output is loaded and stored less often.
    let (groups, rest) = weights.as_chunks::<4>();
    let (grouped, others) = values.split_at(groups.len() * 4 * dim);
    for (&[a, b, c, d], values) in groups.iter().zip(grouped.chunks_exact(4 * dim)) {
        let (first, values) = values.split_at(dim);
        let (second, values) = values.split_at(dim);
        let (third, fourth) = values.split_at(dim);
        let pairs = first.iter().zip(second).zip(third.iter().zip(fourth));
        for (output, ((first, second), (third, fourth))) in output.iter_mut().zip(pairs) {
            let front = a * first.to_f32() + b * second.to_f32();
            *output += front + (c * third.to_f32() + d * fourth.to_f32());
        }
    }
    for (weight, values) in rest.iter().zip(others.chunks_exact(dim)) {
        for (output, value) in output.iter_mut().zip(values) {
            *output += weight * value.to_f32();
        }
    }
}

pub mod reference;

#[cfg(test)]
mod tests;
