//! The transformer prepared for drawing codes on the CPU: plain slices, packed weights, and a state in which a step
//! allocates nothing. Same numbers as [`Gpt::forward_cached`], up to what the format of the weights rounds.

mod layers;
mod nats;
mod state;

pub use state::DecoderState;

use super::config::PriorConfig;
use super::gpt::{self, Gpt};
use crate::checkpoint::host_values;
use layers::{Norm, Projection};
use smalti_kernels::decoding::WeightFormat;
use smalti_kernels::decoding::attention::{CacheShape, CausalRule, KeyValueCache};
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
            batch,
            capacity,
            length: 0,
            caches: self.blocks.iter().map(cache).collect(),
            buffers: Buffers {
                last: vec![0.0; batch * self.width],
                logits: vec![0.0; batch * self.head.outputs()],
                ..Buffers::default()
            },
        }
    }

    /// Reads `tokens`, a row per sequence and all of the same length, that follow what `state` holds. Returns the
    /// logits after the last of them, `[batch, vocabulary]`.
    ///
    /// # Panics
    /// Without tokens, with rows of different lengths or more tokens than the state has room for, and with tokens
    /// outside the vocabulary.
    pub fn feed<'s>(&self, state: &'s mut DecoderState, tokens: &[Vec<i64>]) -> &'s [f32] {
        let count = tokens.first().map_or(0, Vec::len);
        assert!(count > 0, "no tokens to read");
        assert_eq!(tokens.len(), state.batch, "sequences");
        assert!(
            tokens.iter().all(|row| row.len() == count),
            "sequences of different lengths"
        );
        assert!(
            state.length + count <= state.capacity,
            "{count} tokens after {}, but room for {}",
            state.length,
            state.capacity
        );
        // Kernels that start inside the thread pool need not wake it one by one.
        rayon::scope(|_| self.read(state, tokens, count));
        state.length += count;
        &state.buffers.logits
    }

    fn read(&self, state: &mut DecoderState, tokens: &[Vec<i64>], count: usize) {
        let rule = CausalRule {
            position: state.length,
            unmasked_prefix: self.unmasked_prefix,
            scale: ((self.width / self.heads) as f32).sqrt().recip(),
        };
        let DecoderState {
            caches, buffers, ..
        } = state;
        buffers.resize(tokens.len() * count, self.width);
        self.embed(tokens, rule.position, &mut buffers.hidden);
        for (block, cache) in self.blocks.iter().zip(caches) {
            block.read(cache, rule, buffers);
        }
        self.predict(count, buffers);
    }

    /// Writes the sums of embeddings and positions, `[batch, tokens, width]`; the first token stands at `first`.
    fn embed(&self, tokens: &[Vec<i64>], first: usize, hidden: &mut [f32]) {
        let tokens = tokens.iter().flat_map(|row| (first..).zip(row));
        for (hidden, (position, &token)) in hidden.chunks_exact_mut(self.width).zip(tokens) {
            let token = usize::try_from(token).expect("tokens are not negative");
            let embedding = &self.embeddings[token * self.width..][..self.width];
            let position = &self.positions[position * self.width..][..self.width];
            for (hidden, (embedding, position)) in
                hidden.iter_mut().zip(embedding.iter().zip(position))
            {
                *hidden = embedding + position;
            }
        }
    }

    /// Writes the logits after the last of `count` tokens of every sequence.
    fn predict(&self, count: usize, buffers: &mut Buffers) {
        let width = self.width;
        let sequences = buffers.hidden.chunks_exact(count * width);
        for (last, sequence) in buffers.last.chunks_exact_mut(width).zip(sequences) {
            last.copy_from_slice(&sequence[(count - 1) * width..]);
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
    fn read(&self, cache: &mut KeyValueCache, rule: CausalRule, buffers: &mut Buffers) {
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
        cache.append(rule.position, projections);
        cache.attend(rule, projections, normal);
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
