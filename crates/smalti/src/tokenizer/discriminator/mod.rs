//! Discriminators: networks that say whether a picture is real. One file each, all behind [`Discriminator`].

mod act_norm;
mod blur;
mod config;
mod minibatch;
mod patch;
mod signal;
mod stylegan;
#[cfg(test)]
mod tests;

pub use act_norm::ActNorm;
pub use config::{DiscriminatorConfig, DiscriminatorKind, DiscriminatorNorm};
pub use patch::{Norm, PatchDiscriminator};
pub use stylegan::{DownsamplingBlock, StyleGanDiscriminator};

use crate::initializer::Initializer;
use crate::ops::Precision;
use burn::module::Module;
use burn::tensor::Tensor;
use signal::Signal;

/// Any of the discriminators. They only ever run in training.
#[allow(
    clippy::large_enum_variant,
    reason = "a training has one discriminator, whose parameters are elsewhere"
)]
#[derive(Module, Debug)]
pub enum Discriminator {
    Patch(PatchDiscriminator),
    StyleGan(StyleGanDiscriminator),
}

impl Discriminator {
    /// A network for pictures of `in_channels` channels.
    pub fn new(init: &mut Initializer, in_channels: usize, config: &DiscriminatorConfig) -> Self {
        match config.kind {
            DiscriminatorKind::Patch => {
                Self::Patch(PatchDiscriminator::new(init, in_channels, config))
            }
            DiscriminatorKind::StyleGan => {
                Self::StyleGan(StyleGanDiscriminator::new(init, in_channels, config))
            }
        }
    }

    /// Pictures `[b, h, w, c]`, f32 or bf16, to logits `[b, h', w', 1]`, f32: one per patch, or one for the whole
    /// picture (`[b, 1, 1, 1]`). Positive means real.
    pub fn forward(&self, pixels: Tensor<4>) -> Tensor<4> {
        Precision::F32.of(self.run(Signal::plain(pixels)).value)
    }

    /// How fast the logits change as `pixels` move along `direction`, both `[b, h, w, c]` and computed in f32:
    /// `[b, h', w', 1]`, differentiable by the parameters. Slopes of activations count as constants, as they do in a
    /// gradient of a gradient.
    pub fn directional_derivative(&self, pixels: Tensor<4>, direction: Tensor<4>) -> Tensor<4> {
        let (pixels, direction) = (Precision::F32.of(pixels), Precision::F32.of(direction));
        self.run(Signal::moving(pixels, direction))
            .tangent
            .expect("a signal that moves goes on moving")
    }

    fn run(&self, signal: Signal) -> Signal {
        match self {
            Self::Patch(network) => network.run(signal),
            Self::StyleGan(network) => network.run(signal),
        }
    }

    /// Whether every layer that starts with the statistics of its first batch has seen one.
    pub fn is_initialized(&self) -> bool {
        match self {
            Self::Patch(network) => network.is_initialized(),
            Self::StyleGan(_) => true,
        }
    }

    /// Shows a first batch `[b, h, w, c]` to the layers that start with its statistics, one after the other. Layers
    /// that have seen one stay as they are, and so do networks without such layers.
    pub fn initialize(self, pixels: Tensor<4>) -> Self {
        match self {
            Self::Patch(network) => Self::Patch(network.initialize(pixels)),
            Self::StyleGan(network) => Self::StyleGan(network),
        }
    }

    /// The smallest picture side that leaves at least one logit.
    pub fn smallest_side(config: &DiscriminatorConfig) -> usize {
        match config.kind {
            DiscriminatorKind::Patch => PatchDiscriminator::smallest_side(config.layers),
            DiscriminatorKind::StyleGan => StyleGanDiscriminator::smallest_side(config.size),
        }
    }

    /// The authors' key of a parameter path of the patch discriminator: they keep all layers, activations included, in
    /// one list `main`. Other paths stay as they are.
    pub fn key(path: &str) -> String {
        let mut parts = path.splitn(3, '.');
        let (Some(list), Some(index), Some(rest)) = (parts.next(), parts.next(), parts.next())
        else {
            return path.to_string();
        };
        let index: usize = index.parse().unwrap_or(0);
        let position = match list {
            "convs" => (3 * index).saturating_sub(1),
            "norms" => 3 * (index + 1),
            _ => return path.to_string(),
        };
        format!("main.{position}.{rest}")
    }
}
