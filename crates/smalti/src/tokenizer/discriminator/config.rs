//! The shape of a discriminator.

use super::Discriminator;
use crate::error::{Error, Result};
use crate::training::settings::check_range;
use serde::{Deserialize, Serialize};

/// Which network judges pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiscriminatorKind {
    /// One logit for every patch of a picture.
    #[default]
    Patch,
    /// One logit for the whole picture: StyleGAN2's network.
    StyleGan,
}

/// What follows the convolutions of the patch discriminator. StyleGAN2's has no normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiscriminatorNorm {
    #[default]
    Batch,
    /// An affine map that starts with the statistics of the first batch.
    Act,
    None,
}

/// Sides of the pictures that StyleGAN2's network is made for: those that halve to 4 pixels.
const SIDES: [usize; 5] = [32, 64, 128, 256, 512];

/// A discriminator's architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiscriminatorConfig {
    pub kind: DiscriminatorKind,
    pub norm: DiscriminatorNorm,
    /// Width of the first feature map. It doubles with each halving of the picture, to at most eight times this.
    pub channels: usize,
    /// How many convolutions the patch discriminator has between its first and its last.
    pub layers: usize,
    /// Side of the pictures in pixels.
    pub size: usize,
}

impl Default for DiscriminatorConfig {
    /// The paper's: patches, batch normalisation, 64 channels, 3 layers, pictures of 256 pixels.
    fn default() -> Self {
        Self {
            kind: DiscriminatorKind::Patch,
            norm: DiscriminatorNorm::Batch,
            channels: 64,
            layers: 3,
            size: 256,
        }
    }
}

impl DiscriminatorConfig {
    /// Says what is wrong with a network that cannot be built, naming the setting.
    pub fn check(&self) -> Result<()> {
        check_range("discriminator_layers", self.layers as f64, 1.0, 6.0)?;
        check_range("discriminator_channels", self.channels as f64, 1.0, 65536.0)
    }

    /// Says why the network cannot judge pictures of `size`.
    pub fn check_size(&self) -> Result<()> {
        let (size, layers) = (self.size, self.layers);
        let smallest = Discriminator::smallest_side(self);
        match self.kind {
            DiscriminatorKind::Patch if size < smallest => Err(Error::input(format!(
                "size is {size}, but a discriminator of {layers} layers needs {smallest} pixels: set \
                 discriminator_layers lower, or discriminator_weight to 0"
            ))),
            DiscriminatorKind::StyleGan if !SIDES.contains(&size) => Err(Error::input(format!(
                "size is {size}, but the stylegan discriminator judges pictures of {SIDES:?} pixels: take one of \
                 these, or the patch discriminator"
            ))),
            _ => Ok(()),
        }
    }
}
