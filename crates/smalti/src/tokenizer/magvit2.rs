//! The networks of Open-MAGVIT2's image tokenizers: no attention, residual blocks without biases, and a decoder that
//! takes scale and shift of a normalisation at every resolution from the codes (Luo et al., arXiv:2409.04410;
//! TencentARC/SEED-Voken, src/Open_MAGVIT2/modules/diffusionmodules/improved_model.py). Field paths are the published
//! keys.

use super::blocks::{self, ResnetBlock};
use super::config::TokenizerConfig;
use crate::initializer::Initializer;
use crate::layers::{Conv2d, GroupNorm, Linear};
use crate::ops::{self, Activation, Convolution, GroupNormalization, Padding, Precision};
use burn::module::Module;
use burn::tensor::Tensor;

/// Of both the normalisation and the deviation of the codes.
const EPSILON: f32 = 1e-6;

/// `count` blocks from `width` to `outputs`, their convolutions without biases; `width` becomes `outputs`.
fn residual_blocks(
    init: &mut Initializer,
    width: &mut usize,
    outputs: usize,
    count: usize,
) -> Vec<ResnetBlock> {
    let (blocks, _) = blocks::level(init, width, outputs, count, false);
    let unbiased = |block: ResnetBlock| ResnetBlock {
        norm1: block.norm1,
        conv1: block.conv1.without_bias(),
        norm2: block.norm2,
        conv2: block.conv2.without_bias(),
        nin_shortcut: block.nin_shortcut.map(Conv2d::without_bias),
    };
    blocks.into_iter().map(unbiased).collect()
}

fn run(blocks: &[ResnetBlock], hidden: Tensor<4>) -> Tensor<4> {
    blocks::forward_level(blocks, &[], hidden)
}

/// One resolution of the encoder, and the convolution of stride 2 that leads to the next.
#[derive(Module, Debug)]
pub struct DownLevel {
    pub block: Vec<ResnetBlock>,
    pub downsample: Option<Conv2d>,
}

/// The encoder: levels of `residual_blocks` blocks and as many blocks at the end.
#[derive(Module, Debug)]
pub struct Encoder {
    pub conv_in: Conv2d,
    pub down: Vec<DownLevel>,
    pub mid_block: Vec<ResnetBlock>,
    pub norm_out: GroupNorm,
    pub conv_out: Conv2d,
}

impl Encoder {
    /// A new network; `config` must have passed [`TokenizerConfig::check`].
    pub fn new(init: &mut Initializer, config: &TokenizerConfig) -> Self {
        let count = config.residual_blocks;
        let conv_in = Conv2d::same(init, [config.in_channels, config.channels]).without_bias();
        let halving = Convolution {
            stride: 2,
            padding: Padding::all(1),
        };
        let mut width = config.channels;
        let mut down = Vec::new();
        for level in 0..config.levels() {
            let block = residual_blocks(init, &mut width, config.width(level), count);
            let last = level + 1 == config.levels();
            let downsample = (!last).then(|| Conv2d::new(init, [width, width], 3, halving));
            down.push(DownLevel { block, downsample });
        }
        let last = width;
        Self {
            conv_in,
            down,
            mid_block: residual_blocks(init, &mut width, last, count),
            norm_out: GroupNorm::new(init, last),
            conv_out: Conv2d::pointwise(init, [last, config.z_channels]),
        }
    }

    /// Pictures `[b, h, w, in_channels]` in [-1, 1] to `[b, h/f, w/f, z_channels]`.
    pub fn forward(&self, pixels: Tensor<4>) -> Tensor<4> {
        let mut hidden = self.conv_in.forward(pixels);
        for level in &self.down {
            hidden = run(&level.block, hidden);
            if let Some(conv) = &level.downsample {
                hidden = conv.forward(hidden);
            }
        }
        let hidden = run(&self.mid_block, hidden);
        self.conv_out
            .forward_normalized(&self.norm_out, hidden, None)
    }
}

/// Doubles the resolution: a convolution to four times the width, whose quarters become neighbouring pixels.
#[derive(Module, Debug)]
pub struct Upsample {
    pub conv1: Conv2d,
}

impl Upsample {
    fn new(init: &mut Initializer, channels: usize) -> Self {
        Self {
            conv1: Conv2d::same(init, [channels, 4 * channels]),
        }
    }

    /// `[b, h, w, c]` to `[b, 2h, 2w, c]`.
    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        ops::depth_to_space(self.conv1.forward(input))
    }
}

/// Mean and deviation of every channel of the codes of a picture, `[b, 1, z]` each, f32.
struct Style {
    mean: Tensor<3>,
    deviation: Tensor<3>,
}

impl Style {
    /// Of latents `[b, h, w, z]`.
    fn of(latent: &Tensor<4>) -> Self {
        let [batch, height, width, channels] = latent.dims();
        let count = height * width;
        let latent = Precision::F32.of(latent.clone());
        let latent = latent.reshape([batch, count, channels]);
        let mean = latent.clone().mean_dim(1);
        // The published code divides by one less than the count; a single code has no deviation there, and here none.
        let squares = (latent - mean.clone()).square().sum_dim(1);
        let variance = squares / count.saturating_sub(1).max(1) as f32;
        Self {
            mean,
            deviation: (variance + EPSILON).sqrt(),
        }
    }
}

/// Group normalisation that takes its scale and shift from the codes of the whole picture.
#[derive(Module, Debug)]
pub struct AdaptiveGroupNorm {
    pub gamma: Linear,
    pub beta: Linear,
}

impl AdaptiveGroupNorm {
    fn new(init: &mut Initializer, codes: usize, channels: usize) -> Self {
        // PyTorch's default for linear layers.
        let bound = 1.0 / (codes as f32).sqrt();
        let mut linear = || Linear {
            weight: init.uniform([channels, codes], bound),
            bias: Some(init.uniform([channels], bound)),
        };
        Self {
            gamma: linear(),
            beta: linear(),
        }
    }

    /// `[b, h, w, channels]`, same shape out.
    fn forward(&self, input: Tensor<4>, style: &Style) -> Tensor<4> {
        let [batch, _, _, channels] = input.dims();
        let (device, format) = (input.device(), input.dtype());
        let ones = Tensor::ones([channels], &device);
        let zeros = Tensor::zeros([channels], &device);
        let normalization = GroupNormalization {
            groups: GroupNorm::GROUPS,
            epsilon: EPSILON,
            activation: Activation::None,
        };
        let normalized = ops::group_norm(input, ones, zeros, normalization);
        let of_picture = |linear: &Linear, statistic: &Tensor<3>| {
            linear
                .forward(statistic.clone(), Precision::F32)
                .reshape([batch, 1, 1, channels])
                .cast(format)
        };
        let scale = of_picture(&self.gamma, &style.deviation);
        let shift = of_picture(&self.beta, &style.mean);
        normalized * scale + shift
    }
}

/// One resolution of the decoder, and the way to the next.
#[derive(Module, Debug)]
pub struct UpLevel {
    pub block: Vec<ResnetBlock>,
    pub upsample: Option<Upsample>,
}

/// The decoder. `up[0]` and `adaptive[0]` are the highest resolution; the forward pass runs from the last to the
/// first. `adaptive` normalises what its level reads, by the codes of the whole picture: a part of a picture is
/// decoded differently alone.
#[derive(Module, Debug)]
pub struct Decoder {
    pub conv_in: Conv2d,
    pub mid_block: Vec<ResnetBlock>,
    pub up: Vec<UpLevel>,
    pub adaptive: Vec<AdaptiveGroupNorm>,
    pub norm_out: GroupNorm,
    pub conv_out: Conv2d,
}

impl Decoder {
    /// A new network; `config` must have passed [`TokenizerConfig::check`].
    pub fn new(init: &mut Initializer, config: &TokenizerConfig) -> Self {
        let count = config.residual_blocks;
        let last = config.width(config.levels() - 1);
        let conv_in = Conv2d::same(init, [config.z_channels, last]);
        let mut width = last;
        let mid_block = residual_blocks(init, &mut width, last, count);
        let (mut up, mut adaptive) = (Vec::new(), Vec::new());
        for level in (0..config.levels()).rev() {
            adaptive.push(AdaptiveGroupNorm::new(init, config.z_channels, width));
            let block = residual_blocks(init, &mut width, config.width(level), count);
            let upsample = (level > 0).then(|| Upsample::new(init, width));
            up.push(UpLevel { block, upsample });
        }
        up.reverse();
        adaptive.reverse();
        Self {
            conv_in,
            mid_block,
            up,
            adaptive,
            norm_out: GroupNorm::new(init, width),
            conv_out: Conv2d::same(init, [width, config.out_channels]),
        }
    }

    /// `[b, h, w, z_channels]` to pictures `[b, f·h, f·w, out_channels]` in about [-1, 1].
    pub fn forward(&self, latent: Tensor<4>) -> Tensor<4> {
        self.conv_out
            .forward_normalized(&self.norm_out, self.hidden(latent), None)
    }

    /// What the last convolution reads, `[b, f·h, f·w, channels]`. The adaptive weight λ needs it.
    pub fn features(&self, latent: Tensor<4>) -> Tensor<4> {
        self.norm_out.forward_silu(self.hidden(latent))
    }

    /// The last convolution, which makes pictures of the features.
    pub fn last(&self) -> &Conv2d {
        &self.conv_out
    }

    fn hidden(&self, latent: Tensor<4>) -> Tensor<4> {
        let style = Style::of(&latent);
        let mut hidden = run(&self.mid_block, self.conv_in.forward(latent));
        for (level, adaptive) in self.up.iter().zip(&self.adaptive).rev() {
            hidden = run(&level.block, adaptive.forward(hidden, &style));
            if let Some(upsample) = &level.upsample {
                hidden = upsample.forward(hidden);
            }
        }
        hidden
    }
}

#[cfg(test)]
mod tests;
