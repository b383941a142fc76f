//! Encoder and decoder of whichever family a tokenizer belongs to. The variants are no part of a parameter's path.

use super::config::{Family, TokenizerConfig};
use super::{dalle, decoder, encoder, magvit2, maskgit};
use crate::initializer::Initializer;
use crate::layers::Conv2d;
use burn::module::Module;
use burn::tensor::Tensor;

/// Pictures to vectors.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one per model")]
pub enum Encoder {
    Taming(encoder::Encoder),
    Maskgit(maskgit::Encoder),
    Magvit2(magvit2::Encoder),
    Dalle(dalle::Encoder),
}

/// Vectors to pictures.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one per model")]
pub enum Decoder {
    Taming(decoder::Decoder),
    Maskgit(maskgit::Decoder),
    Magvit2(magvit2::Decoder),
    Dalle(dalle::Decoder),
}

impl Encoder {
    pub fn new(init: &mut Initializer, config: &TokenizerConfig) -> Self {
        match config.family {
            Family::Taming => Self::Taming(encoder::Encoder::new(init, config)),
            Family::Maskgit => Self::Maskgit(maskgit::Encoder::new(init, config)),
            Family::Magvit2 => Self::Magvit2(magvit2::Encoder::new(init, config)),
            Family::Dalle => Self::Dalle(dalle::Encoder::new(init, config)),
        }
    }

    /// `[b, h, w, c]` in [-1, 1] to `[b, h/f, w/f, z_channels]`.
    pub fn forward(&self, pixels: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Taming(encoder) => encoder.forward(pixels),
            Self::Maskgit(encoder) => encoder.forward(pixels),
            Self::Magvit2(encoder) => encoder.forward(pixels),
            Self::Dalle(encoder) => encoder.forward(pixels),
        }
    }
}

impl Decoder {
    pub fn new(init: &mut Initializer, config: &TokenizerConfig) -> Self {
        match config.family {
            Family::Taming => Self::Taming(decoder::Decoder::new(init, config)),
            Family::Maskgit => Self::Maskgit(maskgit::Decoder::new(init, config)),
            Family::Magvit2 => Self::Magvit2(magvit2::Decoder::new(init, config)),
            Family::Dalle => Self::Dalle(dalle::Decoder::new(init, config)),
        }
    }

    /// `[b, h, w, z_channels]` to `[b, f·h, f·w, c]`.
    pub fn forward(&self, latent: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Taming(decoder) => decoder.forward(latent),
            Self::Maskgit(decoder) => decoder.forward(latent),
            Self::Magvit2(decoder) => decoder.forward(latent),
            Self::Dalle(decoder) => decoder.forward(latent),
        }
    }

    /// What the last convolution reads, `[b, f·h, f·w, channels]`; but for DALL-E's, what it gives is the picture.
    pub fn features(&self, latent: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Taming(decoder) => decoder.features(latent),
            Self::Maskgit(decoder) => decoder.features(latent),
            Self::Magvit2(decoder) => decoder.features(latent),
            Self::Dalle(decoder) => decoder.features(latent),
        }
    }

    /// The last convolution, at whose weight the adaptive weight λ compares gradients.
    pub fn last(&self) -> &Conv2d {
        match self {
            Self::Taming(decoder) => &decoder.conv_out,
            Self::Maskgit(decoder) => decoder.last(),
            Self::Magvit2(decoder) => decoder.last(),
            Self::Dalle(decoder) => decoder.last(),
        }
    }
}
