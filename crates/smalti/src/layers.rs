//! Layers with parameters, shared by all networks. Field names are checkpoint keys, layouts are PyTorch's, and new
//! parameters are drawn as PyTorch draws them.

use crate::initializer::Initializer;
use crate::ops::{
    self, Activation, Affine, Convolution, Filter, GroupNormalization, Normalized, Precision,
};
use burn::module::{Module, Param};
use burn::tensor::{Int, Shape, Tensor, TensorData};

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

    /// The same without its bias.
    pub fn without_bias(self) -> Self {
        Self { bias: None, ..self }
    }

    /// `[b, h, w, in]` to `[b, h', w', out]`.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.forward_activated(input, Activation::None)
    }

    /// The same, followed by an activation.
    pub fn forward_activated(&self, input: Tensor<4>, activation: Activation) -> Tensor<4> {
        ops::conv2d(input, self.filter(), None, self.convolution, activation)
    }

    /// The same, plus `residual` `[b, h', w', out]`.
    pub fn forward_residual(&self, input: Tensor<4>, residual: Tensor<4>) -> Tensor<4> {
        ops::conv2d(
            input,
            self.filter(),
            Some(residual),
            self.convolution,
            Activation::None,
        )
    }

    /// Convolves what `norm` and SiLU make of the input, and adds `residual` if there is one.
    pub fn forward_normalized(
        &self,
        norm: &GroupNorm,
        input: Tensor<4>,
        residual: Option<Tensor<4>>,
    ) -> Tensor<4> {
        if let Some(fixed) = norm.fixed.clone() {
            let before = (fixed, Activation::Silu);
            return ops::affine_conv2d(input, before, self.filter(), residual, self.convolution);
        }
        let normalized = Normalized {
            gamma: norm.weight.val(),
            beta: norm.bias.val(),
            normalization: GroupNorm::normalization(Activation::Silu),
        };
        ops::normalized_conv2d(input, normalized, self.filter(), residual, self.convolution)
    }

    /// Convolves the picture of twice the size, `[b, h, w, in]` to `[b, 2h, 2w, out]`; for kernels of 3×3 that keep the size.
    pub fn forward_upsampled(&self, input: Tensor<4>) -> Tensor<4> {
        ops::upsampled_conv2d(input, self.filter())
    }

    /// Weight and bias as operations take them.
    pub(crate) fn filter(&self) -> Filter {
        Filter {
            weight: self.weight.val(),
            bias: self.bias.as_ref().map(Param::val),
        }
    }
}

/// Group normalisation with 32 groups and epsilon 1e-6, `weight` and `bias` `[channels]`.
#[derive(Module, Debug)]
pub struct GroupNorm {
    pub weight: Param<Tensor<1>>,
    pub bias: Param<Tensor<1>>,
    /// What it does instead, once its statistics are fixed.
    #[module(skip)]
    fixed: Option<Affine>,
}

impl GroupNorm {
    /// The number of groups; every width of the VQGAN is a multiple of it.
    pub const GROUPS: usize = 32;

    const EPSILON: f32 = 1e-6;

    pub fn new(init: &Initializer, channels: usize) -> Self {
        Self {
            weight: init.constant([channels], 1.0),
            bias: init.constant([channels], 0.0),
            fixed: None,
        }
    }

    /// Normalises from now on by given means and variances, one for each group, instead of by those of its input. For
    /// inference with parts of pictures, which must be normalised alike.
    pub fn fix(&mut self, means: &[f64], variances: &[f64]) {
        let factor = |&variance: &f64| (variance + f64::from(Self::EPSILON)).sqrt().recip();
        let scale = self.weight.val() * self.each_channel(variances.iter().map(factor));
        let means = self.each_channel(means.iter().copied());
        let shift = self.bias.val() - means * scale.clone();
        self.fixed = Some(Affine { scale, shift });
    }

    /// The number of each group for every channel of it, `[channels]`.
    fn each_channel(&self, groups: impl Iterator<Item = f64>) -> Tensor<1> {
        let channels = self.weight.dims()[0];
        let width = channels / Self::GROUPS;
        let values = groups.flat_map(|value| std::iter::repeat_n(value as f32, width));
        let data = TensorData::new(values.collect::<Vec<f32>>(), Shape::from([channels]));
        Tensor::from_data(data, &self.weight.device())
    }

    /// Normalises `[b, h, w, channels]`.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.normalize(input, Activation::None)
    }

    /// Normalises `[b, h, w, channels]`, then applies SiLU.
    pub fn forward_silu(&self, input: Tensor<4>) -> Tensor<4> {
        self.normalize(input, Activation::Silu)
    }

    fn normalization(activation: Activation) -> GroupNormalization {
        GroupNormalization {
            groups: Self::GROUPS,
            epsilon: Self::EPSILON,
            activation,
        }
    }

    fn normalize(&self, input: Tensor<4>, activation: Activation) -> Tensor<4> {
        if let Some(fixed) = self.fixed.clone() {
            return ops::affine(input, fixed, activation);
        }
        let normalization = Self::normalization(activation);
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

    /// `[b, t, in]` to `[b, t, out]`, with products in `precision`.
    pub fn forward(&self, input: Tensor<3>, precision: Precision) -> Tensor<3> {
        let bias = self.bias.as_ref().map(Param::val);
        ops::linear(input, self.weight.val(), bias, precision)
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
    /// Added to variances.
    pub const EPSILON: f32 = 1e-5;

    /// The discriminator's initialisation: weight N(1, 0.02), bias 0.
    pub fn new(init: &mut Initializer, channels: usize) -> Self {
        Self {
            weight: init.normal_around([channels], 1.0, 0.02),
            bias: init.constant([channels], 0.0),
        }
    }

    /// Normalises every channel of `[b, h, w, channels]` over pictures and positions, then applies `activation`.
    pub fn forward(&self, input: Tensor<4>, activation: Activation) -> Tensor<4> {
        let [batch, height, width, channels] = input.dims();
        // One group per channel of a single tall picture is a channel of the whole batch.
        let normalization = GroupNormalization {
            groups: channels,
            epsilon: Self::EPSILON,
            activation,
        };
        let tall = input.reshape([1, batch * height, width, channels]);
        ops::group_norm(tall, self.weight.val(), self.bias.val(), normalization)
            .reshape([batch, height, width, channels])
    }
}
