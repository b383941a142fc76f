//! Gumbel-softmax: a 1×1 convolution gives every code a logit, and training draws one by them, with gradients through
//! the soft choice (`GumbelQuantize` of taming/modules/vqvae/quantize.py; Jang et al. 2017).

use super::gradient::hard_choice;
use super::{Quantized, QuantizerStep, gather_rows, rows_at_once};
use crate::initializer::Initializer;
use crate::layers::{Conv2d, Embedding};
use crate::ops::{self, Precision};
use crate::tokenizer::config::TokenizerConfig;
use burn::module::{Module, Param};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Int, Shape, Tensor, TensorData};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// `proj.weight` `[codebook_size, embed_dim, 1, 1]` (DALL-E's reads `z_channels`), `proj.bias` `[codebook_size]`, `embed.weight`
/// `[codebook_size, embed_dim]`. Nothing is searched, and every code gets a gradient.
#[derive(Module, Debug)]
pub struct GumbelQuantizer {
    pub proj: Conv2d,
    pub embed: Embedding,
    #[module(skip)]
    kl_weight: f32,
}

impl GumbelQuantizer {
    pub fn new(init: &mut Initializer, config: &TokenizerConfig) -> Self {
        let (entries, dimension) = (config.codebook_size, config.embed_dim);
        let read = match config.has_quant_conv() {
            true => dimension,
            false => config.z_channels,
        };
        Self {
            proj: Conv2d::pointwise(init, [read, entries]),
            embed: Embedding {
                weight: init.normal([entries, dimension], 1.0),
            },
            kl_weight: config.kl_weight,
        }
    }

    /// Quantises `[b, h, w, embed_dim]`: draws a code in training, takes the likeliest elsewhere. The loss is the
    /// divergence of the choice, without noise, from an even one.
    pub fn forward(&self, vectors: Tensor<4>, step: Option<&QuantizerStep>) -> Quantized {
        let [batch, height, width, dimension] = vectors.dims();
        let count = batch * height * width;
        let flat = vectors.clone().reshape([count, dimension]);
        let Some(step) = step else {
            let (found, loss) = self.likeliest(flat);
            let codes = found.reshape([batch, height, width]);
            return Quantized {
                latent: self.lookup(codes.clone()),
                loss,
                codes,
                searches: Vec::new(),
            };
        };
        let logits = self.logits(flat);
        let noise = gumbel_noise(logits.dims(), step.seed, &logits.device());
        let noisy = logits.clone() + noise;
        let found = noisy.clone().without_autodiff().argmax(1).reshape([count]);
        let codes = found.clone().reshape([batch, height, width]);
        if step.bypass {
            return Quantized::unquantized(vectors, codes, Vec::new());
        }
        let soft = softmax(noisy / step.temperature, 1);
        let latent = hard_choice(soft, found, self.embed.weight.val());
        Quantized {
            latent: latent.reshape([batch, height, width, dimension]),
            loss: self.divergence(logits) * (step.divergence * self.kl_weight / count as f32),
            codes,
            searches: Vec::new(),
        }
    }

    /// The code vectors of `codes` `[b, h, w]`, `[b, h, w, embed_dim]`.
    pub fn lookup(&self, codes: Tensor<3, Int>) -> Tensor<4> {
        gather_rows(self.embed.weight.val(), codes)
    }

    /// The likeliest codes `[n]` of vectors `[n, embed_dim]` and the loss `[1]`, some vectors at a time: all logits of
    /// a large picture would take more memory than the network.
    fn likeliest(&self, vectors: Tensor<2>) -> (Tensor<1, Int>, Tensor<1>) {
        let ([count, _], device) = (vectors.dims(), vectors.device());
        let entries = self.embed.weight.dims()[0];
        let mut codes = Vec::new();
        let mut divergence = Tensor::<1>::zeros([1], &device);
        for block in vectors.split(rows_at_once(entries), 0) {
            let logits = self.logits(block);
            codes.push(logits.clone().without_autodiff().argmax(1));
            divergence = divergence + self.divergence(logits);
        }
        let codes = Tensor::cat(codes, 0).reshape([count]);
        (codes, divergence * (self.kl_weight / count as f32))
    }

    /// The logits of vectors `[n, embed_dim]`, `[n, codebook_size]`: the convolution, position by position.
    fn logits(&self, vectors: Tensor<2>) -> Tensor<2> {
        let [count, dimension] = vectors.dims();
        let weight = self.proj.weight.val();
        let entries = weight.dims()[0];
        let bias = self.proj.bias.as_ref().map(Param::val);
        let input = vectors.reshape([1, count, dimension]);
        let weight = weight.reshape([entries, dimension]);
        ops::linear(input, weight, bias, Precision::F32).reshape([count, entries])
    }

    /// Σ q·log(q·k) of the probabilities q of logits `[n, k]`, over all vectors, `[1]`.
    fn divergence(&self, logits: Tensor<2>) -> Tensor<1> {
        let entries = logits.dims()[1] as f32;
        let probabilities = softmax(logits, 1);
        let ratios = probabilities.clone() * entries + 1e-10;
        (probabilities * ratios.log()).sum()
    }
}

/// Independent draws from the standard Gumbel distribution; the same seed gives the same ones.
pub(super) fn gumbel_noise(shape: [usize; 2], seed: u64, device: &Device) -> Tensor<2> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = || {
        // Between 0 and 1 and never either of them, whose logarithms would be infinite or 0.
        let uniform = (f64::from(random.random::<u32>()) + 0.5) / 2.0f64.powi(32);
        -(-uniform.ln()).ln() as f32
    };
    let values: Vec<f32> = (0..shape[0] * shape[1]).map(|_| draw()).collect();
    Tensor::from_data(TensorData::new(values, Shape::from(shape)), device)
}
