//! How a tokenizer is trained: every setting of stage 1 with its default.

mod check;
mod step;

pub use step::StepPlan;

use super::adversarial::AdversarialLoss;
use super::config::{QuantizerKind, TokenizerConfig};
use super::discriminator::{DiscriminatorConfig, DiscriminatorKind, DiscriminatorNorm};
use super::quantizer::CodeGradient;
use super::upkeep::UpkeepConfig;
use crate::data::{Crop, DepthForm, Filter, Kind, KindName, Resize, Transform};
use crate::error::Result;
use crate::ops::Precision;
use crate::training::{Budget, LearningRate, Routine};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The network and its training. Its default is the preset `robust`, what `smalti train tokenizer` begins with.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenizerRecipe {
    pub network: TokenizerConfig,
    pub training: TokenizerTraining,
}

impl Default for TokenizerRecipe {
    /// What presets/robust.yaml says, and for the rest [`TokenizerRecipe::plain`].
    fn default() -> Self {
        Self {
            network: TokenizerConfig {
                quantizer: QuantizerKind::EmaL2,
                embed_dim: 16,
                ..TokenizerConfig::default()
            },
            training: TokenizerTraining {
                kmeans_step: 200,
                restart_below: 0.1,
                code_gradient: CodeGradient::Rotation,
                l1_weight: 2.0,
                learning_rate: 6e-4,
                warmup_steps: 100,
                final_learning_rate: 0.05,
                gradient_clip: 1.0,
                weight_average: 0.999,
                discriminator_start: 0.6,
                discriminator_warmup: 0.1,
                discriminator_ramp: 0.2,
                discriminator_weight: 0.1,
                lambda_max: 10.0,
                lecam_weight: 0.001,
                ..TokenizerTraining::default()
            },
        }
    }
}

impl TokenizerRecipe {
    /// No preset: a small network with unit-length codes that learn by gradient, and a training without anything that
    /// can be left out. It is what the settings that a file leaves out are, and what comparisons build on; to train a
    /// tokenizer, take the default.
    pub fn plain() -> Self {
        Self {
            network: TokenizerConfig::default(),
            training: TokenizerTraining::default(),
        }
    }

    /// Makes it the recipe of a training that starts from a model, with that model's network. A finished codebook is not
    /// set anew by k-means, and what its quantiser does not know is left out.
    pub fn start_from(&mut self, model: PathBuf, network: TokenizerConfig) {
        let training = &mut self.training;
        training.init_from = model;
        training.kmeans_step = 0;
        if !network.quantizer.has_rows() {
            training.restart_below = 0.0;
        }
        if !network.quantizer.has_entropy_loss() {
            training.entropy_weight = 0.0;
        }
        if !network.quantizer.takes_code_gradient() {
            training.code_gradient = CodeGradient::StraightThrough;
        }
        self.network = network;
    }
}

/// The settings of a stage-1 training. The authors' values where they are no burden on small machines; the defaults are
/// those of [`TokenizerRecipe::plain`], not of the preset `robust`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenizerTraining {
    /// A folder of pictures or a list file.
    pub data: PathBuf,
    /// What the pictures are: `pictures`, `labels` (label maps) or `depth`.
    pub data_kind: KindName,
    /// Label maps: how many labels there are, and the value of pixels that have none.
    pub classes: usize,
    pub ignore_value: Option<u16>,
    /// Depth: `grey`, `packed` (four bytes of RGBA are one number), or `auto`.
    pub depth_form: DepthForm,
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
    /// Pictures per step.
    pub batch: usize,
    /// Send at most this many of them through the network at once, to save memory; the step stays the same. 0 sends all.
    pub micro_batch: usize,
    /// A model whose weights it starts from, in place of random ones.
    pub init_from: PathBuf,
    /// `all`, or `decoder` to leave encoder and codebook, and so all codes, as they are.
    pub train: Trained,
    pub learning_rate: f64,
    pub warmup_steps: u64,
    /// The learning rate at the end, as a fraction of `learning_rate`; 1 keeps it constant.
    pub final_learning_rate: f64,
    /// Gradients longer than this are shortened to it, each network's for itself; 0 leaves them.
    pub gradient_clip: f32,
    /// Decay of the moving average of the weights that is measured, shown and saved; 0 takes the weights as they are.
    pub weight_average: f64,
    /// So many steps in a row may be left out because a loss or gradient was no number.
    pub skip_at_most: u64,
    pub codebook_weight: f32,
    /// `straight-through` or `rotation`. `gumbel`, `fsq` and `ibq` have an estimator of their own.
    pub code_gradient: CodeGradient,
    /// Train without quantisation for so many steps, at most a tenth of the run, then set the codes by k-means. 0
    /// quantises from the start. For quantisers whose codes are rows of their own, as `restart_below`.
    pub kmeans_step: u64,
    /// Of the moving averages that codes follow, per step.
    pub codebook_decay: f32,
    /// Codes chosen less often than this share of an even use move to new places; 0 leaves dead codes dead.
    pub restart_below: f32,
    /// Of the entropy loss; `gumbel` and `fsq` have none.
    pub entropy_weight: f32,
    /// Gumbel-softmax: the temperature falls from the first to the second along a cosine.
    pub temperature: f32,
    pub final_temperature: f32,
    /// Gumbel-softmax: for how long `kl_weight` rises from 0, along a line: below 1, a fraction of the run; from 1 on,
    /// steps.
    pub kl_warmup: f64,
    /// Weights of the mean absolute and the mean squared difference of pixels.
    pub l1_weight: f32,
    pub l2_weight: f32,
    /// `vgg`, `alex`, `none`, or a file of LPIPS weights.
    pub perceptual: String,
    pub perceptual_weight: f32,
    pub adversarial_loss: AdversarialLoss,
    pub discriminator: DiscriminatorKind,
    pub discriminator_norm: DiscriminatorNorm,
    pub discriminator_layers: usize,
    pub discriminator_channels: usize,
    /// When the decoder begins to feel the discriminator: below 1, a fraction of the run; from 1 on, a step.
    pub discriminator_start: f64,
    /// For how long before that the discriminator trains alone, and for how long its weight rises after it: below 1, a
    /// fraction of the run; from 1 on, steps.
    pub discriminator_warmup: f64,
    pub discriminator_ramp: f64,
    /// Weight of the adversarial loss, on top of λ; 0 trains without a discriminator.
    pub discriminator_weight: f32,
    /// The most that λ may become.
    pub lambda_max: f32,
    pub lecam_weight: f32,
    pub r1_weight: f32,
    /// R1 is taken in every so many steps only, and weighs as much more.
    pub r1_every: u64,
    /// Run the network a second time for the discriminator's step, after the autoencoder has moved, as the authors do.
    pub two_passes: bool,
    /// What products and activations are kept in, `f32` or `bf16`.
    pub precision: Precision,
    pub seed: u64,
    /// Steps between lines of the log, measurements of the validation split, and checkpoints.
    pub log_every: u64,
    pub validate_every: u64,
    pub checkpoint_every: u64,
    /// A checkpoint is also written when so many minutes have passed since the last one; 0 counts steps alone.
    pub checkpoint_minutes: f64,
    /// How many checkpoints to keep.
    pub keep: usize,
    /// Said in the model's file, for those who get it.
    pub license: String,
}

impl Default for TokenizerTraining {
    fn default() -> Self {
        Self {
            data: PathBuf::new(),
            data_kind: KindName::Pictures,
            classes: 0,
            ignore_value: None,
            depth_form: DepthForm::Auto,
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
            micro_batch: 0,
            init_from: PathBuf::new(),
            train: Trained::All,
            learning_rate: 4e-4,
            warmup_steps: 100,
            final_learning_rate: 0.1,
            gradient_clip: 0.0,
            weight_average: 0.0,
            skip_at_most: 5,
            codebook_weight: 1.0,
            code_gradient: CodeGradient::StraightThrough,
            kmeans_step: 0,
            codebook_decay: 0.99,
            restart_below: 0.0,
            entropy_weight: 0.0,
            temperature: 1.0,
            final_temperature: 1.0 / 16.0,
            kl_warmup: 0.0,
            l1_weight: 1.0,
            l2_weight: 0.0,
            perceptual: "vgg".into(),
            perceptual_weight: 1.0,
            adversarial_loss: AdversarialLoss::Hinge,
            discriminator: DiscriminatorKind::Patch,
            discriminator_norm: DiscriminatorNorm::Batch,
            discriminator_layers: 3,
            discriminator_channels: 64,
            discriminator_start: 0.5,
            discriminator_warmup: 0.0,
            discriminator_ramp: 0.0,
            discriminator_weight: 0.8,
            lambda_max: 1e4,
            lecam_weight: 0.0,
            r1_weight: 0.0,
            r1_every: 16,
            two_passes: false,
            precision: Precision::F32,
            seed: 0,
            log_every: 10,
            validate_every: 250,
            checkpoint_every: 500,
            checkpoint_minutes: 5.0,
            keep: 2,
            license: String::new(),
        }
    }
}

impl TokenizerTraining {
    /// What the pictures are.
    ///
    /// # Errors
    /// Label maps without a number of classes.
    pub fn kind(&self) -> Result<Kind> {
        Kind::new(
            self.data_kind,
            self.classes,
            self.ignore_value,
            self.depth_form,
        )
    }

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
            checkpoint_minutes: self.checkpoint_minutes,
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

    /// What the discriminator is made of, for pictures of `size`.
    pub fn discriminator_config(&self) -> DiscriminatorConfig {
        DiscriminatorConfig {
            kind: self.discriminator,
            norm: self.discriminator_norm,
            channels: self.discriminator_channels,
            layers: self.discriminator_layers,
            size: self.size,
        }
    }

    /// How codebooks are kept.
    pub fn upkeep(&self) -> UpkeepConfig {
        UpkeepConfig {
            decay: self.codebook_decay,
            restart_below: self.restart_below,
            seed: self.seed,
        }
    }
}

/// Which part of a tokenizer is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trained {
    All,
    Decoder,
}
