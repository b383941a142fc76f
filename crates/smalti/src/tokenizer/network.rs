//! The whole stage-1 network: encoder, quantiser between two 1×1 convolutions, decoder (`VQModel` of
//! taming/models/vqgan.py).

use super::config::TokenizerConfig;
use super::family::{Decoder, Encoder};
use super::quantizer::{Quantized, Quantizer};
use super::remap::Remap;
use crate::initializer::Initializer;
use crate::layers::Conv2d;
use crate::ops::Precision;
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};

/// A VQGAN without its training losses. Field paths are the authors' checkpoint keys.
///
/// ```
/// use smalti::initializer::Initializer;
/// use smalti::tokenizer::{Tokenizer, TokenizerConfig};
/// use smalti::{Device, Tensor};
///
/// let config = TokenizerConfig { channels: 32, ..TokenizerConfig::default() };
/// let device = Device::flex();
/// let tokenizer = Tokenizer::new(&mut Initializer::seeded(&device, 0), &config);
/// let pixels = Tensor::<4>::zeros([1, 32, 64, 3], &device);
/// let codes = tokenizer.encode(pixels).codes;
/// assert_eq!(codes.dims(), [1, 8, 16]);
/// assert_eq!(tokenizer.decode_codes(codes).dims(), [1, 32, 64, 3]);
/// ```
#[derive(Module, Debug)]
pub struct Tokenizer {
    pub encoder: Encoder,
    pub decoder: Decoder,
    pub quantize: Quantizer,
    /// Between encoder and quantiser, and between quantiser and decoder, where the family has them.
    pub quant_conv: Option<Conv2d>,
    pub post_quant_conv: Option<Conv2d>,
    /// New numbers for some of the codes.
    pub remap: Option<Remap>,
    #[module(skip)]
    pub precision: Precision,
}

impl Tokenizer {
    /// A new network; `config` must have passed [`TokenizerConfig::check`].
    pub fn new(init: &mut Initializer, config: &TokenizerConfig) -> Self {
        Self {
            encoder: Encoder::new(init, config),
            decoder: Decoder::new(init, config),
            quantize: Quantizer::new(init, config),
            quant_conv: config
                .has_quant_conv()
                .then(|| Conv2d::pointwise(init, [config.z_channels, config.embed_dim])),
            post_quant_conv: config
                .has_quant_conv()
                .then(|| Conv2d::pointwise(init, [config.embed_dim, config.z_channels])),
            remap: Remap::new(init, config),
            precision: Precision::F32,
        }
    }

    /// Where its tensors are.
    pub fn device(&self) -> Device {
        match self.decoder.last() {
            Some(conv) => conv.weight.val().device(),
            None => self.devices().into_iter().next().unwrap_or_default(),
        }
    }

    /// Whether anything in it learns by a gradient; colours are averages and nothing else.
    pub fn has_gradients(&self) -> bool {
        self.decoder.last().is_some()
    }

    /// The same network with convolutions in another format; pictures, latents and the search of codes stay f32.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// Pictures `[b, h, w, c]` in [-1, 1] to the vectors before quantisation, `[b, h/f, w/f, embed_dim]`.
    pub fn vectors(&self, pixels: Tensor<4>) -> Tensor<4> {
        self.vectors_of(self.encoder.forward(self.precision.of(pixels)))
    }

    /// The vectors before quantisation, from what the encoder makes of pictures.
    pub fn vectors_of(&self, hidden: Tensor<4>) -> Tensor<4> {
        Precision::F32.of(match &self.quant_conv {
            Some(conv) => conv.forward(hidden),
            None => hidden,
        })
    }

    /// Pictures to quantised latents, codes and the quantiser's loss.
    pub fn encode(&self, pixels: Tensor<4>) -> Quantized {
        self.quantize(self.vectors(pixels))
    }

    /// Vectors `[b, h/f, w/f, embed_dim]` to latents, codes and loss.
    pub fn quantize(&self, vectors: Tensor<4>) -> Quantized {
        let quantized = self.quantize.forward(vectors);
        match &self.remap {
            Some(remap) => Quantized {
                codes: remap.to_used(quantized.codes),
                ..quantized
            },
            None => quantized,
        }
    }

    /// The latents `[b, h/f, w/f, embed_dim]` of a grid of codes `[b, rows, columns]`.
    pub fn lookup(&self, codes: Tensor<3, Int>) -> Tensor<4> {
        let codes = match &self.remap {
            Some(remap) => remap.to_codebook(codes),
            None => codes,
        };
        self.quantize.lookup(codes)
    }

    /// Quantised latents `[b, h, w, embed_dim]` to pictures `[b, f·h, f·w, c]`, not clamped.
    pub fn decode(&self, latent: Tensor<4>) -> Tensor<4> {
        Precision::F32.of(self.decoder.forward(self.decoder_input(latent)))
    }

    /// What the decoder reads of quantised latents.
    pub fn decoder_input(&self, latent: Tensor<4>) -> Tensor<4> {
        let latent = self.precision.of(latent);
        match &self.post_quant_conv {
            Some(conv) => conv.forward(latent),
            None => latent,
        }
    }

    /// Codes `[b, rows, columns]`, a grid as [`TokenizerConfig::grid`] has it, to pictures.
    pub fn decode_codes(&self, codes: Tensor<3, Int>) -> Tensor<4> {
        self.decode(self.lookup(codes))
    }
}
