//! The sizes of an attention: which keys a query sees, and into which blocks the work is cut.

use super::Inputs;
use crate::threads;
use std::ops::Range;

/// Most queries, and keys of gradients, in a block.
pub(super) const BLOCK: usize = 64;

/// Fewest queries in a block when there are more threads than blocks.
pub(super) const MIN_BLOCK: usize = 8;

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
    pub(super) fn width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// A query sees the keys before this one. It never falls from one query to the next.
    pub(super) fn visible_keys(&self, query: usize) -> usize {
        if self.causal {
            let position = query + self.keys - self.queries;
            (position + 1).max(self.unmasked_prefix).min(self.keys)
        } else {
            self.keys
        }
    }

    /// Queries of one job, fewer if the threads would otherwise go without work.
    pub(super) fn query_block(&self) -> usize {
        let fair = (self.batch * self.queries).div_ceil(threads());
        fair.clamp(MIN_BLOCK, BLOCK)
    }

    /// Consecutive blocks of queries.
    pub(super) fn blocks(&self, block: usize) -> impl Iterator<Item = Range<usize>> {
        let queries = self.queries;
        let starts = (0..queries).step_by(block);
        starts.map(move |start| start..queries.min(start + block))
    }

    pub(super) fn query_len(&self) -> usize {
        self.batch * self.queries * self.width()
    }

    pub(super) fn key_len(&self) -> usize {
        self.batch * self.keys * self.width()
    }

    pub(super) fn assert_lengths(&self, inputs: &Inputs<'_>, output: usize, logsumexp: usize) {
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
