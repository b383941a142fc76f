//! How a prior is trained: every setting of stage 2 with its default.

use super::config::PriorConfig;
use crate::data::Transform;
use crate::error::Result;
use crate::ops::Precision;
use crate::training::settings::check_range;
use crate::training::{AdamConfig, Budget, LearningRate, Routine};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The network and its training. The grid, the vocabulary, the block size and the condition come from tokenizer and data.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PriorRecipe {
    pub network: PriorNetwork,
    pub training: PriorTraining,
}

/// The kinds of condition a training can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConditionKind {
    None,
    Class,
}

/// The part of [`PriorConfig`] that a person chooses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PriorNetwork {
    pub layers: usize,
    pub heads: usize,
    pub width: usize,
    pub embedding_dropout: f64,
    pub residual_dropout: f64,
    pub attention_dropout: f64,
}

impl Default for PriorNetwork {
    fn default() -> Self {
        let config = PriorConfig::default();
        Self {
            layers: config.layers,
            heads: config.heads,
            width: config.width,
            embedding_dropout: 0.1,
            residual_dropout: 0.1,
            attention_dropout: 0.0,
        }
    }
}

/// The settings of a stage-2 training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PriorTraining {
    /// A folder of pictures or a list file.
    pub data: PathBuf,
    /// The tokenizer: a model file or a run folder.
    pub tokenizer: PathBuf,
    pub condition: ConditionKind,
    /// How long to train: steps, unless `minutes` is above 0.
    pub steps: u64,
    pub minutes: f64,
    /// Side of the square crops, in pixels; 0 takes the tokenizer's training size.
    pub size: usize,
    /// Enlarge pictures that are smaller than `size`; without it they are skipped.
    pub enlarge: bool,
    /// Also train on the mirrored pictures.
    pub flip: bool,
    pub background: [u8; 3],
    pub validation: f64,
    pub batch: usize,
    pub learning_rate: f64,
    pub warmup_steps: u64,
    pub final_learning_rate: f64,
    /// AdamW's decay of the linear layers' weights.
    pub weight_decay: f32,
    /// Probability with which an input code is kept; the others are replaced by random codes (the authors' `pkeep`).
    pub pkeep: f64,
    /// What the products of linear layers are made of, `f32` or `bf16`.
    pub precision: Precision,
    pub seed: u64,
    pub log_every: u64,
    pub validate_every: u64,
    pub checkpoint_every: u64,
    pub keep: usize,
    /// Said in the model's file, for those who get it.
    pub license: String,
}

impl Default for PriorTraining {
    fn default() -> Self {
        Self {
            data: PathBuf::new(),
            tokenizer: PathBuf::new(),
            condition: ConditionKind::None,
            steps: 3000,
            minutes: 0.0,
            size: 0,
            enlarge: false,
            flip: true,
            background: [255, 255, 255],
            validation: 0.05,
            batch: 16,
            learning_rate: 5e-4,
            warmup_steps: 100,
            final_learning_rate: 0.1,
            weight_decay: 0.01,
            pkeep: 1.0,
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

impl PriorTraining {
    /// How pictures become crops to tokenise.
    pub fn transform(&self) -> Transform {
        Transform::middle(self.size, self.enlarge)
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

    /// The authors' AdamW: betas 0.9 and 0.95, decay of linear weights only.
    pub fn adam(&self) -> AdamConfig {
        AdamConfig {
            beta1: 0.9,
            beta2: 0.95,
            epsilon: 1e-8,
            weight_decay: self.weight_decay,
            decays: super::gpt::Gpt::decays,
        }
    }
}

impl PriorRecipe {
    /// Says what is wrong with a recipe that cannot be followed, naming the setting.
    pub fn check(&self) -> Result<()> {
        let training = &self.training;
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
        check_range("weight_decay", f64::from(training.weight_decay), 0.0, 1e3)?;
        check_range("validation", training.validation, 0.0, 0.9)?;
        check_range("pkeep", training.pkeep, 0.0, 1.0)
    }
}
