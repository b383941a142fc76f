//! The convolutional decoder: a grid of vectors back to pictures.

use super::blocks::{self, AttnBlock, Mid, ResnetBlock, Upsample};
use super::config::TokenizerConfig;
use crate::initializer::Initializer;
use crate::layers::{Conv2d, GroupNorm};
use burn::module::Module;
use burn::tensor::Tensor;

/// One resolution of the decoder. `attn` is empty or as long as `block`.
#[derive(Module, Debug)]
pub struct UpLevel {
    pub block: Vec<ResnetBlock>,
    pub attn: Vec<AttnBlock>,
    pub upsample: Option<Upsample>,
}

/// The decoder (`Decoder` of taming/modules/diffusionmodules/model.py). `up[0]` is the highest resolution, as in the
/// authors' keys; the forward pass runs through the levels from the last to the first.
#[derive(Module, Debug)]
pub struct Decoder {
    pub conv_in: Conv2d,
    pub mid: Mid,
    pub up: Vec<UpLevel>,
    pub norm_out: GroupNorm,
    pub conv_out: Conv2d,
}

impl Decoder {
    pub fn new(init: &mut Initializer, config: &TokenizerConfig) -> Self {
        let last = config.levels() - 1;
        let mut width = config.width(last);
        let conv_in = Conv2d::same(init, [config.z_channels, width]);
        let mid = Mid::new(init, width);
        let mut up = Vec::new();
        for level in (0..config.levels()).rev() {
            up.push(UpLevel::new(init, config, level, &mut width));
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

    /// `[b, h, w, z_channels]` to `[b, f·h, f·w, out_channels]`.
    pub fn forward(&self, latent: Tensor<4>) -> Tensor<4> {
        self.conv_out
            .forward_normalized(&self.norm_out, self.hidden(latent), None)
    }

    /// What the last convolution reads, `[b, f·h, f·w, channels]`. The adaptive weight λ needs it.
    pub fn features(&self, latent: Tensor<4>) -> Tensor<4> {
        self.norm_out.forward_silu(self.hidden(latent))
    }

    /// What level number `last` makes of `[b, h, w, z_channels]` before it is upsampled.
    pub fn forward_to(&self, last: usize, latent: Tensor<4>) -> Tensor<4> {
        let mut hidden = self.mid.forward(self.conv_in.forward(latent));
        for level in self.up[last + 1..].iter().rev() {
            hidden = level.forward(hidden);
        }
        self.up[last].same_size(hidden)
    }

    fn hidden(&self, latent: Tensor<4>) -> Tensor<4> {
        // The highest resolution is not upsampled.
        self.forward_to(0, latent)
    }
}

impl UpLevel {
    /// Level number `level`, from `width` to its own; `width` becomes that.
    pub(super) fn new(
        init: &mut Initializer,
        config: &TokenizerConfig,
        level: usize,
        width: &mut usize,
    ) -> Self {
        let outputs = config.width(level);
        let attention = config.has_attention(level);
        let (block, attn) =
            blocks::level(init, width, outputs, config.residual_blocks + 1, attention);
        Self {
            block,
            attn,
            upsample: (level != 0).then(|| Upsample::new(init, outputs)),
        }
    }

    fn same_size(&self, hidden: Tensor<4>) -> Tensor<4> {
        blocks::forward_level(&self.block, &self.attn, hidden)
    }

    pub(super) fn forward(&self, hidden: Tensor<4>) -> Tensor<4> {
        let hidden = self.same_size(hidden);
        match &self.upsample {
            Some(upsample) => upsample.forward(hidden),
            None => hidden,
        }
    }
}
