//! Layers with parameters, shared by all networks. Field names are checkpoint keys, layouts are PyTorch's, and new
//! parameters are drawn as PyTorch draws them.

use crate::initializer::Initializer;
use crate::ops::{self, Convolution, GroupNormalization};
use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor};

/// A convolution: `weight` `[out, in, kernel, kernel]`, `bias` `[out]`.
#[derive(Module, Debug)]
pub struct Conv2d {
    pub weight: Param<Tensor<4>>,
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    pub convolution: Convolution,
}

impl Conv2d {
    /// PyTorch's default: weight and bias uniform within 1/√(in · kernel²).
    pub fn new(
        init: &mut Initializer,
        [inputs, outputs]: [usize; 2],
        kernel: usize,
        convolution: Convolution,
    ) -> Self {
        let bound = 1.0 / ((inputs * kernel * kernel) as f32).sqrt();
        Self {
            weight: init.uniform([outputs, inputs, kernel, kernel], bound),
            bias: Some(init.uniform([outputs], bound)),
            convolution,
        }
    }

    /// A 3×3 convolution that keeps the size.
    pub fn same(init: &mut Initializer, channels: [usize; 2]) -> Self {
        Self::new(init, channels, 3, Convolution::padded(1))
    }

    /// A 1×1 convolution.
    pub fn pointwise(init: &mut Initializer, channels: [usize; 2]) -> Self {
        Self::new(init, channels, 1, Convolution::padded(0))
    }

    /// `[b, h, w, in]` to `[b, h', w', out]`.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let bias = self.bias.as_ref().map(Param::val);
        ops::conv2d(input, self.weight.val(), bias, self.convolution)
    }
}

/// Group normalisation with 32 groups and epsilon 1e-6, `weight` and `bias` `[channels]`.
#[derive(Module, Debug)]
pub struct GroupNorm {
    pub weight: Param<Tensor<1>>,
    pub bias: Param<Tensor<1>>,
}

impl GroupNorm {
    /// The number of groups; every width of the VQGAN is a multiple of it.
    pub const GROUPS: usize = 32;

    pub fn new(init: &Initializer, channels: usize) -> Self {
        Self {
            weight: init.constant([channels], 1.0),
            bias: init.constant([channels], 0.0),
        }
    }

    /// Normalises `[b, h, w, channels]`.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.normalize(input, false)
    }

    /// Normalises `[b, h, w, channels]`, then applies SiLU.
    pub fn forward_silu(&self, input: Tensor<4>) -> Tensor<4> {
        self.normalize(input, true)
    }

    fn normalize(&self, input: Tensor<4>, silu: bool) -> Tensor<4> {
        let normalization = GroupNormalization {
            groups: Self::GROUPS,
            epsilon: 1e-6,
            silu,
        };
        ops::group_norm(input, self.weight.val(), self.bias.val(), normalization)
    }
}

/// A linear layer: `weight` `[out, in]`, `bias` `[out]` where it has one.
#[derive(Module, Debug)]
pub struct Linear {
    pub weight: Param<Tensor<2>>,
    pub bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// The GPT's initialisation: weight N(0, 0.02), bias 0.
    pub fn new(init: &mut Initializer, [inputs, outputs]: [usize; 2], bias: bool) -> Self {
        Self {
            weight: init.normal([outputs, inputs], 0.02),
            bias: bias.then(|| init.constant([outputs], 0.0)),
        }
    }

    /// `[b, t, in]` to `[b, t, out]`.
    pub fn forward(&self, input: Tensor<3>) -> Tensor<3> {
        let bias = self.bias.as_ref().map(Param::val);
        ops::linear(input, self.weight.val(), bias)
    }
}

/// Layer normalisation, epsilon 1e-5: `weight` and `bias` `[channels]`.
#[derive(Module, Debug)]
pub struct LayerNorm {
    pub weight: Param<Tensor<1>>,
    pub bias: Param<Tensor<1>>,
}

impl LayerNorm {
    pub fn new(init: &Initializer, channels: usize) -> Self {
        Self {
            weight: init.constant([channels], 1.0),
            bias: init.constant([channels], 0.0),
        }
    }

    /// Normalises `[b, t, channels]`.
    pub fn forward(&self, input: Tensor<3>) -> Tensor<3> {
        ops::layer_norm(input, self.weight.val(), self.bias.val())
    }
}

/// A table of vectors, `weight` `[entries, channels]`.
#[derive(Module, Debug)]
pub struct Embedding {
    pub weight: Param<Tensor<2>>,
}

impl Embedding {
    /// The GPT's initialisation, N(0, 0.02).
    pub fn new(init: &mut Initializer, [entries, channels]: [usize; 2]) -> Self {
        Self {
            weight: init.normal([entries, channels], 0.02),
        }
    }

    /// The rows that `indices` `[b, t]` name, `[b, t, channels]`.
    pub fn forward(&self, indices: Tensor<2, Int>) -> Tensor<3> {
        ops::embedding(self.weight.val(), indices)
    }
}

/// Batch normalisation by the statistics of the batch itself, epsilon 1e-5: `weight` and `bias` `[channels]`.
#[derive(Module, Debug)]
pub struct BatchNorm {
    pub weight: Param<Tensor<1>>,
    pub bias: Param<Tensor<1>>,
}

impl BatchNorm {
    /// The discriminator's initialisation: weight N(1, 0.02), bias 0.
    pub fn new(init: &mut Initializer, channels: usize) -> Self {
        Self {
            weight: init.normal_around([channels], 1.0, 0.02),
            bias: init.constant([channels], 0.0),
        }
    }

    /// Normalises every channel of `[b, h, w, channels]` over pictures and positions.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let [batch, height, width, channels] = input.dims();
        // One group per channel of a single tall picture is a channel of the whole batch.
        let normalization = GroupNormalization {
            groups: channels,
            epsilon: 1e-5,
            silu: false,
        };
        let tall = input.reshape([1, batch * height, width, channels]);
        ops::group_norm(tall, self.weight.val(), self.bias.val(), normalization)
            .reshape([batch, height, width, channels])
    }
}
