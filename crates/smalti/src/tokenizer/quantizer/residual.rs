//! Several codes for one position: each level quantises what those before it left over, and the latent is the sum of
//! their codes (Lee et al., "Autoregressive Image Generation using Residual Quantization", section 3.1).

use super::{Codebook, EmaQuantizer, Quantized, QuantizerStep};
use crate::initializer::Initializer;
use crate::tokenizer::config::TokenizerConfig;
use burn::module::Module;
use burn::tensor::{Int, Tensor};

/// One codebook of moving averages per level, `layers.{level}.embedding`.
#[derive(Module, Debug)]
pub struct ResidualQuantizer {
    pub layers: Vec<EmaQuantizer>,
    #[module(skip)]
    dimension: usize,
}

impl ResidualQuantizer {
    /// `codes_per_position` levels.
    pub fn new(init: &mut Initializer, config: &TokenizerConfig) -> Self {
        let levels = 0..config.codes_per_position;
        Self {
            layers: levels.map(|_| EmaQuantizer::new(init, config)).collect(),
            dimension: config.embed_dim,
        }
    }

    /// Quantises `[b, h, w, embed_dim]` to codes `[b, h, w · levels]`.
    ///
    /// The loss is the mean over levels of each level's own: its commitment to what is left over is that of the vector
    /// to the sum so far, because codes get no gradient.
    pub fn forward(&self, vectors: Tensor<4>, step: Option<&QuantizerStep>) -> Quantized {
        let [batch, height, width, _] = vectors.dims();
        let depth = self.layers.len();
        let mut left_over = vectors.clone();
        let mut sum = vectors.zeros_like();
        let mut loss = Tensor::<1>::zeros([1], &vectors.device());
        let (mut codes, mut searches) = (Vec::new(), Vec::new());
        for layer in &self.layers {
            let level = layer.forward(left_over.clone(), step);
            let chosen = layer.lookup(level.codes.clone());
            left_over = left_over - chosen.clone();
            sum = sum + chosen;
            loss = loss + level.loss;
            codes.push(level.codes.reshape([batch, height, width, 1]));
            searches.extend(level.searches);
        }
        let codes = Tensor::cat(codes, 3).reshape([batch, height, width * depth]);
        let latent = match step {
            None => sum,
            Some(step) if step.bypass => return Quantized::unquantized(vectors, codes, searches),
            Some(step) => step.gradient.pass(vectors, sum),
        };
        Quantized {
            latent,
            loss: loss / depth as f32,
            codes,
            searches,
        }
    }

    /// The sums of code vectors of `codes` `[b, h, w · levels]`, `[b, h, w, embed_dim]`.
    pub fn lookup(&self, codes: Tensor<3, Int>) -> Tensor<4> {
        let [batch, height, columns] = codes.dims();
        let width = columns / self.layers.len();
        let codes = codes.reshape([batch, height, width, self.layers.len()]);
        let shape = [batch, height, width, self.dimension];
        let mut sum = Tensor::<4>::zeros(shape, &codes.device());
        for (level, layer) in self.layers.iter().enumerate() {
            let codes = codes.clone().narrow(3, level, 1);
            sum = sum + layer.lookup(codes.reshape([batch, height, width]));
        }
        sum
    }

    pub(super) fn codebooks(&mut self) -> Vec<Codebook<'_>> {
        let mut codebooks = Vec::new();
        for (level, layer) in self.layers.iter_mut().enumerate() {
            for codebook in layer.codebooks() {
                let path = format!("layers.{level}.{}", codebook.path);
                codebooks.push(Codebook { path, ..codebook });
            }
        }
        codebooks
    }
}
