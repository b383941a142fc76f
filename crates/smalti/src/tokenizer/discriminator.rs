//! The patch discriminator: says for every patch of a picture whether it is real (`NLayerDiscriminator` of
//! taming/modules/discriminator/model.py).

use crate::initializer::Initializer;
use crate::layers::{BatchNorm, Conv2d};
use crate::ops::{Activation, Convolution, Padding, Precision};
use burn::module::Module;
use burn::tensor::Tensor;

/// PatchGAN with batch normalisation. It only ever runs in training, so it always uses the statistics of its batch.
#[derive(Module, Debug)]
pub struct Discriminator {
    pub convs: Vec<Conv2d>,
    pub norms: Vec<BatchNorm>,
}

impl Discriminator {
    /// `layers` convolutions of stride 2, widths doubling from `channels` to at most eight times that, then two of
    /// stride 1 (paper: 3 layers, 64 channels). Weights N(0, 0.02), scales N(1, 0.02).
    pub fn new(init: &mut Initializer, in_channels: usize, config: &DiscriminatorConfig) -> Self {
        let (channels, layers) = (config.channels, config.layers);
        let width = |layer: usize| channels * (1 << layer.min(3));
        let mut convs = vec![convolution(init, [in_channels, channels], 2, true)];
        let mut norms = Vec::new();
        for layer in 1..=layers {
            let stride = if layer == layers { 1 } else { 2 };
            let shape = [width(layer - 1), width(layer)];
            convs.push(convolution(init, shape, stride, false));
            norms.push(BatchNorm::new(init, shape[1]));
        }
        convs.push(convolution(init, [width(layers), 1], 1, true));
        Self { convs, norms }
    }

    /// Pictures `[b, h, w, c]`, f32 or bf16, to one logit per patch, `[b, h', w', 1]`, f32; positive means real.
    pub fn forward(&self, pixels: Tensor<4>) -> Tensor<4> {
        let last = self.convs.len() - 1;
        let mut hidden = self.convs[0].forward_activated(pixels, Activation::LeakyRelu);
        for (conv, norm) in self.convs[1..last].iter().zip(&self.norms) {
            hidden = norm.forward(conv.forward(hidden), Activation::LeakyRelu);
        }
        Precision::F32.of(self.convs[last].forward(hidden))
    }

    /// The smallest picture side that leaves at least one logit.
    pub fn smallest_side(config: &DiscriminatorConfig) -> usize {
        let layers = config.layers;
        // Each stride-1 4×4 convolution with padding 1 takes one pixel off; the strided ones halve.
        3 << layers
    }

    /// The authors' key of a parameter path: they keep all layers, activations included, in one list `main`.
    pub fn key(path: &str) -> String {
        let mut parts = path.splitn(3, '.');
        let (Some(list), Some(index), Some(rest)) = (parts.next(), parts.next(), parts.next())
        else {
            return path.to_string();
        };
        let index: usize = index.parse().unwrap_or(0);
        let position = match list {
            "convs" => (3 * index).saturating_sub(1),
            _ => 3 * (index + 1),
        };
        format!("main.{position}.{rest}")
    }
}

fn convolution(init: &mut Initializer, channels: [usize; 2], stride: usize, bias: bool) -> Conv2d {
    let shape = Convolution {
        stride,
        padding: Padding::all(1),
    };
    let mut conv = Conv2d::new(init, channels, 4, shape);
    conv.weight = init.normal([channels[1], channels[0], 4, 4], 0.02);
    if !bias {
        conv.bias = None;
    }
    conv
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiscriminatorKind {
    Patch,
    Stylegan,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiscriminatorNorm {
    Batch,
    Act,
    None,
}
#[derive(Debug, Clone, Copy)]
pub struct DiscriminatorConfig {
    pub kind: DiscriminatorKind,
    pub norm: DiscriminatorNorm,
    pub channels: usize,
    pub layers: usize,
    pub size: usize,
}
impl Discriminator {
    pub fn needs_initialization(&self) -> bool {
        false
    }
    pub fn initialize(self, _p: Tensor<4>) -> Self {
        self
    }
}
