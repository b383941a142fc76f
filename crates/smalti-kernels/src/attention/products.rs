//! Scores of a rectangle of queries and keys, and the parts of the inputs that are multiplied with them.

use super::{AttentionShape, Inputs};
use crate::matmul::{Matrix, MatrixMut, Product, multiply};
use std::ops::Range;

/// A rectangle of scores of one head.
pub(super) struct Tile {
    pub(super) batch: usize,
    pub(super) head: usize,
    pub(super) queries: Range<usize>,
    pub(super) keys: Range<usize>,
}

/// Scores and products with parts of the inputs.
pub(super) struct Products<'a> {
    pub(super) shape: &'a AttentionShape,
    pub(super) inputs: Inputs<'a>,
}

impl<'a> Products<'a> {
    pub(super) fn queries(&self, tile: &Tile) -> Matrix<'a> {
        self.query_rows(self.inputs.query, tile)
    }

    pub(super) fn keys(&self, tile: &Tile) -> Matrix<'a> {
        self.key_rows(self.inputs.key, tile)
    }

    pub(super) fn values(&self, tile: &Tile) -> Matrix<'a> {
        self.key_rows(self.inputs.value, tile)
    }

    /// Rows of a tensor that is shaped like the queries.
    pub(super) fn query_rows<'t>(&self, tensor: &'t [f32], tile: &Tile) -> Matrix<'t> {
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
    pub(super) fn head_mut<'t>(&self, tokens: &'t mut [f32], head: usize) -> MatrixMut<'t> {
        let (dim, width) = (self.shape.head_dim, self.shape.width());
        let count = tokens.len() / width;
        MatrixMut::strided(&mut tokens[head * dim..], count, dim, width)
    }

    /// Writes the scaled scores of a tile as `[keys, queries]`, negative infinity where hidden.
    pub(super) fn scores(&self, tile: &Tile, scores: &mut [f32]) {
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
