//! Encoder and decoder of whichever family a tokenizer belongs to. The variants are no part of a parameter's path.

use super::config::{Family, TokenizerConfig};
use super::{colours, dalle, decoder, encoder, magvit2, maskgit, vqvae2};
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
    Vqvae2(vqvae2::Encoder),
    Colours(colours::Unchanged),
}

/// Vectors to pictures.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one per model")]
pub enum Decoder {
    Taming(decoder::Decoder),
    Maskgit(maskgit::Decoder),
    Magvit2(magvit2::Decoder),
    Dalle(dalle::Decoder),
    Vqvae2(vqvae2::Decoder),
    Colours(colours::Unchanged),
}

impl Encoder {
    pub fn new(init: &mut Initializer, config: &TokenizerConfig) -> Self {
        match config.family {
            Family::Taming => Self::Taming(encoder::Encoder::new(init, config)),
            Family::Maskgit => Self::Maskgit(maskgit::Encoder::new(init, config)),
            Family::Magvit2 => Self::Magvit2(magvit2::Encoder::new(init, config)),
            Family::Dalle => Self::Dalle(dalle::Encoder::new(init, config)),
            Family::Vqvae2 => Self::Vqvae2(vqvae2::Encoder::new(init, config)),
            Family::Colours => Self::Colours(colours::Unchanged),
        }
    }

    /// `[b, h, w, c]` in [-1, 1] to `[b, h/f, w/f, z_channels]`; with two levels see
    /// [`vqvae2::Encoder::forward`].
    pub fn forward(&self, pixels: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Taming(encoder) => encoder.forward(pixels),
            Self::Maskgit(encoder) => encoder.forward(pixels),
            Self::Magvit2(encoder) => encoder.forward(pixels),
            Self::Dalle(encoder) => encoder.forward(pixels),
            Self::Vqvae2(encoder) => encoder.forward(pixels),
            Self::Colours(_) => pixels,
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
            Family::Vqvae2 => Self::Vqvae2(vqvae2::Decoder::new(init, config)),
            Family::Colours => Self::Colours(colours::Unchanged),
        }
    }

    /// `[b, h, w, z_channels]` to `[b, f·h, f·w, c]`.
    pub fn forward(&self, latent: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Taming(decoder) => decoder.forward(latent),
            Self::Maskgit(decoder) => decoder.forward(latent),
            Self::Magvit2(decoder) => decoder.forward(latent),
            Self::Dalle(decoder) => decoder.forward(latent),
            Self::Vqvae2(decoder) => decoder.forward(latent),
            Self::Colours(_) => latent,
        }
    }

    /// What the last convolution reads, `[b, f·h, f·w, channels]`; but for DALL-E's, what it gives is the picture.
    pub fn features(&self, latent: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Taming(decoder) => decoder.features(latent),
            Self::Maskgit(decoder) => decoder.features(latent),
            Self::Magvit2(decoder) => decoder.features(latent),
            Self::Dalle(decoder) => decoder.features(latent),
            Self::Vqvae2(decoder) => decoder.features(latent),
            Self::Colours(_) => latent,
        }
    }

    /// The last convolution, at whose weight the adaptive weight λ compares gradients, if there is any.
    pub fn last(&self) -> Option<&Conv2d> {
        match self {
            Self::Taming(decoder) => Some(&decoder.conv_out),
            Self::Maskgit(decoder) => Some(decoder.last()),
            Self::Magvit2(decoder) => Some(decoder.last()),
            Self::Dalle(decoder) => Some(decoder.last()),
            Self::Vqvae2(decoder) => Some(decoder.last()),
            Self::Colours(_) => None,
        }
    }

    /// What the last convolution makes of [`Self::features`].
    pub fn finish(&self, features: Tensor<4>) -> Tensor<4> {
        match self.last() {
            Some(conv) => conv.forward(features),
            None => features,
        }
    }
}

#[cfg(test)]
mod tests;
