//! The networks of DALL-E's discrete variational autoencoder: residual blocks without normalisation, max pooling, and
//! a decoder that ends in the mean of a logit-Laplace distribution (Ramesh et al., arXiv:2102.12092, appendix A;
//! openai/DALL-E, dall_e/{encoder,decoder,utils}.py).
//!
//! The published encoder's last convolution gives the logits of the codes, and the decoder's first one reads a code
//! as a one-hot vector. Here both belong to the Gumbel quantiser, as its `proj` and its `embed`: [`Encoder`] ends
//! before the one and [`Decoder`] begins after the other, `z_channels` is the width of the encoder's last level, and
//! `embed_dim` what the first convolution made of a code. Fields are named as the published ones, without their
//! containers.

use super::config::TokenizerConfig;
use crate::error::{Error, Result};
use crate::initializer::Initializer;
use crate::layers::Conv2d;
use crate::ops::{self, Activation, Convolution, Precision};
use burn::module::Module;
use burn::tensor::{Tensor, activation::sigmoid};

/// How much of the range [0, 1] is left free at both ends, where the logit would be infinite.
const MARGIN: f32 = 0.1;

/// How many times narrower than its output a residual block is inside.
const NARROWING: usize = 4;

/// Says what is wrong with a configuration of this family, whose numbers are known to be of a possible size.
///
/// # Errors
/// Levels whose width is no multiple of 4, or `z_channels` that is not the width of the last level.
pub fn check(config: &TokenizerConfig) -> Result<()> {
    let widths: Vec<usize> = (0..config.levels())
        .map(|level| config.width(level))
        .collect();
    if let Some(width) = widths.iter().find(|width| !width.is_multiple_of(NARROWING)) {
        return Err(Error::input(format!(
            "a level has {width} channels; in a tokenizer of the DALL-E family they must be a multiple of {NARROWING}"
        )));
    }
    let last = widths.last().copied().unwrap_or_default();
    if config.z_channels == last {
        return Ok(());
    }
    Err(Error::input(format!(
        "z_channels is {}; in a tokenizer of the DALL-E family it must be {last}, the width of the last level",
        config.z_channels
    )))
}

/// No network of this family and shape has fewer parameters, quantiser included. It saturates.
pub fn least_parameters(config: &TokenizerConfig) -> usize {
    let product = |factors: &[usize]| {
        factors
            .iter()
            .fold(1usize, |all, &factor| all.saturating_mul(factor))
    };
    let level = |&multiplier: &usize| {
        let narrow = config.channels.saturating_mul(multiplier) / NARROWING;
        // The two 3×3 convolutions of one narrow width to itself, in every block of encoder and decoder.
        product(&[2 * 2 * 9, config.residual_blocks, narrow, narrow])
    };
    let blocks = config.channel_multipliers.iter().map(level);
    let quantizer = [
        product(&[config.codebook_size, config.z_channels]),
        product(&[config.codebook_size, config.embed_dim]),
    ];
    blocks.chain(quantizer).fold(0, usize::saturating_add)
}

/// A convolution that keeps the size, with the published initialisation: weight N(0, 1/(in · kernel²)), bias 0.
fn convolution(init: &mut Initializer, [inputs, outputs]: [usize; 2], kernel: usize) -> Conv2d {
    let deviation = 1.0 / ((inputs * kernel * kernel) as f32).sqrt();
    Conv2d {
        weight: init.normal([outputs, inputs, kernel, kernel], deviation),
        bias: Some(init.constant([outputs], 0.0)),
        convolution: Convolution::padded(kernel / 2),
    }
}

/// Four convolutions, a ReLU before each, beside the input or a 1×1 convolution of it.
#[derive(Module, Debug)]
pub struct Block {
    pub id_path: Option<Conv2d>,
    pub conv_1: Conv2d,
    pub conv_2: Conv2d,
    pub conv_3: Conv2d,
    pub conv_4: Conv2d,
    /// What the path of the four counts in the sum.
    #[module(skip)]
    gain: f32,
}

impl Block {
    fn new(
        init: &mut Initializer,
        [inputs, outputs]: [usize; 2],
        kernels: [usize; 4],
        gain: f32,
    ) -> Self {
        let narrow = outputs / NARROWING;
        Self {
            id_path: (inputs != outputs).then(|| convolution(init, [inputs, outputs], 1)),
            conv_1: convolution(init, [inputs, narrow], kernels[0]),
            conv_2: convolution(init, [narrow, narrow], kernels[1]),
            conv_3: convolution(init, [narrow, narrow], kernels[2]),
            conv_4: convolution(init, [narrow, outputs], kernels[3]),
            gain,
        }
    }

    /// `[b, h, w, in]` to `[b, h, w, out]`.
    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let mut hidden = ops::relu(input.clone());
        for conv in [&self.conv_1, &self.conv_2, &self.conv_3] {
            hidden = conv.forward_activated(hidden, Activation::Relu);
        }
        let skip = match &self.id_path {
            Some(conv) => conv.forward(input),
            None => input,
        };
        skip + self.conv_4.forward(hidden) * self.gain
    }
}

/// The blocks of one resolution.
#[derive(Module, Debug)]
pub struct Group {
    pub block: Vec<Block>,
}

impl Group {
    /// From `width` to `outputs`; `width` becomes `outputs`.
    fn new(
        init: &mut Initializer,
        config: &TokenizerConfig,
        width: &mut usize,
        outputs: usize,
        kernels: [usize; 4],
    ) -> Self {
        let layers = (config.levels() * config.residual_blocks) as f32;
        let mut block = Vec::new();
        for _ in 0..config.residual_blocks {
            let gain = 1.0 / (layers * layers);
            block.push(Block::new(init, [*width, outputs], kernels, gain));
            *width = outputs;
        }
        Self { block }
    }

    fn forward(&self, hidden: Tensor<4>) -> Tensor<4> {
        self.block
            .iter()
            .fold(hidden, |hidden, block| block.forward(hidden))
    }
}

/// The encoder without the convolution that makes the logits. `group[0]` is the highest resolution.
#[derive(Module, Debug)]
pub struct Encoder {
    pub input: Conv2d,
    pub group: Vec<Group>,
}

impl Encoder {
    /// A new network; `config` must have passed [`TokenizerConfig::check`] and [`check`].
    pub fn new(init: &mut Initializer, config: &TokenizerConfig) -> Self {
        let input = convolution(init, [config.in_channels, config.channels], 7);
        let mut width = config.channels;
        let mut group = Vec::new();
        for level in 0..config.levels() {
            let outputs = config.width(level);
            group.push(Group::new(init, config, &mut width, outputs, [3, 3, 3, 1]));
        }
        Self { input, group }
    }

    /// Pictures `[b, h, w, in_channels]` in [-1, 1] to `[b, h/f, w/f, z_channels]`, none of them negative: the last
    /// ReLU is done.
    pub fn forward(&self, pixels: Tensor<4>) -> Tensor<4> {
        // From [-1, 1] to [0, 1], and from there to what the margins leave of it (`map_pixels`).
        let scale = 1.0 - 2.0 * MARGIN;
        let mut hidden = self
            .input
            .forward(pixels * (0.5 * scale) + (0.5 * scale + MARGIN));
        for (index, group) in self.group.iter().enumerate() {
            if index > 0 {
                hidden = ops::max_pool(hidden, 2, 2);
            }
            hidden = group.forward(hidden);
        }
        ops::relu(hidden)
    }
}

/// The decoder without the convolution that reads one-hot codes. `group[0]` is the lowest resolution.
#[derive(Module, Debug)]
pub struct Decoder {
    pub group: Vec<Group>,
    pub output: Conv2d,
}

impl Decoder {
    /// A new network; `config` must have passed [`TokenizerConfig::check`] and [`check`].
    pub fn new(init: &mut Initializer, config: &TokenizerConfig) -> Self {
        let mut width = config.embed_dim;
        let mut group = Vec::new();
        for level in (0..config.levels()).rev() {
            let outputs = config.width(level);
            group.push(Group::new(init, config, &mut width, outputs, [1, 3, 3, 3]));
        }
        Self {
            group,
            output: convolution(init, [width, 2 * config.out_channels], 1),
        }
    }

    /// `[b, h, w, embed_dim]` to pictures `[b, f·h, f·w, out_channels]` in [-1.25, 1.25]. This is [`Decoder::pixels`]
    /// of what [`Decoder::last`] makes of the features.
    pub fn forward(&self, latent: Tensor<4>) -> Tensor<4> {
        Self::pixels(self.output.forward(self.features(latent)))
    }

    /// What the last convolution reads, `[b, f·h, f·w, channels]`.
    pub fn features(&self, latent: Tensor<4>) -> Tensor<4> {
        let mut hidden = latent;
        for (index, group) in self.group.iter().enumerate() {
            if index > 0 {
                hidden = ops::upsample_nearest(hidden);
            }
            hidden = group.forward(hidden);
        }
        ops::relu(hidden)
    }

    /// The last convolution. It makes no pictures but the parameters of a distribution: a gradient with respect to
    /// pictures has to go back through [`Decoder::pixels`] before it is one with respect to its output.
    pub fn last(&self) -> &Conv2d {
        &self.output
    }

    /// The last convolution's output `[b, h, w, 2 · out_channels]` as pictures `[b, h, w, out_channels]`, f32. The
    /// first half of the channels is the mean of the logits of the pixels, the second its scale, which only the
    /// published training reads. Not clamped to [-1, 1] (`unmap_pixels` is).
    pub fn pixels(output: Tensor<4>) -> Tensor<4> {
        let channels = output.dims()[3] / 2;
        let means = Precision::F32.of(output.narrow(3, 0, channels));
        let scale = 2.0 / (1.0 - 2.0 * MARGIN);
        sigmoid(means) * scale - (1.0 + MARGIN * scale)
    }
}

#[cfg(test)]
mod tests;
