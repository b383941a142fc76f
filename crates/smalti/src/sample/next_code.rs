//! The ways to the logits of the next code: a GPT's packed weights on the CPU, the GPT itself on other devices, and a
//! PixelSNAIL.

use crate::checkpoint::host_values;
use crate::prior::codes::token_tensor;
use crate::prior::decoder::Input;
use crate::prior::{Decoder, DecoderState, Gpt, KvCache, PixelSnail};
use burn::tensor::{Shape, Tensor, TensorData};

/// A network in the middle of sequences, each of which advances at its own pace.
pub(crate) enum NextCode<'a> {
    Packed {
        decoder: &'a Decoder,
        state: Box<DecoderState>,
    },
    Network(Box<Reading<'a>>),
    PixelSnail(Grids<'a>),
}

impl<'a> NextCode<'a> {
    /// Begins sequences of up to `capacity` tokens.
    pub(crate) fn packed(decoder: &'a Decoder, sequences: usize, capacity: usize) -> Self {
        Self::Packed {
            decoder,
            state: Box::new(decoder.start(sequences, capacity)),
        }
    }

    /// Begins sequences of up to `capacity` tokens.
    pub(crate) fn network(gpt: &'a Gpt, sequences: usize, capacity: usize) -> Self {
        Self::Network(Box::new(Reading {
            gpt,
            capacity,
            sequences: vec![Sequence::default(); sequences],
            cache: None,
            logits: Vec::new(),
        }))
    }

    /// Begins sequences of a condition and a grid of codes.
    pub(crate) fn pixelsnail(network: &'a PixelSnail, sequences: usize) -> Self {
        Self::PixelSnail(Grids {
            network,
            sequences: vec![Vec::new(); sequences],
            logits: Vec::new(),
        })
    }

    /// Forgets all tokens of a sequence.
    pub(super) fn restart(&mut self, sequence: usize) {
        match self {
            Self::Packed { state, .. } => state.truncate(sequence, 0),
            Self::Network(reading) => reading.sequences[sequence] = Sequence::default(),
            Self::PixelSnail(grids) => grids.sequences[sequence].clear(),
        }
    }

    /// Reads what follows what some sequences have read before, which are given in their order. Returns the logits of
    /// the next token of each, `[inputs, vocabulary]`.
    pub(super) fn logits(&mut self, inputs: &[Input<'_>]) -> &[f32] {
        match self {
            Self::Packed { decoder, state } => decoder.feed_some(state, inputs),
            Self::Network(reading) => reading.logits(inputs),
            Self::PixelSnail(grids) => grids.logits(inputs),
        }
    }
}

/// A PixelSNAIL, and what every sequence has read. All of it is computed again for every code.
pub(crate) struct Grids<'a> {
    network: &'a PixelSnail,
    sequences: Vec<Vec<i64>>,
    logits: Vec<f32>,
}

impl Grids<'_> {
    fn logits(&mut self, inputs: &[Input<'_>]) -> &[f32] {
        let mut read = Vec::with_capacity(inputs.len());
        for input in inputs {
            let sequence = &mut self.sequences[input.sequence];
            sequence.extend(input.tokens);
            read.push(sequence.clone());
        }
        self.logits = self.network.next_codes(&read);
        &self.logits
    }
}

/// The network, and what every sequence has read. As long as all sequences advance together, only what is new is
/// computed; otherwise everything is read again, which is slow and plain.
pub(crate) struct Reading<'a> {
    gpt: &'a Gpt,
    capacity: usize,
    sequences: Vec<Sequence>,
    /// Of all sequences, with how many tokens of each it holds.
    cache: Option<(KvCache, usize)>,
    logits: Vec<f32>,
}

/// Vectors, and the tokens behind them.
#[derive(Clone, Default)]
struct Sequence {
    vectors: Vec<f32>,
    tokens: Vec<i64>,
}

impl Reading<'_> {
    fn logits(&mut self, inputs: &[Input<'_>]) -> &[f32] {
        let position = self.common_position(inputs);
        for input in inputs {
            let sequence = &mut self.sequences[input.sequence];
            sequence.vectors.extend(input.vectors);
            sequence.tokens.extend(input.tokens);
        }
        let logits = match position {
            Some(position) => self.read(inputs, position),
            None => self.read_again(inputs),
        };
        self.logits = host_values(logits);
        &self.logits
    }

    /// How many tokens every sequence has read, if all of them read on and the cache holds them.
    fn common_position(&self, inputs: &[Input<'_>]) -> Option<usize> {
        let first = inputs.first()?;
        let position = self.length(first.sequence);
        let together = |input: &Input<'_>| {
            self.length(input.sequence) == position
                && input.tokens.len() == first.tokens.len()
                && input.vectors.len() == first.vectors.len()
        };
        let held = self.cache.as_ref().map(|(_, length)| *length);
        let usable = position == 0 || held == Some(position);
        let all = inputs.len() == self.sequences.len() && inputs.iter().all(together);
        (usable && all).then_some(position)
    }

    /// Positions that a sequence fills.
    fn length(&self, sequence: usize) -> usize {
        let sequence = &self.sequences[sequence];
        sequence.vectors.len() / self.width() + sequence.tokens.len()
    }

    fn width(&self) -> usize {
        self.gpt.pos_emb.dims()[2]
    }

    /// The logits after what is new.
    fn read(&mut self, inputs: &[Input<'_>], position: usize) -> Tensor<2> {
        let tokens: Vec<Vec<i64>> = inputs.iter().map(|input| input.tokens.to_vec()).collect();
        let vectors: Vec<&[f32]> = inputs.iter().map(|input| input.vectors).collect();
        let embedded = self.embed(&vectors, &tokens);
        let count = embedded.dims()[1];
        let (mut cache, _) = match self.cache.take() {
            Some(held) if position > 0 => held,
            _ => (self.gpt.cache(inputs.len(), self.capacity), 0),
        };
        let logits = self.gpt.forward_cached_vectors(embedded, &mut cache);
        self.cache = Some((cache, position + count));
        logits
    }

    /// The logits after all tokens of the sequences that read on. Shorter ones are filled up behind their last token,
    /// which no token before it sees.
    fn read_again(&mut self, inputs: &[Input<'_>]) -> Tensor<2> {
        self.cache = None;
        let sequences: Vec<&Sequence> = inputs
            .iter()
            .map(|input| &self.sequences[input.sequence])
            .collect();
        let lengths = sequences.iter().map(|sequence| sequence.tokens.len());
        let longest = lengths.max().unwrap_or(0);
        let filled = |sequence: &&Sequence| {
            let mut tokens = sequence.tokens.clone();
            tokens.resize(longest, 0);
            tokens
        };
        let tokens: Vec<Vec<i64>> = sequences.iter().map(filled).collect();
        let vectors: Vec<&[f32]> = sequences
            .iter()
            .map(|sequence| sequence.vectors.as_slice())
            .collect();
        let logits = self.gpt.forward_vectors(self.embed(&vectors, &tokens));
        let vocabulary = logits.dims()[2];
        let last = |(row, input): (usize, &Input<'_>)| {
            let last = self.length(input.sequence) - 1;
            let place = [row..row + 1, last..last + 1, 0..vocabulary];
            logits.clone().slice(place)
        };
        let rows: Vec<Tensor<3>> = inputs.iter().enumerate().map(last).collect();
        Tensor::cat(rows, 0).reshape([inputs.len(), vocabulary])
    }

    /// Vectors and the embeddings of tokens, `[rows, vectors + tokens, width]`.
    fn embed(&self, vectors: &[&[f32]], tokens: &[Vec<i64>]) -> Tensor<3> {
        let device = self.gpt.pos_emb.val().device();
        let (rows, width) = (tokens.len(), self.width());
        let mut parts = Vec::new();
        let given = vectors.first().map_or(0, |vectors| vectors.len() / width);
        if given > 0 {
            let shape = Shape::from([rows, given, width]);
            parts.push(Tensor::<3>::from_data(
                TensorData::new(vectors.concat(), shape),
                &device,
            ));
        }
        if tokens.iter().any(|row| !row.is_empty()) {
            let tokens = token_tensor(tokens, &device);
            parts.push(self.gpt.tok_emb.forward(tokens));
        }
        Tensor::cat(parts, 1)
    }
}
