//! Tiny tokenizers and priors of drawn pictures: 16 × 16 pixels to 8 × 8 codes. Nothing is dropped out, because masks
//! come from a generator that all threads share, and what is learned must not depend on which tests run beside.

use crate::album::{SEED, SIZE, VALIDATION, album};
use crate::common::device;
use smalti::data::{Dataset, Kind};
use smalti::model::Model;
use smalti::prior::condition::{Condition, Conditioning, Fixed};
use smalti::prior::maker::SequenceMaker;
use smalti::prior::recipe::PriorNetwork;
use smalti::prior::source::ConditionSource;
use smalti::prior::squares::Cutter;
use smalti::prior::{self, CodeSet, ConditionKind, PriorJob, PriorRecipe, PriorTraining};
use smalti::tokenizer::{self, TokenizerConfig, TokenizerJob, TokenizerRecipe, TokenizerTraining};
use smalti::training::{Event, Observer, model_file};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// A prior, and what it was not trained on.
pub struct Learned {
    pub model: Model,
    /// The codes of pictures and their conditions.
    pub held_back: CodeSet,
    training: PriorTraining,
}

struct Quiet;

impl Observer for Quiet {
    fn event(&mut self, _: Event<'_>) {}

    fn interrupted(&self) -> bool {
        false
    }
}

/// The tokenizer of the pictures, trained once for all tests.
pub fn pictures() -> Model {
    static RUN: OnceLock<PathBuf> = OnceLock::new();
    let run = RUN.get_or_init(|| train_tokenizer("pictures", Kind::Pictures));
    load(run)
}

/// A tokenizer of what lies in a folder of the album.
pub fn tokenizer_of(name: &str, kind: Kind) -> Model {
    load(&train_tokenizer(name, kind))
}

fn load(run: &Path) -> Model {
    Model::load(&model_file(run).unwrap(), &device()).unwrap()
}

fn train_tokenizer(name: &str, kind: Kind) -> PathBuf {
    let channels = kind.channels();
    let mut training = TokenizerTraining {
        data: album().path(name),
        data_kind: kind.name(),
        steps: if kind == Kind::Pictures { 500 } else { 300 },
        size: SIZE as usize,
        batch: 16,
        learning_rate: 1e-3,
        warmup_steps: 20,
        kmeans_step: 30,
        perceptual: "none".into(),
        discriminator_weight: 0.0,
        validate_every: 0,
        checkpoint_every: 0,
        log_every: 100,
        seed: SEED,
        ..TokenizerTraining::default()
    };
    if let Kind::Labels { classes, .. } = kind {
        training.classes = classes;
    }
    let network = TokenizerConfig {
        resolution: SIZE as usize,
        in_channels: channels,
        out_channels: channels,
        channels: 32,
        channel_multipliers: vec![1, 1],
        z_channels: 32,
        codebook_size: 64,
        ..TokenizerConfig::default()
    };
    let out = album().path(&format!("tokenizer-{name}"));
    let job = TokenizerJob {
        recipe: TokenizerRecipe { network, training },
        out: out.clone(),
        resume: false,
        lpips: None,
    };
    tokenizer::train(job, &device(), &mut Quiet).unwrap();
    out
}

/// The settings of a prior of the album's pictures.
pub fn settings(condition: ConditionKind) -> PriorTraining {
    PriorTraining {
        data: album().path("pictures"),
        condition,
        condition_dropout: 0.1,
        steps: 600,
        size: SIZE as usize,
        validation: VALIDATION,
        batch: 32,
        learning_rate: 2e-3,
        warmup_steps: 50,
        validate_every: 0,
        checkpoint_every: 0,
        log_every: 100,
        seed: SEED,
        ..PriorTraining::default()
    }
}

/// Trains a prior; without a tokenizer of its own, the condition's pictures are read by that of the pictures.
pub fn learn(training: PriorTraining, condition_tokenizer: Option<Model>) -> Learned {
    let out = album().path(&format!("prior-{:?}", training.condition));
    let network = PriorNetwork {
        layers: 2,
        heads: 4,
        width: 64,
        embedding_dropout: 0.0,
        residual_dropout: 0.0,
        ..PriorNetwork::default()
    };
    let job = PriorJob {
        recipe: PriorRecipe {
            network,
            training: training.clone(),
        },
        tokenizer: pictures(),
        condition_tokenizer,
        out: out.clone(),
        resume: false,
    };
    prior::train(job, &device(), &mut Quiet).unwrap();
    let model = load(&out);
    let held_back = match training.crops {
        1 => CodeSet::load(&out.join("codes/validation.safetensors")).unwrap(),
        _ => crops(&model, &training),
    };
    Learned {
        model,
        held_back,
        training,
    }
}

/// Squares from all over the pictures that are held back; a training itself measures their middles.
fn crops(model: &Model, training: &PriorTraining) -> CodeSet {
    let dataset = Dataset::open(&training.data).unwrap();
    let (_, held_back) = dataset.split(training.validation, training.seed);
    let cutter = Cutter {
        transform: training.transform(),
        crops: training.crops,
        seed: training.seed,
        background: training.background,
        companions: None,
    };
    let (squares, bad) = cutter.cut(&held_back.items, 0).unwrap();
    assert!(bad.is_empty());
    let (config, _) = model.require_prior().unwrap();
    let maker = SequenceMaker {
        tokenizer: model,
        condition: &config.condition,
        condition_tokenizer: model,
        source: &ConditionSource::Picture,
        seed: training.seed,
    };
    maker.make(&squares).unwrap()
}

impl Learned {
    /// What pictures like the first `count` that are held back are drawn under.
    pub fn conditions(&self, count: usize) -> Vec<Arc<dyn Conditioning>> {
        let (config, _) = self.model.require_prior().unwrap();
        if let Condition::Coord(_) = config.condition {
            let fixed = |index: usize| -> Arc<dyn Conditioning> {
                Arc::new(Fixed(self.held_back.condition(index).to_vec()))
            };
            return (0..count).map(fixed).collect();
        }
        let grid = [config.rows, config.columns];
        let kind = self.training.condition;
        let held_back = album().held_back().into_iter().take(count);
        held_back
            .map(|(stem, truth)| {
                let given = album().given(kind, &stem, truth);
                let given = self.model.conditioning(&given, grid).unwrap();
                given.conditioning
            })
            .collect()
    }
}
