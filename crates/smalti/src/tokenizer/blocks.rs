//! The blocks that encoder and decoder are made of (taming/modules/diffusionmodules/model.py).

use crate::initializer::Initializer;
use crate::layers::{Conv2d, GroupNorm};
use crate::ops::{self, Attention, Convolution, Padding};
use burn::module::Module;
use burn::tensor::Tensor;

/// Two normalised 3×3 convolutions beside a skip connection, which is a 1×1 convolution where the width changes.
#[derive(Module, Debug)]
pub struct ResnetBlock {
    pub norm1: GroupNorm,
    pub conv1: Conv2d,
    pub norm2: GroupNorm,
    pub conv2: Conv2d,
    pub nin_shortcut: Option<Conv2d>,
}

impl ResnetBlock {
    pub fn new(init: &mut Initializer, [inputs, outputs]: [usize; 2]) -> Self {
        Self {
            norm1: GroupNorm::new(init, inputs),
            conv1: Conv2d::same(init, [inputs, outputs]),
            norm2: GroupNorm::new(init, outputs),
            conv2: Conv2d::same(init, [outputs, outputs]),
            nin_shortcut: (inputs != outputs).then(|| Conv2d::pointwise(init, [inputs, outputs])),
        }
    }

    /// `[b, h, w, in]` to `[b, h, w, out]`.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let hidden = self.first(input.clone());
        self.second(hidden, input)
    }

    /// What the second normalisation reads: `[b, h, w, in]` to `[b, h, w, out]`.
    pub fn first(&self, input: Tensor<4>) -> Tensor<4> {
        self.conv1.forward_normalized(&self.norm1, input, None)
    }

    /// The output `[b, h, w, out]`, from [`Self::first`] and the input.
    pub fn second(&self, hidden: Tensor<4>, input: Tensor<4>) -> Tensor<4> {
        let skip = match &self.nin_shortcut {
            Some(shortcut) => shortcut.forward(input),
            None => input,
        };
        self.conv2
            .forward_normalized(&self.norm2, hidden, Some(skip))
    }
}

/// Single-head attention of every position over all positions, with a residual connection.
#[derive(Module, Debug)]
pub struct AttnBlock {
    pub norm: GroupNorm,
    pub q: Conv2d,
    pub k: Conv2d,
    pub v: Conv2d,
    pub proj_out: Conv2d,
}

impl AttnBlock {
    pub fn new(init: &mut Initializer, channels: usize) -> Self {
        Self {
            norm: GroupNorm::new(init, channels),
            q: Conv2d::pointwise(init, [channels; 2]),
            k: Conv2d::pointwise(init, [channels; 2]),
            v: Conv2d::pointwise(init, [channels; 2]),
            proj_out: Conv2d::pointwise(init, [channels; 2]),
        }
    }

    /// `[b, h, w, c]`, same shape out.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let [batch, height, width, channels] = input.dims();
        let normalized = self.norm.forward(input.clone());
        let positions = |tensor: Tensor<4>| tensor.reshape([batch, height * width, 1, channels]);
        let attended = ops::attention(
            positions(self.q.forward(normalized.clone())),
            positions(self.k.forward(normalized.clone())),
            positions(self.v.forward(normalized)),
            Attention::default(),
        );
        let attended = attended.reshape([batch, height, width, channels]);
        self.proj_out.forward_residual(attended, input)
    }
}

/// Halves the resolution: a 3×3 convolution of stride 2, padded below and to the right only.
#[derive(Module, Debug)]
pub struct Downsample {
    pub conv: Conv2d,
}

impl Downsample {
    pub fn new(init: &mut Initializer, channels: usize) -> Self {
        let convolution = Convolution {
            stride: 2,
            padding: Padding::end(1),
        };
        Self {
            conv: Conv2d::new(init, [channels; 2], 3, convolution),
        }
    }

    /// `[b, h, w, c]` to `[b, ⌊h/2⌋, ⌊w/2⌋, c]`.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.conv.forward(input)
    }
}

/// Doubles the resolution: nearest neighbour, then a 3×3 convolution.
#[derive(Module, Debug)]
pub struct Upsample {
    pub conv: Conv2d,
}

impl Upsample {
    pub fn new(init: &mut Initializer, channels: usize) -> Self {
        Self {
            conv: Conv2d::same(init, [channels; 2]),
        }
    }

    /// `[b, h, w, c]` to `[b, 2h, 2w, c]`.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.conv.forward_upsampled(input)
    }
}

/// The lowest resolution of both networks: residual block, attention, residual block.
#[derive(Module, Debug)]
pub struct Mid {
    pub block_1: ResnetBlock,
    pub attn_1: AttnBlock,
    pub block_2: ResnetBlock,
}

impl Mid {
    pub fn new(init: &mut Initializer, channels: usize) -> Self {
        Self {
            block_1: ResnetBlock::new(init, [channels; 2]),
            attn_1: AttnBlock::new(init, channels),
            block_2: ResnetBlock::new(init, [channels; 2]),
        }
    }

    /// `[b, h, w, c]`, same shape out.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let hidden = self.attn_1.forward(self.block_1.forward(input));
        self.block_2.forward(hidden)
    }
}

/// The residual blocks of one resolution, `count` of them from `width` to `outputs`, and the attention after each if there
/// is any. `width` becomes `outputs`.
pub fn level(
    init: &mut Initializer,
    width: &mut usize,
    outputs: usize,
    count: usize,
    attention: bool,
) -> (Vec<ResnetBlock>, Vec<AttnBlock>) {
    let (mut blocks, mut attentions) = (Vec::new(), Vec::new());
    for _ in 0..count {
        blocks.push(ResnetBlock::new(init, [*width, outputs]));
        *width = outputs;
        if attention {
            attentions.push(AttnBlock::new(init, outputs));
        }
    }
    (blocks, attentions)
}

/// Runs what [`level`] made: `[b, h, w, in]` to `[b, h, w, out]`.
pub fn forward_level(
    blocks: &[ResnetBlock],
    attentions: &[AttnBlock],
    mut hidden: Tensor<4>,
) -> Tensor<4> {
    for (index, block) in blocks.iter().enumerate() {
        hidden = block.forward(hidden);
        if let Some(attention) = attentions.get(index) {
            hidden = attention.forward(hidden);
        }
    }
    hidden
}
