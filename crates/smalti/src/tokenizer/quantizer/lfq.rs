//! Lookup-free quantisation: the code is the signs of the vector, read as a binary number (Yu et al., "Language Model
//! Beats Diffusion: Tokenizer is Key to Visual Generation", section 3.1; Open-MAGVIT2).

use super::digits::Digits;
use super::entropy::{Affinity, TEMPERATURE, entropy_loss};
use super::{LossWeights, Quantized, QuantizerStep};
use crate::tokenizer::config::TokenizerConfig;
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};

/// Up to this many bits the entropy is that of whole codes.
const WHOLE: usize = 14;

/// Longer codes are taken in groups of this many bits.
const GROUP: usize = 9;

/// Signs with straight-through gradients. It has no parameters.
#[derive(Module, Debug)]
pub struct LfqQuantizer {
    #[module(skip)]
    digits: Digits,
    #[module(skip)]
    weights: LossWeights,
}

impl LfqQuantizer {
    pub fn new(config: &TokenizerConfig) -> Self {
        let bits = vec![2; config.embed_dim];
        Self {
            digits: if config.lfq_high_bit_first {
                Digits::highest_first(bits)
            } else {
                Digits::lowest_first(bits)
            },
            weights: LossWeights::commitment_only(config),
        }
    }

    /// Quantises `[b, h, w, embed_dim]` to 1 where a value is above 0 and −1 elsewhere.
    pub fn forward(&self, vectors: Tensor<4>, step: Option<&QuantizerStep>) -> Quantized {
        let [batch, height, width, dimension] = vectors.dims();
        let bits = vectors.clone().detach().greater_scalar(0.0).float();
        let codes = self.digits.join(bits.clone());
        let chosen = signs(bits);
        let mut loss = self.weights.loss(vectors.clone(), chosen.clone());
        let latent = match step {
            None => chosen,
            Some(step) if step.bypass => {
                return Quantized::unquantized(vectors, codes, Vec::new());
            }
            Some(step) => {
                if step.entropy_weight > 0.0 {
                    let flat = vectors.clone().reshape([batch * height * width, dimension]);
                    loss = loss + bit_entropy(flat) * step.entropy_weight;
                }
                step.gradient.pass(vectors, chosen)
            }
        };
        Quantized {
            latent,
            loss,
            codes,
            searches: Vec::new(),
        }
    }

    /// The signs that `codes` `[b, h, w]` spell, `[b, h, w, embed_dim]`.
    pub fn lookup(&self, codes: Tensor<3, Int>) -> Tensor<4> {
        signs(self.digits.split(codes))
    }
}

/// 0 and 1 to −1 and 1.
fn signs(bits: Tensor<4>) -> Tensor<4> {
    bits * 2.0 - 1.0
}

/// The entropy loss of vectors `[n, bits]`, `[1]`. Bits are independent given the vector, so the entropy of one
/// vector's code is the sum over groups; that of the batch is replaced by the sum over groups, which is never less.
fn bit_entropy(vectors: Tensor<2>) -> Tensor<1> {
    let (bits, device) = (vectors.dims()[1], vectors.device());
    let group = if bits <= WHOLE { bits } else { GROUP };
    let groups = vectors.split(group, 1).into_iter();
    let losses = groups.map(|vectors| {
        let corners = corners(vectors.dims()[1], &device);
        entropy_loss(vectors, corners, Affinity::Distance, TEMPERATURE)
    });
    losses.fold(Tensor::<1>::zeros([1], &device), |sum, loss| sum + loss)
}

/// All vectors of `bits` signs, `[2^bits, bits]`.
fn corners(bits: usize, device: &Device) -> Tensor<2> {
    let count = 1usize << bits;
    let codes = Tensor::<1, Int>::arange(0..count as i64, device).reshape([1, 1, count]);
    let digits = Digits::lowest_first(vec![2; bits]);
    signs(digits.split(codes)).reshape([count, bits])
}
