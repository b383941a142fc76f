//! The transformer prepared for drawing codes on the CPU: plain slices, packed weights, and a state in which a step
//! allocates next to nothing. Same numbers as [`Gpt::forward_cached`], up to what the format of the weights rounds.

mod layers;
mod nats;
mod state;

pub(crate) use nats::nats_of;
pub use state::{DecoderState, Input};

use super::config::PriorConfig;
use super::gpt::{self, Gpt};
use crate::checkpoint::host_values;
use layers::{Norm, Projection};
use smalti_kernels::decoding::WeightFormat;
use smalti_kernels::decoding::attention::{CacheShape, CausalRule, KeyValueCache, Span};
use smalti_kernels::gelu;
use state::Buffers;

/// A [`Gpt`] that only reads tokens and predicts the next.
pub struct Decoder {
    /// `[vocabulary, width]`
    embeddings: Vec<f32>,
    /// `[block_size, width]`
    positions: Vec<f32>,
    blocks: Vec<Block>,
    norm: Norm,
    head: Projection,
    width: usize,
    heads: usize,
    unmasked_prefix: usize,
    /// Of the projections.
    format: WeightFormat,
}

impl Decoder {
    /// Takes the parameters of `gpt`, which `config` describes. Linear layers are packed in `format`; embeddings and
    /// norms stay as they are. Block by block, so that what nobody else holds is there only once.
    pub fn new(gpt: Gpt, config: &PriorConfig, format: WeightFormat) -> Self {
        let blocks = gpt.blocks.into_iter();
        Self {
            embeddings: host_values(gpt.tok_emb.weight.val()),
            positions: host_values(gpt.pos_emb.val()),
            blocks: blocks.map(|block| Block::new(&block, format)).collect(),
            norm: Norm::new(&gpt.ln_f),
            head: Projection::new(&[&gpt.head], format),
            width: config.width,
            heads: config.heads,
            unmasked_prefix: config.unmasked_prefix,
            format,
        }
    }

    /// An empty state for `batch` sequences of up to `capacity` tokens. Where weights are compact, so are keys and
    /// values.
    ///
    /// # Panics
    /// If the transformer has fewer positions than that.
    pub fn start(&self, batch: usize, capacity: usize) -> DecoderState {
        let positions = self.positions.len() / self.width;
        assert!(
            capacity <= positions,
            "{capacity} tokens, but {positions} positions"
        );
        let shape = CacheShape {
            batch,
            heads: self.heads,
            head_dim: self.width / self.heads,
            capacity,
        };
        let cache = |_: &Block| match self.format {
            WeightFormat::F32 => KeyValueCache::new(shape),
            WeightFormat::Bf16 | WeightFormat::Int8 | WeightFormat::Int4 => {
                KeyValueCache::compact(shape)
            }
        };
        DecoderState {
            capacity,
            lengths: vec![0; batch],
            spans: Vec::with_capacity(batch),
            caches: self.blocks.iter().map(cache).collect(),
            buffers: Buffers::default(),
        }
    }

    /// Reads `tokens`, a row per sequence, that follow what `state` holds. Returns the logits after the last of each,
    /// `[batch, vocabulary]`.
    ///
    /// # Panics
    /// As [`Decoder::feed_some`], and unless there is a row for every sequence.
    pub fn feed<'s>(&self, state: &'s mut DecoderState, tokens: &[Vec<i64>]) -> &'s [f32] {
        assert_eq!(tokens.len(), state.lengths.len(), "sequences");
        let input = |(sequence, tokens)| Input {
            sequence,
            vectors: &[],
            tokens,
        };
        let inputs: Vec<Input<'_>> = tokens
            .iter()
            .map(Vec::as_slice)
            .enumerate()
            .map(input)
            .collect();
        self.feed_some(state, &inputs)
    }

    /// Reads what follows what `state` holds of some sequences, which are given in their order; each may read another
    /// number of tokens. Returns the logits after the last token of each, `[inputs, vocabulary]`. A sequence's numbers
    /// do not depend on the others.
    ///
    /// # Panics
    /// With an input without tokens, with more tokens than the state has room for, with tokens outside the vocabulary,
    /// and with inputs that are out of order.
    pub fn feed_some<'s>(&self, state: &'s mut DecoderState, inputs: &[Input<'_>]) -> &'s [f32] {
        state.place(inputs, self.width);
        // Kernels that start inside the thread pool need not wake it one by one.
        rayon::scope(|_| self.read(state, inputs));
        for span in &state.spans {
            state.lengths[span.sequence] = span.end();
        }
        &state.buffers.logits
    }

    fn read(&self, state: &mut DecoderState, inputs: &[Input<'_>]) {
        let rule = CausalRule {
            unmasked_prefix: self.unmasked_prefix,
            scale: ((self.width / self.heads) as f32).sqrt().recip(),
        };
        let DecoderState {
            caches,
            buffers,
            spans,
            ..
        } = state;
        let rows: usize = spans.iter().map(|span| span.tokens).sum();
        buffers.resize(rows, self.width);
        buffers.resize_last(spans.len(), self.width, self.head.outputs());
        self.embed(inputs, spans, &mut buffers.hidden);
        for (block, cache) in self.blocks.iter().zip(caches) {
            block.read(cache, rule, spans, buffers);
        }
        self.predict(spans, buffers);
    }

    /// Writes the sums of embeddings and positions, `[tokens, width]`.
    fn embed(&self, inputs: &[Input<'_>], spans: &[Span], hidden: &mut [f32]) {
        let width = self.width;
        for (input, span) in inputs.iter().zip(spans) {
            let hidden = &mut hidden[span.row * width..][..span.tokens * width];
            let (vectors, tokens) = hidden.split_at_mut(input.vectors.len());
            vectors.copy_from_slice(input.vectors);
            for (hidden, &token) in tokens.chunks_exact_mut(width).zip(input.tokens) {
                let token = usize::try_from(token).expect("tokens are not negative");
                hidden.copy_from_slice(&self.embeddings[token * width..][..width]);
            }
            let positions = &self.positions[span.position * width..][..span.tokens * width];
            add(positions, hidden);
        }
    }

    /// Writes the logits after the last token of every span.
    fn predict(&self, spans: &[Span], buffers: &mut Buffers) {
        let width = self.width;
        for (last, span) in buffers.last.chunks_exact_mut(width).zip(spans) {
            let row = span.row + span.tokens - 1;
            last.copy_from_slice(&buffers.hidden[row * width..][..width]);
        }
        let normal = &mut buffers.normal[..buffers.last.len()];
        self.norm
            .apply(&buffers.last, normal, &mut buffers.statistics);
        self.head.apply(normal, &mut buffers.logits);
    }
}

/// Attention and MLP with their norms.
struct Block {
    norm1: Norm,
    /// Query, key and value of all heads, in this order.
    attention: Projection,
    attention_out: Projection,
    norm2: Norm,
    mlp: Projection,
    mlp_out: Projection,
}

impl Block {
    fn new(block: &gpt::Block, format: WeightFormat) -> Self {
        let (attn, mlp) = (&block.attn, &block.mlp);
        Self {
            norm1: Norm::new(&block.ln1),
            attention: Projection::new(&[&attn.query, &attn.key, &attn.value], format),
            attention_out: Projection::new(&[&attn.proj], format),
            norm2: Norm::new(&block.ln2),
            mlp: Projection::new(&[&mlp.fc], format),
            mlp_out: Projection::new(&[&mlp.proj], format),
        }
    }

    /// Takes the new tokens through the block and remembers their keys and values.
    fn read(
        &self,
        cache: &mut KeyValueCache,
        rule: CausalRule,
        spans: &[Span],
        buffers: &mut Buffers,
    ) {
        let Buffers {
            hidden,
            normal,
            update,
            projections,
            inner,
            activated,
            statistics,
            ..
        } = buffers;
        self.norm1.apply(hidden, normal, statistics);
        self.attention.apply(normal, projections);
        cache.append(spans, projections);
        cache.attend(rule, spans, projections, normal);
        self.attention_out.apply(normal, update);
        add(update, hidden);
        self.norm2.apply(hidden, normal, statistics);
        self.mlp.apply(normal, inner);
        gelu::forward(inner, activated);
        self.mlp_out.apply(activated, update);
        add(update, hidden);
    }
}

fn add(update: &[f32], hidden: &mut [f32]) {
    for (hidden, update) in hidden.iter_mut().zip(update) {
        *hidden += update;
    }
}

#[cfg(test)]
mod tests;
