//! Index backpropagation: the code with the largest product z·e, with the gradient of the softmax over all products, so
//! that every code is moved in every step (Shi et al., "Scalable Image Tokenization with Index Backpropagation
//! Quantization"; `IndexPropagationQuantize` of TencentARC/SEED-Voken, src/IBQ/modules/vqvae/quantize.py).

use super::entropy::{Affinity, TEMPERATURE, entropy_loss};
use super::gradient::hard_choice;
use super::{LossWeights, Quantized, QuantizerStep, gather_rows, rows_at_once};
use crate::initializer::Initializer;
use crate::layers::Embedding;
use crate::tokenizer::config::TokenizerConfig;
use burn::module::Module;
use burn::tensor::activation::softmax;
use burn::tensor::{Int, Tensor};

/// `embedding.weight` is `[codebook_size, embed_dim]`. No code is ever left behind, so there is nothing to restart.
#[derive(Module, Debug)]
pub struct IbqQuantizer {
    pub embedding: Embedding,
    #[module(skip)]
    weights: LossWeights,
}

impl IbqQuantizer {
    /// Normal codes.
    pub fn new(init: &mut Initializer, config: &TokenizerConfig) -> Self {
        Self {
            embedding: Embedding {
                weight: init.normal([config.codebook_size, config.embed_dim], 1.0),
            },
            weights: LossWeights::new(config),
        }
    }

    /// Quantises `[b, h, w, embed_dim]`.
    pub fn forward(&self, vectors: Tensor<4>, step: Option<&QuantizerStep>) -> Quantized {
        let [batch, height, width, dimension] = vectors.dims();
        let flat = vectors.clone().reshape([batch * height * width, dimension]);
        let table = self.embedding.weight.val();
        let found = largest_products(flat.clone(), table.clone());
        let codes = found.clone().reshape([batch, height, width]);
        let chosen = gather_rows(table.clone(), codes.clone());
        let Some(step) = step else {
            return Quantized {
                loss: self.loss(vectors, chosen.clone(), chosen.clone()),
                latent: chosen,
                codes,
                searches: Vec::new(),
            };
        };
        if step.bypass {
            return Quantized::unquantized(vectors, codes, Vec::new());
        }
        let soft = softmax(flat.clone().matmul(table.clone().transpose()), 1);
        let latent = hard_choice(soft, found, table.clone());
        let latent = latent.reshape([batch, height, width, dimension]);
        let mut loss = self.loss(vectors, chosen, latent.clone());
        if step.entropy_weight > 0.0 {
            let entropy = entropy_loss(flat, table, Affinity::Product, TEMPERATURE);
            loss = loss + entropy * step.entropy_weight;
        }
        Quantized {
            latent,
            loss,
            codes,
            searches: Vec::new(),
        }
    }

    /// The code vectors of `codes` `[b, h, w]`, `[b, h, w, embed_dim]`.
    pub fn lookup(&self, codes: Tensor<3, Int>) -> Tensor<4> {
        gather_rows(self.embedding.weight.val(), codes)
    }

    /// Double quantisation: besides the usual two halves, the distance to `latent`, which lets gradients through the
    /// choice as well. The authors weigh the codebook's half by β, which is our `legacy_beta`.
    fn loss(&self, vectors: Tensor<4>, chosen: Tensor<4>, latent: Tensor<4>) -> Tensor<1> {
        let through_choice = (latent - vectors.clone()).square().mean();
        through_choice + self.weights.loss(vectors, chosen)
    }
}

/// The row of `table` `[k, d]` with the largest product with each of `vectors` `[n, d]`, `[n]`, some vectors at a time.
fn largest_products(vectors: Tensor<2>, table: Tensor<2>) -> Tensor<1, Int> {
    let (vectors, table) = (vectors.without_autodiff(), table.without_autodiff());
    let [count, entries] = [vectors.dims()[0], table.dims()[0]];
    let columns = table.transpose();
    let blocks = vectors.split(rows_at_once(entries), 0).into_iter();
    let found: Vec<Tensor<2, Int>> = blocks
        .map(|block| block.matmul(columns.clone()).argmax(1))
        .collect();
    Tensor::cat(found, 0).reshape([count])
}
