//! The convolutional encoder: pictures to a grid of vectors, one per f × f pixels.

use super::blocks::{self, AttnBlock, Downsample, Mid, ResnetBlock};
use super::config::TokenizerConfig;
use crate::initializer::Initializer;
use crate::layers::{Conv2d, GroupNorm};
use burn::module::Module;
use burn::tensor::Tensor;

/// One resolution of the encoder. `attn` is empty or as long as `block`.
#[derive(Module, Debug)]
pub struct DownLevel {
    pub block: Vec<ResnetBlock>,
    pub attn: Vec<AttnBlock>,
    pub downsample: Option<Downsample>,
}

/// The encoder (`Encoder` of taming/modules/diffusionmodules/model.py, `double_z` false).
#[derive(Module, Debug)]
pub struct Encoder {
    pub conv_in: Conv2d,
    pub down: Vec<DownLevel>,
    pub mid: Mid,
    pub norm_out: GroupNorm,
    pub conv_out: Conv2d,
}

impl Encoder {
    pub fn new(init: &mut Initializer, config: &TokenizerConfig) -> Self {
        let conv_in = Conv2d::same(init, [config.in_channels, config.channels]);
        let mut width = config.channels;
        let mut down = Vec::new();
        for level in 0..config.levels() {
            down.push(DownLevel::new(init, config, level, &mut width));
        }
        Self {
            conv_in,
            down,
            mid: Mid::new(init, width),
            norm_out: GroupNorm::new(init, width),
            conv_out: Conv2d::same(init, [width, config.z_channels]),
        }
    }

    /// `[b, h, w, in_channels]` to `[b, h/f, w/f, z_channels]`.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.forward_from(0, self.conv_in.forward(input))
    }

    /// The same from level number `first` on: what that level reads to `[b, h/f, w/f, z_channels]`.
    pub fn forward_from(&self, first: usize, mut hidden: Tensor<4>) -> Tensor<4> {
        for level in &self.down[first..] {
            hidden = level.forward(hidden);
        }
        let hidden = self.mid.forward(hidden);
        self.conv_out
            .forward_normalized(&self.norm_out, hidden, None)
    }
}

impl DownLevel {
    /// Level number `level`, from `width` to its own; `width` becomes that. The last level has no downsampling.
    pub(super) fn new(
        init: &mut Initializer,
        config: &TokenizerConfig,
        level: usize,
        width: &mut usize,
    ) -> Self {
        let outputs = config.width(level);
        let attention = config.has_attention(level);
        let (block, attn) = blocks::level(init, width, outputs, config.residual_blocks, attention);
        let last = level + 1 == config.levels();
        Self {
            block,
            attn,
            downsample: (!last).then(|| Downsample::new(init, outputs)),
        }
    }

    pub(super) fn forward(&self, hidden: Tensor<4>) -> Tensor<4> {
        self.downsampled(self.same_size(hidden))
    }

    /// What the blocks make of `[b, h, w, in]`, `[b, h, w, out]`.
    pub(super) fn same_size(&self, hidden: Tensor<4>) -> Tensor<4> {
        blocks::forward_level(&self.block, &self.attn, hidden)
    }

    /// The map of the next level.
    pub(super) fn downsampled(&self, hidden: Tensor<4>) -> Tensor<4> {
        match &self.downsample {
            Some(downsample) => downsample.forward(hidden),
            None => hidden,
        }
    }
}
