//! The two ways to the logits of the next code: packed weights on the CPU, the network itself on other devices.

use crate::checkpoint::host_values;
use crate::prior::codes::token_tensor;
use crate::prior::{Decoder, DecoderState, Gpt, KvCache};

/// A transformer in the middle of a batch of pictures.
pub(crate) enum NextCode<'a> {
    Packed {
        decoder: &'a Decoder,
        state: Box<DecoderState>,
    },
    Network {
        gpt: &'a Gpt,
        cache: KvCache,
        batch: usize,
        capacity: usize,
        logits: Vec<f32>,
    },
}

impl<'a> NextCode<'a> {
    /// Begins `batch` pictures of up to `capacity` tokens.
    pub(crate) fn packed(decoder: &'a Decoder, batch: usize, capacity: usize) -> Self {
        Self::Packed {
            decoder,
            state: Box::new(decoder.start(batch, capacity)),
        }
    }

    /// Begins `batch` pictures of up to `capacity` tokens.
    pub(crate) fn network(gpt: &'a Gpt, batch: usize, capacity: usize) -> Self {
        Self::Network {
            gpt,
            cache: gpt.cache(batch, capacity),
            batch,
            capacity,
            logits: Vec::new(),
        }
    }

    /// Forgets all tokens.
    pub(super) fn restart(&mut self) {
        match self {
            Self::Packed { state, .. } => state.truncate(0),
            Self::Network {
                gpt,
                cache,
                batch,
                capacity,
                ..
            } => *cache = gpt.cache(*batch, *capacity),
        }
    }

    /// Reads the tokens of every picture that follow those read before. Returns the logits of the next one,
    /// `[batch, vocabulary]`.
    pub(super) fn logits(&mut self, tokens: &[Vec<i64>]) -> &[f32] {
        match self {
            Self::Packed { decoder, state } => decoder.feed(state, tokens),
            Self::Network {
                gpt, cache, logits, ..
            } => {
                let tokens = token_tensor(tokens, &gpt.pos_emb.val().device());
                *logits = host_values(gpt.forward_cached(tokens, cache));
                logits
            }
        }
    }
}
