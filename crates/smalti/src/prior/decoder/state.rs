//! What a decoder works in: the keys and values of the tokens it has read, and buffers that stay from step to step.

use smalti_kernels::decoding::attention::KeyValueCache;

/// Sequences that a decoder is in the middle of.
pub struct DecoderState {
    pub(super) batch: usize,
    pub(super) capacity: usize,
    pub(super) length: usize,
    /// One for each block.
    pub(super) caches: Vec<KeyValueCache>,
    pub(super) buffers: Buffers,
}

impl DecoderState {
    /// How many tokens of each sequence have been read.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Forgets all tokens but the first `length`.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn truncate(&mut self, length: usize) {
        assert!(
            length <= self.length,
            "{length} tokens to keep, but only {} read",
            self.length
        );
        self.length = length;
    }
}

/// Activations of the tokens being read. A row is a token of a sequence.
#[derive(Default)]
pub(super) struct Buffers {
    /// `[rows, width]`: what the blocks add to.
    pub(super) hidden: Vec<f32>,
    /// `[rows, width]`: what a projection reads.
    pub(super) normal: Vec<f32>,
    /// `[rows, width]`: what a block is about to add.
    pub(super) update: Vec<f32>,
    /// `[rows, 3, width]`: queries, keys and values.
    pub(super) projections: Vec<f32>,
    /// `[rows, 4 · width]`, before and after the activation.
    pub(super) inner: Vec<f32>,
    pub(super) activated: Vec<f32>,
    /// `[2, rows]`
    pub(super) statistics: Vec<f32>,
    /// `[batch, width]`: the last token of each sequence.
    pub(super) last: Vec<f32>,
    /// `[batch, vocabulary]`
    pub(super) logits: Vec<f32>,
}

impl Buffers {
    /// Makes room for `rows` tokens. The memory grows with the most tokens ever read at once, and is kept.
    pub(super) fn resize(&mut self, rows: usize, width: usize) {
        let buffers = [
            (&mut self.hidden, width),
            (&mut self.normal, width),
            (&mut self.update, width),
            (&mut self.projections, 3 * width),
            (&mut self.inner, 4 * width),
            (&mut self.activated, 4 * width),
            (&mut self.statistics, 2),
        ];
        for (buffer, len) in buffers {
            buffer.resize(rows * len, 0.0);
        }
    }
}
