//! How a prior is trained: every setting of stage 2 with its default.

use super::condition::TextPrefix;
use super::condition::layout::Places;
use super::config::PriorConfig;
use super::network::{Architecture, Prior};
use super::order::ScanOrder;
use super::pixelsnail::PixelSnailConfig;
use crate::data::{Resize, Transform};
use crate::error::{Error, Result};
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
    Coord,
    Segmentation,
    Depth,
    Edges,
    Pose,
    Lowres,
    Layout,
    Text,
}

/// The networks a training can be asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkKind {
    #[default]
    Gpt,
    PixelSnail,
}

/// The part of [`PriorConfig`] that a person chooses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PriorNetwork {
    /// `gpt` or `pixelsnail`.
    pub network: NetworkKind,
    /// Of a PixelSNAIL, its blocks; the heads are those of its attention, and the width is its channels.
    pub layers: usize,
    pub heads: usize,
    pub width: usize,
    /// PixelSNAIL: residual blocks in each block, the width of its attention and the side of its causal kernels.
    pub residual_blocks: usize,
    pub attention_width: usize,
    pub kernel: usize,
    pub embedding_dropout: f64,
    pub residual_dropout: f64,
    pub attention_dropout: f64,
    /// In which order the codes of a picture follow each other: `raster`, `subsample`, `z-curve`, `spiral-out`,
    /// `spiral-in`, `alternate` or `random`.
    pub order: ScanOrder,
    /// Whether the positions of the condition see each other in both directions.
    pub unmasked_condition: bool,
}

impl Default for PriorNetwork {
    fn default() -> Self {
        let config = PriorConfig::default();
        let pixelsnail = PixelSnailConfig::default();
        Self {
            network: NetworkKind::Gpt,
            layers: config.layers,
            heads: config.heads,
            width: config.width,
            residual_blocks: pixelsnail.residual_blocks,
            attention_width: pixelsnail.attention_width,
            kernel: pixelsnail.kernel,
            embedding_dropout: 0.1,
            residual_dropout: 0.1,
            attention_dropout: 0.0,
            order: ScanOrder::Raster,
            unmasked_condition: false,
        }
    }
}

impl PriorNetwork {
    /// The network, with what only that one has.
    pub fn architecture(&self) -> Architecture {
        match self.network {
            NetworkKind::Gpt => Architecture::Gpt,
            NetworkKind::PixelSnail => Architecture::PixelSnail(PixelSnailConfig {
                residual_blocks: self.residual_blocks,
                attention_width: self.attention_width,
                kernel: self.kernel,
            }),
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
    /// What the condition is made from: a folder of label maps, depth or other pictures under the names of the pictures;
    /// annotations of objects; or a table of captions (without one, the text files beside the pictures).
    pub condition_data: PathBuf,
    /// The tokenizer of the condition's pictures, a model file or a run folder; without one, pictures are read by
    /// `tokenizer`.
    pub condition_tokenizer: PathBuf,
    /// The side, in pixels, that the condition's pictures are brought to before they become codes; 0 leaves them.
    pub condition_size: usize,
    /// Probability with which a picture is learned without its condition, so that samples can be guided.
    pub condition_dropout: f64,
    /// Lowres: how many times smaller.
    pub lowres_factor: usize,
    /// Layout: `boxes` or `centers`; the most objects of a picture; how many tokens there are for them, 0 being as many
    /// as codes, or more if categories need more; and whether tokens say which part of the picture is seen, and which objects are groups.
    pub layout_places: Places,
    pub layout_objects: usize,
    pub layout_tokens: usize,
    pub layout_crop: bool,
    pub layout_groups: bool,
    /// Text: the folder of the encoder, and how many vectors stand before the codes.
    pub text_encoder: PathBuf,
    pub text_vectors: usize,
    /// How long to train: steps, unless `minutes` is above 0.
    pub steps: u64,
    pub minutes: f64,
    /// Side of the square crops, in pixels; 0 takes the tokenizer's training size.
    pub size: usize,
    /// The shorter side is brought to this before the crop; 0 means `size`.
    pub resize: usize,
    /// Squares that are taken of each picture: one is its middle, more are at random places.
    pub crops: usize,
    /// Enlarge pictures that are smaller than `size`; without it they are skipped.
    pub enlarge: bool,
    /// Also train on the mirrored pictures.
    pub flip: bool,
    pub background: [u8; 3],
    pub validation: f64,
    pub batch: usize,
    /// Send at most this many of them through the network at once, to save memory; 0 sends all.
    pub micro_batch: usize,
    /// Keep of every block of a GPT only what it reads, and run it again for its gradients: less memory, more time. The
    /// step stays the same but for the masks of dropout.
    pub checkpoint_blocks: bool,
    pub learning_rate: f64,
    pub warmup_steps: u64,
    pub final_learning_rate: f64,
    /// AdamW's decay of the layers' weights.
    pub weight_decay: f32,
    /// Gradients longer than this are shortened to it; 0 leaves them.
    pub gradient_clip: f32,
    /// Decay of the moving average of the weights that is measured, shown and saved; 0 takes the weights as they are.
    pub weight_average: f64,
    /// Stop after so many measurements of the validation split without a better one, and keep the best model as
    /// `best.safetensors`; 0 goes on to the end.
    pub patience: u64,
    /// Probability with which an input code is kept; the others are replaced by random codes (the authors' `pkeep`).
    pub pkeep: f64,
    /// What the products of linear layers are made of, `f32` or `bf16`.
    pub precision: Precision,
    pub seed: u64,
    pub log_every: u64,
    pub validate_every: u64,
    pub checkpoint_every: u64,
    /// A checkpoint is also written when so many minutes have passed since the last one; 0 counts steps alone.
    pub checkpoint_minutes: f64,
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
            condition_data: PathBuf::new(),
            condition_tokenizer: PathBuf::new(),
            condition_size: 0,
            condition_dropout: 0.0,
            lowres_factor: 4,
            layout_places: Places::Boxes,
            layout_objects: 30,
            layout_tokens: 0,
            layout_crop: true,
            layout_groups: true,
            text_encoder: PathBuf::new(),
            text_vectors: TextPrefix::VECTORS,
            steps: 3000,
            minutes: 0.0,
            size: 0,
            resize: 0,
            crops: 1,
            enlarge: false,
            flip: true,
            background: [255, 255, 255],
            validation: 0.05,
            batch: 16,
            micro_batch: 0,
            checkpoint_blocks: false,
            learning_rate: 5e-4,
            warmup_steps: 100,
            final_learning_rate: 0.1,
            weight_decay: 0.01,
            gradient_clip: 0.0,
            weight_average: 0.0,
            patience: 0,
            pkeep: 1.0,
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

impl PriorTraining {
    /// How pictures become crops to tokenise.
    pub fn transform(&self) -> Transform {
        let shortest = if self.resize == 0 {
            self.size
        } else {
            self.resize
        };
        Transform {
            resize: Resize::Shortest(shortest),
            ..Transform::middle(self.size, self.enlarge)
        }
    }

    /// How many sequences a picture becomes.
    pub fn sequences_per_picture(&self) -> usize {
        self.crops.max(1) * if self.flip { 2 } else { 1 }
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

    /// The authors' AdamW: betas 0.9 and 0.95, decay of the weights of layers only.
    pub fn adam(&self, network: &Architecture) -> AdamConfig {
        AdamConfig {
            beta1: 0.9,
            beta2: 0.95,
            epsilon: 1e-8,
            weight_decay: self.weight_decay,
            decays: Prior::decays(network),
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
        check_range("checkpoint_minutes", training.checkpoint_minutes, 0.0, 1e7)?;
        check_range("learning_rate", training.learning_rate, 0.0, 1.0)?;
        check_range(
            "final_learning_rate",
            training.final_learning_rate,
            0.0,
            1.0,
        )?;
        check_range("weight_decay", f64::from(training.weight_decay), 0.0, 1e3)?;
        check_range("gradient_clip", f64::from(training.gradient_clip), 0.0, 1e6)?;
        check_range("weight_average", training.weight_average, 0.0, 0.999_999)?;
        check_range("validation", training.validation, 0.0, 0.9)?;
        check_range("crops", training.crops as f64, 1.0, 1e4)?;
        check_range("condition_dropout", training.condition_dropout, 0.0, 0.999)?;
        check_range("pkeep", training.pkeep, 0.0, 1.0)?;
        if training.condition_dropout > 0.0 && training.condition == ConditionKind::None {
            return Err(Error::input(
                "condition_dropout is set, but there is no condition to leave out: choose one with --condition",
            ));
        }
        if training.patience > 0 && (training.validation <= 0.0 || training.validate_every == 0) {
            return Err(Error::input(
                "patience is set, but nothing is measured: set validation and validate_every above 0",
            ));
        }
        match self.network.network {
            NetworkKind::Gpt => Ok(()),
            NetworkKind::PixelSnail => self.check_pixelsnail(),
        }
    }

    /// What a PixelSNAIL cannot do, as far as it can be known without data.
    fn check_pixelsnail(&self) -> Result<()> {
        let refused = |setting: &str, reason: &str| {
            Err(Error::input(format!(
                "{setting} does not go with network pixelsnail: {reason}"
            )))
        };
        if !self.network.order.is_raster() {
            return refused("order", "it reads codes row by row; leave it at raster");
        }
        if self.network.unmasked_condition {
            return refused("unmasked_condition", "it sees all of its condition anyway");
        }
        if self.training.precision != Precision::F32 {
            return refused("precision", "it computes in f32 only");
        }
        if self.training.checkpoint_blocks {
            return refused(
                "checkpoint_blocks",
                "only the blocks of a gpt can run again; set micro_batch to save memory",
            );
        }
        match self.training.condition {
            ConditionKind::Layout => refused("condition layout", "it reads a class or a grid"),
            ConditionKind::Text => refused("condition text", "it reads a class or a grid"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::settings::{Settings, set_from_argument, set_from_text, to_yaml};

    #[track_caller]
    fn refused(settings: &[&str], words: &str) {
        let mut recipe = PriorRecipe::default();
        for setting in settings {
            let groups: &mut [&mut dyn Settings] = &mut [&mut recipe.network, &mut recipe.training];
            set_from_argument(groups, setting).unwrap();
        }
        let message = recipe.check().unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        PriorRecipe::default().check().unwrap();
        refused(&["condition_dropout=0.1"], "no condition to leave out");
        refused(&["patience=3", "validation=0"], "nothing is measured");
        refused(&["crops=0"], "crops is 0");
        refused(&["weight_average=1"], "weight_average is 1");
        for setting in [
            "order=spiral-in",
            "unmasked_condition=true",
            "precision=bf16",
            "checkpoint_blocks=true",
            "condition=layout",
            "condition=text",
        ] {
            refused(&["network=pixelsnail", setting], "network pixelsnail");
        }
    }

    #[test]
    fn one_crop_is_the_middle_of_the_scaled_picture() {
        let training = PriorTraining {
            size: 64,
            ..PriorTraining::default()
        };
        assert_eq!(training.transform(), Transform::middle(64, false));
        assert_eq!(training.sequences_per_picture(), 2);
        let several = PriorTraining {
            resize: 96,
            crops: 5,
            flip: false,
            ..training
        };
        assert_eq!(several.transform().resize, Resize::Shortest(96));
        assert_eq!(several.sequences_per_picture(), 5);
    }

    #[test]
    fn every_condition_can_be_set() {
        for name in [
            "coord",
            "segmentation",
            "depth",
            "edges",
            "pose",
            "lowres",
            "layout",
            "text",
        ] {
            let mut training = PriorTraining::default();
            set_from_argument(&mut [&mut training], &format!("condition={name}")).unwrap();
            set_from_argument(&mut [&mut training], "layout_places=centers").unwrap();
            assert_ne!(training.condition, ConditionKind::None);
            let network = PriorNetwork {
                order: ScanOrder::SpiralIn,
                ..PriorNetwork::default()
            };
            let yaml = to_yaml(&[&network, &training]).unwrap();
            let mut read = PriorRecipe::default();
            set_from_text(&mut [&mut read.network, &mut read.training], &yaml).unwrap();
            assert_eq!(read, PriorRecipe { network, training });
        }
    }
}
