//! `smalti train tokenizer` and `smalti train prior`.

use crate::progress::{self, TrainingView};
use crate::{Common, models, output};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use smalti::checkpoint::foreign;
use smalti::data::Dataset;
use smalti::prior::{self, PriorJob, PriorRecipe, train::ConditionKind};
use smalti::tokenizer::train::perceptual_file;
use smalti::tokenizer::{self, Lpips, TokenizerJob, TokenizerRecipe};
use smalti::training::settings::{Settings, set_from_argument, set_from_file};
use smalti::training::{Budget, Run};
use smalti::{Error, Result, weights};
use std::path::PathBuf;

#[derive(Subcommand)]
pub enum Train {
    /// Stage 1: learn a codebook of picture parts
    ///
    /// Example: smalti train tokenizer --data photos --minutes 20 --out runs/photos
    Tokenizer(TrainTokenizer),
    /// Stage 2: learn how codes compose
    ///
    /// Example: smalti train prior --tokenizer runs/photos --data photos --minutes 20 --out runs/prior
    Prior(TrainPrior),
}

impl Train {
    pub fn run(self, common: &Common) -> Result<()> {
        match self {
            Self::Tokenizer(command) => command.run(common),
            Self::Prior(command) => command.run(common),
        }
    }
}

/// What both stages are told the same way.
#[derive(Args)]
struct Training {
    /// A folder of pictures (sub-folder = class), or a list file
    #[arg(long)]
    data: Option<PathBuf>,
    /// A YAML file of settings; a run's own config.yaml works
    #[arg(long)]
    config: Option<PathBuf>,
    /// One setting, as key=value; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Train this many steps [default: 3000]
    #[arg(long, group = "budget")]
    steps: Option<u64>,
    /// Go this many times through the data
    #[arg(long, group = "budget")]
    epochs: Option<f64>,
    /// Train this many minutes
    #[arg(long, group = "budget")]
    minutes: Option<f64>,
    /// The run folder to create
    #[arg(long, default_value = "run", conflicts_with = "resume")]
    out: PathBuf,
    /// Continue this run folder, with its own settings
    #[arg(long, value_name = "RUN", conflicts_with = "config")]
    resume: Option<PathBuf>,
}

impl Training {
    /// The run folder, and whether it is continued.
    fn run_folder(&self) -> (PathBuf, bool) {
        match &self.resume {
            Some(run) => (run.clone(), true),
            None => (self.out.clone(), false),
        }
    }

    /// Lays the run's own settings or `--config`, then `--set`, over the defaults.
    fn apply(&self, groups: &mut [&mut dyn Settings]) -> Result<()> {
        if let Some(run) = &self.resume {
            set_from_file(groups, &Run::open(run)?.config())?;
        }
        if let Some(config) = &self.config {
            set_from_file(groups, config)?;
        }
        for setting in &self.settings {
            set_from_argument(groups, setting)?;
        }
        Ok(())
    }

    fn data(&self) -> Result<PathBuf> {
        self.data
            .clone()
            .ok_or_else(|| Error::input("say with --data which folder of pictures to train on"))
    }

    fn budget(&self, batch: usize) -> Result<Budget> {
        let budget = match (self.steps, self.epochs, self.minutes) {
            (Some(steps), _, _) => Budget::Steps(steps),
            (_, Some(epochs), _) if epochs > 0.0 => {
                let pictures = Dataset::open(&self.data()?)?.items.len() as f64;
                Budget::Steps((epochs * pictures / batch.max(1) as f64).ceil() as u64)
            }
            (_, _, Some(minutes)) if minutes > 0.0 => Budget::Minutes(minutes),
            (None, None, None) => Budget::Steps(3000),
            _ => return Err(Error::input("--epochs and --minutes must be above 0")),
        };
        Ok(budget)
    }
}

#[derive(Args)]
pub struct TrainTokenizer {
    #[command(flatten)]
    training: Training,
    /// The perceptual loss: vgg, alex, none, or a file of LPIPS weights
    #[arg(long)]
    perceptual: Option<String>,
    /// The seed of everything random
    #[arg(long)]
    seed: Option<u64>,
}

impl TrainTokenizer {
    fn run(self, common: &Common) -> Result<()> {
        let mut recipe = TokenizerRecipe::default();
        self.training
            .apply(&mut [&mut recipe.network, &mut recipe.training])?;
        if let Some(perceptual) = &self.perceptual {
            recipe.training.perceptual = perceptual.clone();
        }
        if let Some(seed) = self.seed {
            recipe.training.seed = seed;
        }
        recipe.check()?;
        let data = self.training.data()?;
        // A folder that does not exist should be heard of before a network is downloaded.
        Dataset::open(&data)?;
        let (out, resume) = self.training.run_folder();
        let job = TokenizerJob {
            lpips: load_lpips(&recipe.training.perceptual, common)?,
            budget: self.training.budget(recipe.training.batch)?,
            recipe,
            data,
            out: out.clone(),
            resume,
        };
        let model = tokenizer::train(job, &models::device(), &mut TrainingView::tokenizer(common))?;
        finish(common, "tokenizer", &out, model.info.step);
        Ok(())
    }
}

fn load_lpips(setting: &str, common: &Common) -> Result<Option<Lpips>> {
    let locate = |name: &str| {
        let bar = progress::bar(common, 0, "bytes");
        weights::fetch::locate(name, &mut |progress| {
            bar.set_length(progress.total.unwrap_or(progress.received));
            bar.set_position(progress.received);
        })
    };
    let Some(file) = perceptual_file(setting, locate)? else {
        return Ok(None);
    };
    let tensors = foreign::read(&file)?.tensors;
    let lpips = Lpips::new(&tensors, &models::device());
    lpips
        .map(Some)
        .map_err(|error| Error::file(&file, error.to_string()))
}

#[derive(Clone, Copy, ValueEnum)]
enum ConditionName {
    None,
    Class,
}

#[derive(Args)]
pub struct TrainPrior {
    #[command(flatten)]
    training: Training,
    /// The tokenizer: a model file or a run folder
    #[arg(long)]
    tokenizer: PathBuf,
    /// What the prior is conditioned on
    #[arg(long, value_enum, default_value = "none")]
    condition: ConditionName,
    /// The seed of everything random
    #[arg(long)]
    seed: Option<u64>,
}

impl TrainPrior {
    fn run(self, common: &Common) -> Result<()> {
        let mut recipe = PriorRecipe::default();
        self.training
            .apply(&mut [&mut recipe.network, &mut recipe.training])?;
        if let Some(seed) = self.seed {
            recipe.training.seed = seed;
        }
        recipe.check()?;
        let data = self.training.data()?;
        let (out, resume) = self.training.run_folder();
        let job = PriorJob {
            budget: self.training.budget(recipe.training.batch)?,
            recipe,
            tokenizer: models::load(&self.tokenizer)?,
            condition: match self.condition {
                ConditionName::None => ConditionKind::None,
                ConditionName::Class => ConditionKind::Class,
            },
            data,
            out: out.clone(),
            resume,
        };
        let model = prior::train(job, &models::device(), &mut TrainingView::prior(common))?;
        finish(common, "prior", &out, model.info.step);
        Ok(())
    }
}

fn finish(common: &Common, stage: &str, run: &std::path::Path, step: u64) {
    let run = run.display().to_string();
    output::print(
        common,
        json!({"stage": stage, "run": run, "step": step}),
        || {
            let next = match stage {
                "tokenizer" => format!(
                    "look at {run}/images, or try: smalti reconstruct --model {run} PICTURE --out DIR"
                ),
                _ => format!(
                    "look at {run}/images, or try: smalti sample --model {run} -n 16 --out DIR"
                ),
            };
            vec![format!("{stage} at step {step} in {run}"), next]
        },
    );
}
