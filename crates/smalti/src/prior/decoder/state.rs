//! What a decoder works in: the keys and values of the tokens it has read, and buffers that stay from step to step.

use smalti_kernels::decoding::attention::{KeyValueCache, Span};

/// What one sequence reads next.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Which of the state's sequences.
    pub sequence: usize,
    /// Vectors in the place of embeddings, `[count, width]`, before the tokens.
    pub vectors: &'a [f32],
    pub tokens: &'a [i64],
}

/// Sequences that a decoder is in the middle of.
pub struct DecoderState {
    pub(super) capacity: usize,
    /// Tokens that have been read of each sequence.
    pub(super) lengths: Vec<usize>,
    /// The tokens that are being read.
    pub(super) spans: Vec<Span>,
    /// One for each block.
    pub(super) caches: Vec<KeyValueCache>,
    pub(super) buffers: Buffers,
}

impl DecoderState {
    /// How many tokens of a sequence have been read.
    ///
    /// # Panics
    /// If there is no such sequence.
    pub fn length(&self, sequence: usize) -> usize {
        self.lengths[sequence]
    }

    /// Forgets all tokens of a sequence but the first `length`.
    ///
    /// # Panics
    /// If there are fewer, or no such sequence.
    pub fn truncate(&mut self, sequence: usize, length: usize) {
        let read = &mut self.lengths[sequence];
        assert!(
            length <= *read,
            "{length} tokens to keep, but only {read} read"
        );
        *read = length;
    }

    /// Finds where the tokens of `inputs` go; vectors have `width` values.
    pub(super) fn place(&mut self, inputs: &[Input<'_>], width: usize) {
        self.spans.clear();
        let mut row = 0;
        for input in inputs {
            assert_eq!(input.vectors.len() % width, 0, "values of vectors");
            let tokens = input.vectors.len() / width + input.tokens.len();
            let position = self.lengths[input.sequence];
            assert!(tokens > 0, "no tokens to read");
            assert!(
                position + tokens <= self.capacity,
                "{tokens} tokens after {position}, but room for {}",
                self.capacity
            );
            self.spans.push(Span {
                sequence: input.sequence,
                position,
                tokens,
                row,
            });
            row += tokens;
        }
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
    /// `[sequences, width]`: the last token of each sequence that reads.
    pub(super) last: Vec<f32>,
    /// `[sequences, vocabulary]`
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

    /// Makes room for the last tokens of so many sequences.
    pub(super) fn resize_last(&mut self, sequences: usize, width: usize, vocabulary: usize) {
        self.last.resize(sequences * width, 0.0);
        self.logits.resize(sequences * vocabulary, 0.0);
    }
}
