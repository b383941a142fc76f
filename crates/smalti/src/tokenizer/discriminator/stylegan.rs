//! StyleGAN2's discriminator: residual blocks halve the picture until one logit is left (Karras et al., "Analyzing and
//! improving the image quality of StyleGAN", 2020; ViT-VQGAN and LlamaGen train tokenizers with it).

use super::config::DiscriminatorConfig;
use super::minibatch::append_deviation;
use super::signal::Signal;
use crate::initializer::Initializer;
use crate::layers::Conv2d;
use crate::ops::{Convolution, Padding, Precision};
use burn::module::Module;
use std::f64::consts::FRAC_1_SQRT_2;

/// Halves pictures down to 4 × 4 and judges each as a whole.
///
/// Weights are drawn so that activations keep their size (He's initialisation), and biases are 0. StyleGAN2 reaches the
/// same start with equalised learning rates: weights N(0, 1), scaled when used. Those are left out because stage 1 has
/// one learning rate for everything, one made for plain weights, and scaled ones would hardly move at it.
#[derive(Module, Debug)]
pub struct StyleGanDiscriminator {
    pub from_pixels: Conv2d,
    pub blocks: Vec<DownsamplingBlock>,
    /// Reads the last feature maps and the minibatch deviation.
    pub mix: Conv2d,
    /// The first linear layer, as a 4×4 convolution of the whole map.
    pub hidden: Conv2d,
    /// The second linear layer, as a 1×1 convolution.
    pub logit: Conv2d,
}

/// Two convolutions beside a shortcut, the second of which halves; both sides are blurred before.
#[derive(Module, Debug)]
pub struct DownsamplingBlock {
    pub conv1: Conv2d,
    pub conv2: Conv2d,
    pub skip: Conv2d,
}

impl StyleGanDiscriminator {
    /// For pictures of side `size`: widths double from `channels` to at most eight times that (with 64 channels at 256
    /// pixels, StyleGAN2's own).
    pub fn new(init: &mut Initializer, in_channels: usize, config: &DiscriminatorConfig) -> Self {
        let levels = levels(config.size);
        let width = |level: usize| config.channels * (1 << level.min(3));
        let last = width(levels);
        Self {
            from_pixels: activated(init, [in_channels, width(0)], 1, Convolution::padded(0)),
            blocks: (0..levels)
                .map(|level| DownsamplingBlock::new(init, [width(level), width(level + 1)]))
                .collect(),
            mix: activated(init, [last + 1, last], 3, Convolution::padded(1)),
            hidden: activated(init, [last, last], 4, Convolution::padded(0)),
            logit: linear(init, [last, 1], Convolution::padded(0)),
        }
    }

    /// The smallest picture side that leaves a logit.
    pub fn smallest_side(size: usize) -> usize {
        4 << levels(size)
    }

    pub(super) fn run(&self, signal: Signal) -> Signal {
        let mut hidden = convolve_activated(signal, &self.from_pixels);
        for block in &self.blocks {
            hidden = block.run(hidden);
        }
        // A deviation is a small difference of large numbers, so the end is computed in f32.
        let hidden = append_deviation(hidden.map(|maps| Precision::F32.of(maps)));
        let hidden = convolve_activated(hidden, &self.mix);
        let hidden = convolve_activated(hidden, &self.hidden);
        hidden.convolve(self.logit.filter(), self.logit.convolution)
    }
}

impl DownsamplingBlock {
    fn new(init: &mut Initializer, [inputs, outputs]: [usize; 2]) -> Self {
        let halving = Convolution {
            stride: 2,
            padding: Padding::default(),
        };
        Self {
            conv1: activated(init, [inputs, inputs], 3, Convolution::padded(1)),
            conv2: activated(init, [inputs, outputs], 3, halving),
            skip: Conv2d {
                bias: None,
                ..linear(init, [inputs, outputs], halving)
            },
        }
    }

    fn run(&self, signal: Signal) -> Signal {
        // The paddings make both sides of h pixels end at h / 2.
        let shortcut = signal
            .clone()
            .blurred(1)
            .convolve(self.skip.filter(), self.skip.convolution);
        let hidden = convolve_activated(signal, &self.conv1).blurred(2);
        convolve_activated(hidden, &self.conv2)
            .plus(shortcut)
            // The sum of two signals keeps the size of one.
            .map(|maps| maps * FRAC_1_SQRT_2)
    }
}

/// How many times a picture is halved.
fn levels(size: usize) -> usize {
    size.max(4).ilog2() as usize - 2
}

fn convolve_activated(signal: Signal, conv: &Conv2d) -> Signal {
    signal.convolve_activated(conv.filter(), conv.convolution)
}

/// A convolution before a leaky ReLU, which leaves 0.52 of a variance: (1 + 0.2²) / 2.
fn activated(
    init: &mut Initializer,
    channels: [usize; 2],
    kernel: usize,
    convolution: Convolution,
) -> Conv2d {
    let inputs = channels[0] * kernel * kernel;
    let deviation = (1.0 / (0.52 * inputs as f32)).sqrt();
    drawn(init, channels, kernel, convolution, deviation)
}

/// A 1×1 convolution that nothing follows.
fn linear(init: &mut Initializer, channels: [usize; 2], convolution: Convolution) -> Conv2d {
    let deviation = (1.0 / channels[0] as f32).sqrt();
    drawn(init, channels, 1, convolution, deviation)
}

fn drawn(
    init: &mut Initializer,
    [inputs, outputs]: [usize; 2],
    kernel: usize,
    convolution: Convolution,
    deviation: f32,
) -> Conv2d {
    Conv2d {
        weight: init.normal([outputs, inputs, kernel, kernel], deviation),
        bias: Some(init.constant([outputs], 0.0)),
        convolution,
    }
}
