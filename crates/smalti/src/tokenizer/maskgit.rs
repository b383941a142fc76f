//! The networks of MaskGIT's tokenizer: a VQGAN without attention and with hardly a bias, halving by averages (Chang
//! et al., CVPR 2022). The form is that of its PyTorch port, in which its weights are passed around
//! (bytedance/1d-tokenizer, modeling/modules/maskgit_vqgan.py; huggingface/open-muse,
//! muse/modeling_maskgit_vqgan.py). Field paths are the port's keys.
//!
//! The published network reads and writes pixels in [0, 1]; here they are in [-1, 1] as everywhere.
//! [`Encoder::forward`] converts what it reads: it cannot be left to the weights, because the first convolution's
//! padding is a 0 of the other range. What [`Decoder`] writes is converted by the weights of its last convolution,
//! which an importer adapts.

use super::config::TokenizerConfig;
use crate::initializer::Initializer;
use crate::layers::{Conv2d, GroupNorm};
use crate::ops;
use burn::module::Module;
use burn::tensor::Tensor;

/// Two normalised 3×3 convolutions without biases, and beside them the input. Where the width changes, a 1×1
/// convolution takes the input's place; it reads not the input but the sum's other half, as the published weights
/// want it.
#[derive(Module, Debug)]
pub struct ResidualBlock {
    pub norm1: GroupNorm,
    pub conv1: Conv2d,
    pub norm2: GroupNorm,
    pub conv2: Conv2d,
    pub nin_shortcut: Option<Conv2d>,
}

impl ResidualBlock {
    pub fn new(init: &mut Initializer, [inputs, outputs]: [usize; 2]) -> Self {
        Self {
            norm1: GroupNorm::new(init, inputs),
            conv1: Conv2d::same(init, [inputs, outputs]).without_bias(),
            norm2: GroupNorm::new(init, outputs),
            conv2: Conv2d::same(init, [outputs, outputs]).without_bias(),
            nin_shortcut: (inputs != outputs)
                .then(|| Conv2d::pointwise(init, [outputs, outputs]).without_bias()),
        }
    }

    /// `[b, h, w, in]` to `[b, h, w, out]`.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let hidden = self
            .conv1
            .forward_normalized(&self.norm1, input.clone(), None);
        match &self.nin_shortcut {
            None => self
                .conv2
                .forward_normalized(&self.norm2, hidden, Some(input)),
            Some(shortcut) => {
                let hidden = self.conv2.forward_normalized(&self.norm2, hidden, None);
                shortcut.forward_residual(hidden.clone(), hidden)
            }
        }
    }
}

/// `count` blocks from `width` to `outputs`; `width` becomes `outputs`.
fn blocks(
    init: &mut Initializer,
    width: &mut usize,
    outputs: usize,
    count: usize,
) -> Vec<ResidualBlock> {
    let mut blocks = Vec::new();
    for _ in 0..count {
        blocks.push(ResidualBlock::new(init, [*width, outputs]));
        *width = outputs;
    }
    blocks
}

fn run(blocks: &[ResidualBlock], hidden: Tensor<4>) -> Tensor<4> {
    blocks
        .iter()
        .fold(hidden, |hidden, block| block.forward(hidden))
}

/// One resolution of the encoder.
#[derive(Module, Debug)]
pub struct DownLevel {
    pub block: Vec<ResidualBlock>,
}

/// One resolution of the decoder. `upsample_conv` follows the doubling of the picture.
#[derive(Module, Debug)]
pub struct UpLevel {
    pub block: Vec<ResidualBlock>,
    pub upsample_conv: Option<Conv2d>,
}

/// The encoder: levels of `residual_blocks` blocks, averages of 2×2 pixels between them, as many blocks at the end.
#[derive(Module, Debug)]
pub struct Encoder {
    pub conv_in: Conv2d,
    pub down: Vec<DownLevel>,
    pub mid: Vec<ResidualBlock>,
    pub norm_out: GroupNorm,
    pub conv_out: Conv2d,
}

impl Encoder {
    /// A new network; `config` must have passed [`TokenizerConfig::check`].
    pub fn new(init: &mut Initializer, config: &TokenizerConfig) -> Self {
        let count = config.residual_blocks;
        let conv_in = Conv2d::same(init, [config.in_channels, config.channels]).without_bias();
        let mut width = config.channels;
        let mut down = Vec::new();
        for level in 0..config.levels() {
            let block = blocks(init, &mut width, config.width(level), count);
            down.push(DownLevel { block });
        }
        let last = width;
        Self {
            conv_in,
            down,
            mid: blocks(init, &mut width, last, count),
            norm_out: GroupNorm::new(init, last),
            conv_out: Conv2d::pointwise(init, [last, config.z_channels]),
        }
    }

    /// Pictures `[b, h, w, in_channels]` in [-1, 1] to `[b, h/f, w/f, z_channels]`.
    pub fn forward(&self, pixels: Tensor<4>) -> Tensor<4> {
        self.below(self.conv_in.forward(pixels * 0.5 + 0.5))
    }

    /// Everything after the first convolution.
    fn below(&self, mut hidden: Tensor<4>) -> Tensor<4> {
        for (index, level) in self.down.iter().enumerate() {
            if index > 0 {
                hidden = ops::average_pool(hidden);
            }
            hidden = run(&level.block, hidden);
        }
        let hidden = run(&self.mid, hidden);
        self.conv_out
            .forward_normalized(&self.norm_out, hidden, None)
    }
}

/// The decoder: as many blocks as in a level, then the levels, doubling between them. `up[0]` is the highest
/// resolution; the forward pass runs through the levels from the last to the first.
#[derive(Module, Debug)]
pub struct Decoder {
    pub conv_in: Conv2d,
    pub mid: Vec<ResidualBlock>,
    pub up: Vec<UpLevel>,
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
        let mid = blocks(init, &mut width, last, count);
        let mut up = Vec::new();
        for level in (0..config.levels()).rev() {
            let outputs = config.width(level);
            up.push(UpLevel {
                block: blocks(init, &mut width, outputs, count),
                upsample_conv: (level > 0).then(|| Conv2d::same(init, [outputs, outputs])),
            });
        }
        up.reverse();
        Self {
            conv_in,
            mid,
            up,
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
        let mut hidden = run(&self.mid, self.conv_in.forward(latent));
        for level in self.up.iter().rev() {
            hidden = run(&level.block, hidden);
            if let Some(conv) = &level.upsample_conv {
                hidden = conv.forward_upsampled(hidden);
            }
        }
        hidden
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_near, init, keys, published_keys, random};
    use super::*;

    fn config() -> TokenizerConfig {
        TokenizerConfig {
            channels: 32,
            channel_multipliers: vec![1, 2, 2],
            residual_blocks: 1,
            z_channels: 8,
            embed_dim: 8,
            ..TokenizerConfig::default()
        }
    }

    #[test]
    fn black_is_the_padding_of_the_first_convolution() {
        let encoder = Encoder::new(&mut init(), &config());
        let black = random([1, 4, 4, 3], 5) * 0.0 - 1.0;
        let nothing = random([1, 4, 4, 32], 5) * 0.0;
        assert_near(encoder.forward(black), encoder.below(nothing));
        let white = random([1, 4, 4, 3], 5) * 0.0 + 1.0;
        let ones = encoder.conv_in.forward(white.clone());
        assert_near(encoder.forward(white), encoder.below(ones));
    }

    #[test]
    fn a_widening_block_reads_its_own_output() {
        let mut block = ResidualBlock::new(&mut init(), [32, 64]);
        let input = random([1, 4, 4, 32], 6);
        block.nin_shortcut = block.nin_shortcut.map(|conv| Conv2d {
            weight: init().constant([64, 64, 1, 1], 0.0),
            ..conv
        });
        let alone = block.forward(input.clone());
        block.nin_shortcut = block.nin_shortcut.map(|conv| Conv2d {
            weight: init().constant([64, 64, 1, 1], 1.0),
            ..conv
        });
        // A kernel of ones adds the sum over the channels to each of them.
        let sums = alone.clone().sum_dim(3);
        assert_near(block.forward(input), alone + sums);
    }

    #[test]
    fn keys_are_the_published_ones() {
        let published = TokenizerConfig {
            channel_multipliers: vec![1, 1, 2, 2, 4],
            residual_blocks: 2,
            ..config()
        };
        let encoder = Encoder::new(&mut init(), &published);
        assert_eq!(keys(&encoder), published_keys("maskgit", "encoder."));
        let decoder = Decoder::new(&mut init(), &published);
        assert_eq!(keys(&decoder), published_keys("maskgit", "decoder."));
    }
}
