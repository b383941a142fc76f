//! The transformer of stage 2: a GPT over condition tokens and codes (paper section 3.2; taming/modules/transformer/mingpt.py).

use super::condition::{Condition, TextPrefix, Vectors};
use super::config::PriorConfig;
use crate::checkpoint::host_values;
use crate::initializer::Initializer;
use crate::layers::{Embedding, LayerNorm, Linear};
use crate::ops::{self, Attention, Precision};
use burn::module::{Module, Param};
use burn::nn::{Dropout, DropoutConfig};
use burn::tensor::{Int, Shape, Tensor, TensorData};

/// A causal transformer with learned positions. Field paths are the authors' keys, but for the MLP ([`Gpt::key`]).
#[derive(Module, Debug)]
pub struct Gpt {
    pub tok_emb: Embedding,
    /// `[1, block_size, width]`, zero at the start.
    pub pos_emb: Param<Tensor<3>>,
    pub blocks: Vec<Block>,
    pub ln_f: LayerNorm,
    pub head: Linear,
    /// What makes vectors of a text, where that is the condition.
    pub text: Option<TextPrefix>,
    drop: Dropout,
    #[module(skip)]
    precision: Precision,
}

/// Pre-norm attention and MLP, each with a residual connection.
#[derive(Module, Debug)]
pub struct Block {
    pub ln1: LayerNorm,
    pub ln2: LayerNorm,
    pub attn: SelfAttention,
    pub mlp: Mlp,
    drop: Dropout,
}

/// Causal multi-head self-attention.
#[derive(Module, Debug)]
pub struct SelfAttention {
    pub key: Linear,
    pub query: Linear,
    pub value: Linear,
    pub proj: Linear,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    mask: Attention,
    drop: Dropout,
}

/// A hidden layer four times as wide, GELU.
#[derive(Module, Debug)]
pub struct Mlp {
    pub fc: Linear,
    pub proj: Linear,
}

/// Keys and values of one block for the positions seen so far, each `[b, capacity, heads, d]`.
#[derive(Debug, Clone)]
pub struct BlockCache {
    keys: Tensor<4>,
    values: Tensor<4>,
}

/// What a transformer remembers of the tokens it has read, so that each further token costs one position.
#[derive(Debug, Clone)]
pub struct KvCache {
    blocks: Vec<BlockCache>,
    length: usize,
}

impl Gpt {
    /// A new network; `config` must have passed [`PriorConfig::check`].
    pub fn new(init: &mut Initializer, config: &PriorConfig) -> Self {
        Self {
            tok_emb: Embedding::new(init, [config.vocabulary_size, config.width]),
            pos_emb: init.constant([1, config.block_size, config.width], 0.0),
            blocks: (0..config.layers)
                .map(|_| Block::new(init, config))
                .collect(),
            ln_f: LayerNorm::new(init, config.width),
            head: Linear::new(init, [config.width, config.vocabulary_size], false),
            text: match &config.condition {
                Condition::Text(text) => {
                    let vectors = [text.vectors, config.width];
                    Some(TextPrefix::new(init, text.length, vectors))
                }
                _ => None,
            },
            drop: DropoutConfig::new(config.embedding_dropout).init(),
            precision: Precision::F32,
        }
    }

    /// The same network with products of linear layers in another format.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// Logits `[b, t, vocabulary]` for the token after each of `tokens` `[b, t]`.
    pub fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        self.forward_vectors(self.tok_emb.forward(tokens))
    }

    /// [`Gpt::forward`] of vectors `[b, t, width]` in the place of embeddings: a condition need not be made of tokens.
    pub fn forward_vectors(&self, vectors: Tensor<3>) -> Tensor<3> {
        let mut hidden = self.enter(vectors);
        for number in 0..self.blocks.len() {
            hidden = self.block(number, hidden);
        }
        self.logits(hidden)
    }

    /// The first part of [`Gpt::forward_vectors`]: what the first block reads, `[b, t, width]`.
    pub(super) fn enter(&self, vectors: Tensor<3>) -> Tensor<3> {
        self.drop.forward(self.place(vectors, 0))
    }

    /// What block `number` makes of `hidden` `[b, t, width]`, in the same shape.
    pub(super) fn block(&self, number: usize, hidden: Tensor<3>) -> Tensor<3> {
        self.blocks[number].forward(hidden, self.precision)
    }

    /// The last part of [`Gpt::forward_vectors`]: logits `[b, t, vocabulary]` from what the last block made.
    pub(super) fn logits(&self, hidden: Tensor<3>) -> Tensor<3> {
        self.head.forward(self.ln_f.forward(hidden), self.precision)
    }

    /// An empty cache for sequences of up to `capacity` tokens.
    pub fn cache(&self, batch: usize, capacity: usize) -> KvCache {
        let device = self.pos_emb.val().device();
        let block = |block: &Block| {
            let (heads, width) = (block.attn.heads, block.attn.key.weight.dims()[0]);
            let empty = || Tensor::zeros([batch, capacity, heads, width / heads], &device);
            BlockCache {
                keys: empty(),
                values: empty(),
            }
        };
        KvCache {
            blocks: self.blocks.iter().map(block).collect(),
            length: 0,
        }
    }

    /// Reads `tokens` `[b, t]` that follow what `cache` holds, and returns the logits after the last of them,
    /// `[b, vocabulary]`. Same numbers as [`Gpt::forward`] on the whole sequence; no dropout.
    pub fn forward_cached(&self, tokens: Tensor<2, Int>, cache: &mut KvCache) -> Tensor<2> {
        self.forward_cached_vectors(self.tok_emb.forward(tokens), cache)
    }

    /// [`Gpt::forward_cached`] of vectors `[b, t, width]` in the place of embeddings.
    pub fn forward_cached_vectors(&self, vectors: Tensor<3>, cache: &mut KvCache) -> Tensor<2> {
        let [batch, count, _] = vectors.dims();
        let mut hidden = self.place(vectors, cache.length);
        for (block, memory) in self.blocks.iter().zip(&mut cache.blocks) {
            hidden = block.forward_cached(hidden, memory, cache.length, self.precision);
        }
        cache.length += count;
        let width = hidden.dims()[2];
        let last = hidden.slice([0..batch, count - 1..count, 0..width]);
        let logits = self.head.forward(self.ln_f.forward(last), self.precision);
        let vocabulary = logits.dims()[2];
        logits.reshape([batch, vocabulary])
    }

    /// What stands before the codes of a picture with this text, given as the encoder's vector; `None` where the
    /// condition is no text or one of another length.
    pub fn text_vectors(&self, text: &[f32]) -> Option<Vectors> {
        let prefix = self.text.as_ref()?;
        if prefix.projection.weight.dims()[1] != text.len() {
            return None;
        }
        let data = TensorData::new(text.to_vec(), Shape::from([1, text.len()]));
        let text = Tensor::<2>::from_data(data, &self.pos_emb.val().device());
        Some(Vectors(host_values(prefix.forward(text))))
    }

    /// What stands before the codes of a picture without a text; `None` where the condition is no text.
    pub fn vectors_without_text(&self) -> Option<Vectors> {
        let prefix = self.text.as_ref()?;
        Some(Vectors(host_values(prefix.without_text(1))))
    }

    /// The key of a parameter in our files.
    pub fn file_key(path: &str) -> String {
        match path.strip_prefix("text.") {
            Some(path) => format!("{}{path}", TextPrefix::KEYS),
            None => format!("transformer.{}", Self::key(path)),
        }
    }

    /// The authors' key of a parameter path: their MLP is a list of which the second entry is the activation.
    pub fn key(path: &str) -> String {
        path.replace(".mlp.fc.", ".mlp.0.")
            .replace(".mlp.proj.", ".mlp.2.")
    }

    /// Whether AdamW decays a parameter: weights of linear layers only, neither biases nor norms nor embeddings.
    pub fn decays(path: &str) -> bool {
        path.ends_with(".weight") && !path.contains("ln") && !path.starts_with("tok_emb")
    }

    /// Adds the positions from `first` on.
    fn place(&self, vectors: Tensor<3>, first: usize) -> Tensor<3> {
        let [_, count, width] = vectors.dims();
        vectors
            + self
                .pos_emb
                .val()
                .slice([0..1, first..first + count, 0..width])
    }
}

impl Block {
    fn new(init: &mut Initializer, config: &PriorConfig) -> Self {
        let width = config.width;
        Self {
            ln1: LayerNorm::new(init, width),
            ln2: LayerNorm::new(init, width),
            attn: SelfAttention::new(init, config),
            mlp: Mlp {
                fc: Linear::new(init, [width, 4 * width], true),
                proj: Linear::new(init, [4 * width, width], true),
            },
            drop: DropoutConfig::new(config.residual_dropout).init(),
        }
    }

    fn forward(&self, input: Tensor<3>, precision: Precision) -> Tensor<3> {
        let attended = self
            .attn
            .forward(self.ln1.forward(input.clone()), precision);
        let hidden = input + self.drop.forward(attended);
        let mixed = self
            .mlp
            .forward(self.ln2.forward(hidden.clone()), precision);
        hidden + self.drop.forward(mixed)
    }

    fn forward_cached(
        &self,
        input: Tensor<3>,
        cache: &mut BlockCache,
        length: usize,
        precision: Precision,
    ) -> Tensor<3> {
        let normalized = self.ln1.forward(input.clone());
        let attended = self
            .attn
            .forward_cached(normalized, cache, length, precision);
        let hidden = input + attended;
        let mixed = self
            .mlp
            .forward(self.ln2.forward(hidden.clone()), precision);
        hidden + mixed
    }
}

impl Mlp {
    fn forward(&self, input: Tensor<3>, precision: Precision) -> Tensor<3> {
        let hidden = ops::gelu(self.fc.forward(input, precision));
        self.proj.forward(hidden, precision)
    }
}

impl SelfAttention {
    fn new(init: &mut Initializer, config: &PriorConfig) -> Self {
        let shape = [config.width; 2];
        Self {
            key: Linear::new(init, shape, true),
            query: Linear::new(init, shape, true),
            value: Linear::new(init, shape, true),
            proj: Linear::new(init, shape, true),
            heads: config.heads,
            mask: Attention {
                causal: true,
                unmasked_prefix: config.unmasked_prefix,
            },
            drop: DropoutConfig::new(config.attention_dropout).init(),
        }
    }

    fn forward(&self, input: Tensor<3>, precision: Precision) -> Tensor<3> {
        let [query, key, value] = self.project(input, precision);
        let attended = ops::attention_with_dropout(query, key, value, self.mask, &self.drop);
        self.proj.forward(self.join(attended), precision)
    }

    fn forward_cached(
        &self,
        input: Tensor<3>,
        cache: &mut BlockCache,
        length: usize,
        precision: Precision,
    ) -> Tensor<3> {
        let [batch, count, width] = input.dims();
        let [query, key, value] = self.project(input, precision);
        let (heads, end) = (self.heads, length + count);
        let depth = width / heads;
        let place = [0..batch, length..end, 0..heads, 0..depth];
        let seen = [0..batch, 0..end, 0..heads, 0..depth];
        // Taking the tensor out lets burn write into it in place.
        cache
            .keys
            .inplace(|keys| keys.slice_assign(place.clone(), key));
        cache
            .values
            .inplace(|values| values.slice_assign(place, value));
        let keys = cache.keys.clone().slice(seen.clone());
        let values = cache.values.clone().slice(seen);
        let attended = ops::attention(query, keys, values, self.mask);
        self.proj.forward(self.join(attended), precision)
    }

    /// Queries, keys and values of all heads.
    fn project(&self, input: Tensor<3>, precision: Precision) -> [Tensor<4>; 3] {
        [&self.query, &self.key, &self.value]
            .map(|layer| self.split(layer.forward(input.clone(), precision)))
    }

    fn split(&self, tensor: Tensor<3>) -> Tensor<4> {
        let [batch, tokens, width] = tensor.dims();
        tensor.reshape([batch, tokens, self.heads, width / self.heads])
    }

    fn join(&self, tensor: Tensor<4>) -> Tensor<3> {
        let [batch, tokens, heads, depth] = tensor.dims();
        tensor.reshape([batch, tokens, heads * depth])
    }
}
