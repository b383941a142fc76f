//! `smalti train tokenizer` and `smalti train prior`; without a stage, both ([`whole`]). `smalti train classifier` is in a file
//! of its own.

mod whole;

use super::classifier::TrainClassifier;
use crate::progress::{Download, TrainingView};
use crate::{Common, models, output};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use smalti::checkpoint::foreign;
use smalti::data::Dataset;
use smalti::model::Model;
use smalti::prior::{self, ConditionKind, PriorJob, PriorRecipe, PriorTraining};
use smalti::tokenizer::train::perceptual_file;
use smalti::tokenizer::{self, Lpips, TokenizerJob, TokenizerRecipe, presets};
use smalti::training::settings::{Settings, set, set_from_argument, set_from_file};
use smalti::training::{Run, Trained};
use smalti::{Error, Result, weights};
use std::path::{Path, PathBuf};

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Train {
    #[command(subcommand)]
    stage: Option<Stage>,
    #[command(flatten)]
    whole: whole::TrainWhole,
}

#[derive(Subcommand)]
enum Stage {
    /// Stage 1: learn a codebook of picture parts
    ///
    /// Example: smalti train tokenizer --data photos --minutes 20 --out runs/photos
    Tokenizer(TrainTokenizer),
    /// Stage 2: learn how codes compose
    ///
    /// Example: smalti train prior --tokenizer runs/photos --data photos --minutes 20 --out runs/prior
    Prior(TrainPrior),
    /// What rates samples: a classifier of your own classes, from a folder with a folder of pictures for each
    ///
    /// Example: smalti train classifier --data photos --out photos.classifier
    Classifier(TrainClassifier),
}

impl Train {
    pub fn run(self, common: &Common) -> Result<()> {
        match self.stage {
            Some(Stage::Tokenizer(command)) => command.run(common),
            Some(Stage::Prior(command)) => command.run(common),
            Some(Stage::Classifier(command)) => command.run(common),
            None => self.whole.run(common),
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
    #[arg(long, group = "budget", value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,
    /// Go about this many times through the pictures
    #[arg(long, group = "budget")]
    epochs: Option<f64>,
    /// Train this many minutes
    #[arg(long, group = "budget")]
    minutes: Option<f64>,
    /// The seed of everything random
    #[arg(long)]
    seed: Option<u64>,
    /// The run folder to create
    #[arg(long, default_value = "run", conflicts_with = "resume")]
    out: PathBuf,
    /// Continue this run folder, with its own settings, from its newest checkpoint: there is one every 500 steps and
    /// every five minutes (checkpoint_every, checkpoint_minutes)
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

    /// Whether a setting of this name is among `--set`.
    fn says(&self, key: &str) -> bool {
        let mut pairs = self.settings.iter().filter_map(|said| said.split_once('='));
        pairs.any(|(said, _)| said.trim() == key)
    }

    /// Lays the run's own settings or `--config`, then `--set`, then the other options, over the defaults.
    fn apply(&self, common: &Common, groups: &mut [&mut dyn Settings]) -> Result<()> {
        if let Some(run) = &self.resume {
            set_from_file(groups, &Run::open(run)?.config())?;
        }
        if let Some(config) = &self.config {
            set_from_file(groups, config)?;
        }
        for setting in &self.settings {
            set_from_argument(groups, setting)?;
        }
        if let Some(data) = &self.data {
            set(groups, "data", &json!(data))?;
        }
        if let Some(seed) = self.seed {
            set(groups, "seed", &json!(seed))?;
        }
        if let Some(precision) = common.precision {
            set(groups, "precision", &json!(precision))?;
        }
        if let Some(steps) = self.steps {
            set(groups, "steps", &json!(steps))?;
            set(groups, "minutes", &json!(0.0))?;
        }
        if let Some(minutes) = self.minutes {
            if minutes.is_nan() || minutes <= 0.0 {
                return Err(Error::input("--minutes must be above 0"));
            }
            set(groups, "minutes", &json!(minutes))?;
        }
        Ok(())
    }

    /// The steps that `--epochs` stands for, if it is given: `pictures` of the data set are trained on.
    fn epochs(&self, data: &Path, validation: f64, seed: u64, batch: usize) -> Result<Option<u64>> {
        let Some(epochs) = self.epochs else {
            return Ok(None);
        };
        if !(epochs > 0.0 && epochs.is_finite()) {
            return Err(Error::input("--epochs must be above 0"));
        }
        let pictures = Dataset::open(data)?.split(validation, seed).0.len() as f64;
        Ok(Some(
            (epochs * pictures / batch as f64).ceil().max(1.0) as u64
        ))
    }
}

/// Opening the data shows what is wrong with it before a network is loaded or fetched.
fn check_data(data: &Path) -> Result<()> {
    if data.as_os_str().is_empty() {
        return Err(Error::input(
            "say with --data which folder of pictures to train on",
        ));
    }
    Dataset::open(data).map(|_| ())
}

#[derive(Args)]
struct TrainTokenizer {
    #[command(flatten)]
    training: Training,
    /// Presets, separated by commas: a method (robust, classic, fsq, simvq, vqvae, dvae, vqvae2), a size (tiny, small,
    /// base, imagenet), a downsampling factor (f4, f8, f16, f32); or colours, which has neither [default: robust]
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        conflicts_with = "resume"
    )]
    preset: Vec<String>,
    /// Start from the weights of this model, with its network
    #[arg(long, value_name = "MODEL", conflicts_with = "resume")]
    init_from: Option<PathBuf>,
    /// The perceptual loss: vgg, alex, none, or a file of LPIPS weights
    #[arg(long)]
    perceptual: Option<String>,
}

impl TrainTokenizer {
    /// The recipe that settings are laid over.
    fn base(&self, common: &Common) -> Result<TokenizerRecipe> {
        let mut recipe = TokenizerRecipe::plain();
        if self.training.resume.is_some() {
            // What a run's own settings do not say yet is without effect.
            return Ok(recipe);
        }
        let chosen: Vec<&str> = self.preset.iter().map(String::as_str).collect();
        presets::apply(&mut [&mut recipe.network, &mut recipe.training], &chosen)?;
        recipe.network.resolution = 0;
        if let Some(model) = &self.init_from {
            let network = models::load(model, common)?.tokenizer_config;
            recipe.start_from(model.clone(), network);
        }
        Ok(recipe)
    }

    fn run(self, common: &Common) -> Result<()> {
        let mut recipe = self.base(common)?;
        self.training
            .apply(common, &mut [&mut recipe.network, &mut recipe.training])?;
        let settings = &mut recipe.training;
        if recipe.network.resolution == 0 {
            // Nobody said for which size attention levels are meant: for that of the training pictures.
            recipe.network.resolution = settings.size;
        }
        if let Some(perceptual) = &self.perceptual {
            settings.perceptual = perceptual.clone();
        }
        check_data(&settings.data)?;
        let (validation, seed, batch) = (settings.validation, settings.seed, settings.batch.max(1));
        if let Some(steps) = self
            .training
            .epochs(&settings.data, validation, seed, batch)?
        {
            (settings.steps, settings.minutes) = (steps, 0.0);
        }
        recipe.check()?;
        let (out, resume) = self.training.run_folder();
        if !resume {
            Run::check_free(&out)?;
        }
        let job = TokenizerJob {
            lpips: load_lpips(&recipe.training.perceptual, common)?,
            recipe,
            out: out.clone(),
            resume,
        };
        let trained =
            tokenizer::train(job, &models::device(), &mut TrainingView::tokenizer(common))?;
        finish(common, "tokenizer", &out, &trained);
        Ok(())
    }
}

/// The perceptual network that a setting names, fetched if it is not here yet.
pub fn load_lpips(setting: &str, common: &Common) -> Result<Option<Lpips>> {
    let locate = |name: &str| {
        let mut download = Download::new(common);
        weights::fetch::locate(name, &mut |progress| download.show(&progress))
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
    /// Nothing
    None,
    /// The folder a picture lies in
    Class,
    /// Where in the picture a crop was taken
    Coord,
    /// A label map of the same name in --condition-data
    Segmentation,
    /// A depth map of the same name
    Depth,
    /// A picture of the edges, of the same name
    Edges,
    /// A picture of the people's skeletons, of the same name
    Pose,
    /// The picture itself with fewer pixels
    Lowres,
    /// Objects and their boxes, in annotations in the form of COCO or Open Images
    Layout,
    /// Captions in a table, or in text files beside the pictures
    Text,
}

impl ConditionName {
    fn kind(self) -> ConditionKind {
        match self {
            Self::None => ConditionKind::None,
            Self::Class => ConditionKind::Class,
            Self::Coord => ConditionKind::Coord,
            Self::Segmentation => ConditionKind::Segmentation,
            Self::Depth => ConditionKind::Depth,
            Self::Edges => ConditionKind::Edges,
            Self::Pose => ConditionKind::Pose,
            Self::Lowres => ConditionKind::Lowres,
            Self::Layout => ConditionKind::Layout,
            Self::Text => ConditionKind::Text,
        }
    }
}

#[derive(Args)]
struct TrainPrior {
    #[command(flatten)]
    training: Training,
    /// The tokenizer: a model file or a run folder
    #[arg(long)]
    tokenizer: Option<PathBuf>,
    /// What the prior is conditioned on [default: none]
    #[arg(long, value_enum)]
    condition: Option<ConditionName>,
    /// What the condition is made from: a folder of files with the names of the pictures, annotations, or captions
    #[arg(long, value_name = "PATH")]
    condition_data: Option<PathBuf>,
    /// The tokenizer of the condition's pictures: a model file or a run folder
    #[arg(long, value_name = "MODEL")]
    condition_tokenizer: Option<PathBuf>,
}

impl TrainPrior {
    /// The tokenizer of the pictures and that of the condition's, as far as they are named. A continued run has both in
    /// its checkpoint, wherever the originals are now; one that is named all the same is loaded to be compared with it.
    fn tokenizers(
        &self,
        training: &PriorTraining,
        out: &Path,
        common: &Common,
    ) -> Result<[Option<Model>; 2]> {
        let mut kept = match self.training.resume.is_some() {
            true => load_kept(out, common)?,
            false => None,
        };
        let own = kept.as_mut().and_then(|model| model.condition.take());
        let named = |path: &Path| (!path.as_os_str().is_empty()).then(|| path.to_path_buf());
        let tokenizer = match kept {
            Some(kept) if !self.names("tokenizer", self.tokenizer.as_ref()) => Some(kept),
            _ => named(&training.tokenizer)
                .map(|path| models::load_for_pictures(&path, common))
                .transpose()?,
        };
        let given = self.condition_tokenizer.as_ref();
        let of_condition = match own {
            Some(own) if !self.names("condition_tokenizer", given) => Some(*own),
            _ => named(&training.condition_tokenizer)
                .map(|path| models::load(&path, common))
                .transpose()?,
        };
        Ok([tokenizer, of_condition].map(|model| model.map(tokenizer_of)))
    }

    /// Whether a path is said by the option of its own or with `--set`.
    fn names(&self, setting: &str, given: Option<&PathBuf>) -> bool {
        given.is_some() || self.training.says(setting)
    }

    fn run(self, common: &Common) -> Result<()> {
        let mut recipe = PriorRecipe::default();
        self.training
            .apply(common, &mut [&mut recipe.network, &mut recipe.training])?;
        let settings = &mut recipe.training;
        if let Some(tokenizer) = &self.tokenizer {
            settings.tokenizer = tokenizer.clone();
        }
        if let Some(condition) = self.condition {
            settings.condition = condition.kind();
        }
        if let Some(data) = &self.condition_data {
            settings.condition_data = data.clone();
        }
        if let Some(tokenizer) = &self.condition_tokenizer {
            settings.condition_tokenizer = tokenizer.clone();
        }
        check_data(&settings.data)?;
        let (validation, seed, batch) = (settings.validation, settings.seed, settings.batch.max(1));
        if let Some(steps) = self
            .training
            .epochs(&settings.data, validation, seed, batch)?
        {
            // Every square and every mirrored one is a sequence of its own.
            let passes = settings.sequences_per_picture() as u64;
            (settings.steps, settings.minutes) = (steps.saturating_mul(passes), 0.0);
        }
        recipe.check()?;
        let (out, resume) = self.training.run_folder();
        let [tokenizer, condition_tokenizer] = self.tokenizers(&recipe.training, &out, common)?;
        let job = PriorJob {
            tokenizer: tokenizer.ok_or_else(no_tokenizer)?,
            condition_tokenizer,
            recipe,
            out: out.clone(),
            resume,
        };
        let trained = prior::train(job, &models::device(), &mut TrainingView::prior(common))?;
        finish(common, "prior", &out, &trained);
        Ok(())
    }
}

/// The model of a run's newest checkpoint, if there is one.
fn load_kept(run: &Path, common: &Common) -> Result<Option<Model>> {
    match Run::open(run)?.latest()? {
        Some(checkpoint) => models::load_for_pictures(&checkpoint.model(), common).map(Some),
        None => Ok(None),
    }
}

/// The tokenizer of a model, without what lies beside it.
fn tokenizer_of(model: Model) -> Model {
    Model {
        prior: None,
        condition: None,
        ..model
    }
}

fn no_tokenizer() -> Error {
    Error::input(
        "say with --tokenizer which tokenizer makes the codes: a model file or a run folder",
    )
}

fn finish(common: &Common, stage: &str, run: &Path, trained: &Trained) {
    let run = run.display().to_string();
    let step = trained.model.info.step;
    let json = json!({"stage": stage, "out": run, "step": step, "stopped": trained.stopped});
    output::print(common, json, || {
        let next = match stage {
            "tokenizer" => format!("smalti reconstruct --model {run} PICTURE --out DIR"),
            _ => format!("smalti sample --model {run} -n 16 --out DIR"),
        };
        vec![
            format!("{stage} at step {step} in {run}"),
            format!("look at {run}/images, or try: {next}"),
        ]
    });
}
