//! How a tokenizer is trained: every setting of stage 1 with its default.

use super::adversarial::AdversarialLoss;
use super::config::TokenizerConfig;
use super::discriminator::{DiscriminatorConfig, DiscriminatorKind, DiscriminatorNorm};
use crate::data::{Crop, Filter, Resize, Transform};
use crate::error::{Error, Result};
use crate::ops::Precision;
use crate::training::settings::check_range;
use crate::training::{Budget, LearningRate, Routine};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The network and its training.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TokenizerRecipe {
    pub network: TokenizerConfig,
    pub training: TokenizerTraining,
}

/// The settings of a stage-1 training. The authors' values where they are no burden on small machines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenizerTraining {
    /// A folder of pictures or a list file.
    pub data: PathBuf,
    /// How long to train: steps, unless `minutes` is above 0.
    pub steps: u64,
    pub minutes: f64,
    /// Side of the square crops it is trained on, in pixels; a multiple of f.
    pub size: usize,
    /// The shorter side is brought to this before the crop; 0 means `size`.
    pub resize: usize,
    /// Enlarge pictures that are smaller than `size`; without it they are skipped.
    pub enlarge: bool,
    pub crop: Crop,
    /// Mirror half of the pictures.
    pub flip: bool,
    /// What shows through transparent pixels, red, green, blue.
    pub background: [u8; 3],
    /// The share of the pictures that is held back to measure with.
    pub validation: f64,
    pub batch: usize,
    pub learning_rate: f64,
    pub warmup_steps: u64,
    /// The learning rate at the end, as a fraction of `learning_rate`; 1 keeps it constant.
    pub final_learning_rate: f64,
    pub codebook_weight: f32,
    /// `vgg`, `alex`, `none`, or a file of LPIPS weights.
    pub perceptual: String,
    pub perceptual_weight: f32,
    pub adversarial_loss: AdversarialLoss,
    /// When the discriminator joins: below 1, a fraction of the run; from 1 on, a step.
    pub discriminator_start: f64,
    /// Weight of the adversarial loss, on top of λ; 0 trains without a discriminator.
    pub discriminator_weight: f32,
    pub discriminator_layers: usize,
    pub discriminator_channels: usize,
    /// Run the network a second time for the discriminator's step, after the autoencoder has moved, as the authors do.
    pub two_passes: bool,
    /// What products and activations are kept in, `f32` or `bf16`.
    pub precision: Precision,
    pub seed: u64,
    /// Steps between lines of the log, measurements of the validation split, and checkpoints.
    pub log_every: u64,
    pub validate_every: u64,
    pub checkpoint_every: u64,
    /// How many checkpoints to keep.
    pub keep: usize,
    /// Said in the model's file, for those who get it.
    pub license: String,
}

impl Default for TokenizerTraining {
    fn default() -> Self {
        Self {
            data: PathBuf::new(),
            steps: 3000,
            minutes: 0.0,
            size: 64,
            resize: 0,
            enlarge: false,
            crop: Crop::Random,
            flip: true,
            background: [255, 255, 255],
            validation: 0.05,
            batch: 16,
            learning_rate: 4e-4,
            warmup_steps: 100,
            final_learning_rate: 0.1,
            codebook_weight: 1.0,
            perceptual: "vgg".into(),
            perceptual_weight: 1.0,
            adversarial_loss: AdversarialLoss::Hinge,
            discriminator_start: 0.5,
            discriminator_weight: 0.8,
            discriminator_layers: 3,
            discriminator_channels: 64,
            two_passes: false,
            precision: Precision::F32,
            seed: 0,
            log_every: 10,
            validate_every: 250,
            checkpoint_every: 500,
            keep: 2,
            license: String::new(),
        }
    }
}

impl TokenizerTraining {
    /// How pictures become training crops.
    pub fn transform(&self) -> Transform {
        let shortest = if self.resize == 0 {
            self.size
        } else {
            self.resize
        };
        Transform {
            size: self.size,
            resize: Resize::Shortest(shortest),
            enlarge: self.enlarge,
            crop: self.crop,
            flip: self.flip,
            filter: Filter::Lanczos,
        }
    }

    pub fn budget(&self) -> Budget {
        if self.minutes > 0.0 {
            Budget::Minutes(self.minutes)
        } else {
            Budget::Steps(self.steps)
        }
    }

    pub fn routine(&self) -> Routine {
        Routine {
            log_every: self.log_every,
            validate_every: self.validate_every,
            checkpoint_every: self.checkpoint_every,
            keep: self.keep,
        }
    }

    pub fn schedule(&self) -> LearningRate {
        LearningRate {
            peak: self.learning_rate,
            warmup: self.warmup_steps,
            end: self.final_learning_rate,
        }
    }

    /// The discriminator's shape.
    pub fn discriminator(&self) -> DiscriminatorConfig {
        DiscriminatorConfig {
            kind: DiscriminatorKind::Patch,
            norm: DiscriminatorNorm::Batch,
            channels: self.discriminator_channels,
            layers: self.discriminator_layers,
            size: self.size,
        }
    }

    /// Whether the discriminator takes part at this point.
    pub fn discriminator_active(&self, step: u64, progress: f64) -> bool {
        let start = self.discriminator_start;
        let reached = if start < 1.0 {
            progress >= start
        } else {
            step as f64 >= start
        };
        self.discriminator_weight > 0.0 && reached
    }
}

impl TokenizerRecipe {
    /// Says what is wrong with a recipe that cannot be followed, naming the setting.
    pub fn check(&self) -> Result<()> {
        self.network.check()?;
        if [self.network.in_channels, self.network.out_channels] != [3, 3] {
            return Err(Error::input(
                "in_channels and out_channels must be 3 to train on pictures",
            ));
        }
        let training = &self.training;
        training.transform().check()?;
        let factor = self.network.factor();
        if !training.size.is_multiple_of(factor) {
            return Err(Error::input(format!(
                "size is {}; it must be a multiple of {factor}, the downsampling factor of {} levels",
                training.size,
                self.network.levels()
            )));
        }
        check_range("steps", training.steps as f64, 1.0, 1e18)?;
        check_range("batch", training.batch as f64, 1.0, 1e6)?;
        check_range("log_every", training.log_every as f64, 1.0, 1e18)?;
        check_range("minutes", training.minutes, 0.0, 1e7)?;
        check_range("learning_rate", training.learning_rate, 0.0, 1.0)?;
        check_range(
            "final_learning_rate",
            training.final_learning_rate,
            0.0,
            1.0,
        )?;
        check_range("validation", training.validation, 0.0, 0.9)?;
        check_range(
            "discriminator_start",
            training.discriminator_start,
            0.0,
            1e18,
        )?;
        for (name, weight) in [
            ("codebook_weight", training.codebook_weight),
            ("perceptual_weight", training.perceptual_weight),
            ("discriminator_weight", training.discriminator_weight),
        ] {
            check_range(name, f64::from(weight), 0.0, 1e6)?;
        }
        self.check_discriminator()
    }

    fn check_discriminator(&self) -> Result<()> {
        let discriminator = self.training.discriminator();
        discriminator.check()?;
        if self.training.discriminator_weight > 0.0 {
            discriminator.check_size()?;
        }
        Ok(())
    }
}
