//! How a tokenizer is trained: every setting of stage 1 with its default.

use super::adversarial::AdversarialLoss;
use super::config::{Family, TokenizerConfig};
use super::discriminator::{DiscriminatorConfig, DiscriminatorKind, DiscriminatorNorm};
use super::quantizer::{CodeGradient, QuantizerStep};
use super::upkeep::UpkeepConfig;
use crate::data::{Crop, DepthForm, Filter, Kind, KindName, Resize, Transform};
use crate::error::{Error, Result};
use crate::ops::Precision;
use crate::training::settings::check_range;
use crate::training::{Budget, LearningRate, Routine};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The part of a run that may pass before vectors are quantised.
const UNQUANTIZED: f64 = 0.1;

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
    /// `straight-through` or `rotation`.
    pub code_gradient: CodeGradient,
    /// Train without quantisation for so many steps, at most a tenth of the run, then set the codes by k-means. 0
    /// quantises from the start.
    pub kmeans_step: u64,
    /// Of the moving averages that codes follow, per step.
    pub codebook_decay: f32,
    /// Codes chosen less often than this share of an even use move to new places; 0 leaves dead codes dead.
    pub restart_below: f32,
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

    /// The settings that are numbers, with the least and the most each may be.
    fn ranges(&self) -> Vec<(&'static str, f64, f64, f64)> {
        const MANY: f64 = 1e18;
        let weight = |name, value: f32| (name, f64::from(value), 0.0, 1e6);
        vec![
            ("steps", self.steps as f64, 1.0, MANY),
            ("minutes", self.minutes, 0.0, 1e7),
            ("batch", self.batch as f64, 1.0, 1e6),
            ("log_every", self.log_every as f64, 1.0, MANY),
            ("learning_rate", self.learning_rate, 0.0, 1.0),
            ("final_learning_rate", self.final_learning_rate, 0.0, 1.0),
            ("validation", self.validation, 0.0, 0.9),
            ("weight_average", self.weight_average, 0.0, 0.999_999),
            ("codebook_decay", f64::from(self.codebook_decay), 0.0, 1.0),
            ("restart_below", f64::from(self.restart_below), 0.0, 1.0),
            ("temperature", f64::from(self.temperature), 1e-6, 1e3),
            (
                "final_temperature",
                f64::from(self.final_temperature),
                1e-6,
                1e3,
            ),
            ("kl_warmup", self.kl_warmup, 0.0, MANY),
            ("discriminator_start", self.discriminator_start, 0.0, MANY),
            ("discriminator_warmup", self.discriminator_warmup, 0.0, MANY),
            ("discriminator_ramp", self.discriminator_ramp, 0.0, MANY),
            ("r1_every", self.r1_every as f64, 1.0, MANY),
            weight("gradient_clip", self.gradient_clip),
            weight("codebook_weight", self.codebook_weight),
            weight("entropy_weight", self.entropy_weight),
            weight("l1_weight", self.l1_weight),
            weight("l2_weight", self.l2_weight),
            weight("perceptual_weight", self.perceptual_weight),
            weight("discriminator_weight", self.discriminator_weight),
            weight("lambda_max", self.lambda_max),
            weight("lecam_weight", self.lecam_weight),
            weight("r1_weight", self.r1_weight),
        ]
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

    /// What is particular about step `step` (from 0), when `progress` (0 to 1) of the run is over.
    pub fn plan(&self, step: u64, progress: f64) -> StepPlan {
        // How many steps there will be, as far as is known now; rounding must not put a join off by a step.
        let total = if progress > 0.0 {
            step as f64 / progress
        } else {
            f64::MAX
        };
        let in_steps = |value: f64| if value < 1.0 { value * total } else { value };
        let since = step as f64 - in_steps(self.discriminator_start) + 1e-6;
        let wanted = self.discriminator_weight > 0.0;
        let rise = |since: f64, length: f64| {
            if length > 0.0 {
                (since / length).clamp(0.0, 1.0)
            } else {
                f64::from(u8::from(since >= 0.0))
            }
        };
        let felt = rise(since, in_steps(self.discriminator_ramp));
        let divergence = rise(step as f64, in_steps(self.kl_warmup));
        let fall = 0.5 * (1.0 + (std::f64::consts::PI * progress.clamp(0.0, 1.0)).cos()) as f32;
        StepPlan {
            step,
            learning_rate: self.schedule().at(step, progress),
            discriminator: wanted && since + in_steps(self.discriminator_warmup) >= 0.0,
            adversarial: if wanted { felt as f32 } else { 0.0 },
            quantizer: QuantizerStep {
                gradient: self.code_gradient,
                temperature: self.final_temperature
                    + (self.temperature - self.final_temperature) * fall,
                divergence: divergence as f32,
                entropy_weight: self.entropy_weight,
                bypass: step < self.kmeans_step && progress < UNQUANTIZED,
                seed: self.seed ^ (step + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            },
        }
    }
}

/// What is particular about one step.
#[derive(Debug, Clone, Copy)]
pub struct StepPlan {
    /// From 0.
    pub step: u64,
    pub learning_rate: f64,
    /// Whether the discriminator trains.
    pub discriminator: bool,
    /// How much of the adversarial loss the decoder feels, 0 to 1.
    pub adversarial: f32,
    pub quantizer: QuantizerStep,
}

/// Which part of a tokenizer is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trained {
    All,
    Decoder,
}

impl TokenizerRecipe {
    /// Says what is wrong with a recipe that cannot be followed, naming the setting.
    pub fn check(&self) -> Result<()> {
        self.network.check()?;
        if self.network.family == Family::Dalle {
            return Err(Error::input(
                "DALL-E's tokenizer can be used, but not trained: its pictures are not what its last convolution gives",
            ));
        }
        if self.network.used_codes > 0 && self.training.train == Trained::All {
            return Err(Error::input(
                "used_codes renumbers a finished codebook: only the decoder can be trained on (train=decoder)",
            ));
        }
        self.check_kind()?;
        self.check_colours()?;
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
        for (name, value, low, high) in training.ranges() {
            check_range(name, value, low, high)?;
        }
        if training.train == Trained::Decoder && training.init_from.as_os_str().is_empty() {
            return Err(Error::input(
                "train is decoder: say with init_from (--init-from) whose encoder and codebook it belongs to",
            ));
        }
        self.check_discriminator()
    }

    /// Networks fit what they are shown, and losses what they compare.
    fn check_kind(&self) -> Result<()> {
        let training = &self.training;
        let channels = training.kind()?.channels();
        let network = [self.network.in_channels, self.network.out_channels];
        if network != [channels; 2] {
            return Err(Error::input(format!(
                "in_channels and out_channels are {network:?}; {} have {channels}: set both to {channels}",
                training.data_kind.label()
            )));
        }
        let adversarial = training.discriminator_weight > 0.0;
        if training.data_kind == KindName::Labels && (adversarial || training.perceptual != "none")
        {
            return Err(Error::input(
                "label maps are learned by cross-entropy alone: set perceptual to none and discriminator_weight to 0",
            ));
        }
        Ok(())
    }

    /// A tokenizer without networks has nothing that a loss could move.
    fn check_colours(&self) -> Result<()> {
        let training = &self.training;
        if self.network.family != Family::Colours {
            return Ok(());
        }
        if training.discriminator_weight > 0.0 {
            return Err(Error::input(
                "colours are found by k-means, not against a discriminator: set discriminator_weight to 0",
            ));
        }
        if training.train == Trained::Decoder {
            return Err(Error::input(
                "train is decoder, but colours are all there is to this tokenizer: set it to all",
            ));
        }
        Ok(())
    }

    fn check_discriminator(&self) -> Result<()> {
        let discriminator = self.training.discriminator_config();
        discriminator.check()?;
        if self.training.discriminator_weight > 0.0 {
            discriminator.check_size()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::config::QuantizerKind;

    fn training() -> TokenizerTraining {
        TokenizerTraining {
            discriminator_start: 0.5,
            discriminator_warmup: 0.2,
            discriminator_ramp: 0.1,
            ..TokenizerTraining::default()
        }
    }

    fn at(training: &TokenizerTraining, step: u64) -> (bool, f32) {
        let plan = training.plan(step, step as f64 / 60.0);
        (plan.discriminator, plan.adversarial)
    }

    #[test]
    fn the_discriminator_learns_alone_and_then_gains_weight() {
        let fractions = training();
        let steps = TokenizerTraining {
            discriminator_start: 30.0,
            discriminator_warmup: 12.0,
            discriminator_ramp: 6.0,
            ..training()
        };
        for training in [fractions, steps] {
            assert_eq!(at(&training, 17), (false, 0.0));
            assert_eq!(at(&training, 18), (true, 0.0));
            assert_eq!(at(&training, 29), (true, 0.0));
            let (_, felt) = at(&training, 33);
            assert!((felt - 0.5).abs() < 1e-5, "{felt}");
            assert_eq!(at(&training, 36), (true, 1.0));
        }
    }

    #[test]
    fn it_joins_at_once_where_nothing_else_is_said() {
        let training = TokenizerTraining {
            discriminator_warmup: 0.0,
            discriminator_ramp: 0.0,
            ..training()
        };
        assert_eq!(at(&training, 29), (false, 0.0));
        assert_eq!(at(&training, 30), (true, 1.0));
        let never = TokenizerTraining {
            discriminator_weight: 0.0,
            ..training
        };
        assert_eq!(at(&never, 50), (false, 0.0));
    }

    #[test]
    fn gumbel_softmax_becomes_hard_and_its_divergence_gains_weight() {
        let of = |kl_warmup: f64, step: u64| {
            let training = TokenizerTraining {
                kl_warmup,
                ..TokenizerTraining::default()
            };
            let quantizer = training.plan(step, step as f64 / 60.0).quantizer;
            (quantizer.temperature, quantizer.divergence)
        };
        for kl_warmup in [0.2, 12.0] {
            assert_eq!(of(kl_warmup, 0), (1.0, 0.0));
            assert!((of(kl_warmup, 3).1 - 0.25).abs() < 1e-5);
            assert_eq!(of(kl_warmup, 12).1, 1.0);
        }
        assert_eq!(of(0.0, 0).1, 1.0);
        let (middle, end) = (of(0.0, 30).0, of(0.0, 60).0);
        assert!((middle - 17.0 / 32.0).abs() < 1e-6, "{middle}");
        assert!((end - 1.0 / 16.0).abs() < 1e-6, "{end}");
    }

    #[test]
    fn colours_have_no_adversary_and_no_decoder() {
        let mut recipe = TokenizerRecipe {
            network: TokenizerConfig {
                family: Family::Colours,
                channel_multipliers: vec![1],
                embed_dim: 3,
                quantizer: QuantizerKind::Ema,
                ..TokenizerConfig::default()
            },
            training: TokenizerTraining::default(),
        };
        let message = |recipe: &TokenizerRecipe| recipe.check().unwrap_err().to_string();
        assert!(message(&recipe).contains("discriminator_weight to 0"));
        recipe.training.discriminator_weight = 0.0;
        recipe.check().unwrap();
        recipe.training.train = Trained::Decoder;
        recipe.training.init_from = "model".into();
        assert!(message(&recipe).contains("set it to all"));
    }

    #[test]
    fn vectors_pass_unquantised_for_a_tenth_of_the_run_at_most() {
        let training = TokenizerTraining {
            kmeans_step: 200,
            ..training()
        };
        let bypass = |step: u64| training.plan(step, step as f64 / 60.0).quantizer.bypass;
        assert!(bypass(0) && bypass(5) && !bypass(6));
        let long = |step: u64| training.plan(step, step as f64 / 1e6).quantizer.bypass;
        assert!(long(199) && !long(200));
    }
}
