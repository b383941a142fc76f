//! The networks that are measured, with random weights, and what they are fed with.

use super::Spec;
use crate::checkpoint::{HostTensor, TensorMap, host_values};
use crate::data::drawn::draw;
use crate::data::squares;
use crate::error::Result;
use crate::initializer::Initializer;
use crate::prior::{Gpt, PriorConfig};
use crate::tokenizer::{Lpips, QuantizerKind, Tokenizer, TokenizerConfig};
use crate::weights::catalogue::Architecture;
use burn::tensor::{Device, Tensor};

/// The seed of all weights.
const SEED: u64 = 0;

/// How large the networks and pictures are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// As published.
    Full,
    /// So small that every workload runs in a moment: for tests.
    Tiny,
}

impl Size {
    /// Full: the authors' ImageNet tokenizer of 16 × 16 pixels per code and 16384 codes, 76.07 M parameters.
    pub fn tokenizer(self) -> TokenizerConfig {
        let full = TokenizerConfig {
            resolution: 256,
            channels: 128,
            channel_multipliers: vec![1, 1, 2, 2, 4],
            residual_blocks: 2,
            attention_resolutions: vec![16],
            z_channels: 256,
            embed_dim: 256,
            codebook_size: 16384,
            quantizer: QuantizerKind::Nearest,
            ..TokenizerConfig::default()
        };
        match self {
            Self::Full => full,
            Self::Tiny => TokenizerConfig {
                resolution: 32,
                channels: 32,
                channel_multipliers: vec![1, 1, 2],
                residual_blocks: 1,
                attention_resolutions: vec![8],
                z_channels: 32,
                embed_dim: 32,
                codebook_size: 64,
                ..full
            },
        }
    }

    /// Full: the transformer of the authors' landscapes and faces, 304.93 M parameters.
    pub fn prior(self) -> PriorConfig {
        match self {
            Self::Full => PriorConfig {
                layers: 24,
                heads: 16,
                width: 1024,
                rows: 16,
                columns: 16,
                block_size: 512,
                vocabulary_size: 1024,
                ..PriorConfig::default()
            },
            Self::Tiny => PriorConfig {
                layers: 2,
                heads: 2,
                width: 128,
                rows: 8,
                columns: 8,
                block_size: 64,
                vocabulary_size: 64,
                ..PriorConfig::default()
            },
        }
    }

    /// Side of the pictures that pass through a tokenizer.
    pub fn side(self) -> usize {
        match self {
            Self::Full => 256,
            Self::Tiny => 32,
        }
    }

    /// Side of the pictures that a tokenizer is trained on.
    pub fn training_side(self) -> usize {
        match self {
            Self::Full => 128,
            Self::Tiny => 32,
        }
    }
}

pub(super) fn tokenizer(spec: &Spec, device: &Device) -> Tokenizer {
    let mut init = Initializer::seeded(device, SEED);
    Tokenizer::new(&mut init, &spec.size.tokenizer()).with_precision(spec.precision)
}

pub(super) fn gpt(config: &PriorConfig, device: &Device) -> Gpt {
    Gpt::new(&mut Initializer::seeded(device, SEED), config)
}

/// LPIPS with VGG16, which has one size only.
pub(super) fn lpips(device: &Device) -> Result<Lpips> {
    let mut init = Initializer::seeded(&device.clone().inner(), SEED);
    let mut weights = TensorMap::new();
    for (key, shape) in Architecture::Vgg.tensors() {
        let count: usize = shape.iter().product();
        let inputs: usize = shape[1..].iter().product();
        // He's initialisation: activations stay in one range through all layers.
        let bound = (6.0 / inputs as f32).sqrt();
        let values = if key.ends_with(".bias") {
            vec![0.0; count]
        } else {
            host_values(init.uniform([count], bound).val())
        };
        weights.insert(key, HostTensor::f32(shape, values));
    }
    Lpips::new(&weights, device)
}

/// Pictures `[batch, side, side, 3]` in [-1, 1].
pub(super) fn pictures(batch: usize, side: usize, device: &Device) -> Tensor<4> {
    let picture = |index: usize| draw(index, index as u64, side as u32).into_raw();
    let pictures: Vec<Vec<u8>> = (0..batch).map(picture).collect();
    squares(&pictures, side, device)
}

/// `count` codes, spread over the `choices`.
pub(super) fn codes(count: usize, choices: usize) -> Vec<i64> {
    let code = |index: usize| (index * 7919 % choices) as i64;
    (0..count).map(code).collect()
}
