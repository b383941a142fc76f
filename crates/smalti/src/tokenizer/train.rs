//! A whole stage-1 training: from a folder of pictures to a run folder with a tokenizer in it.

use super::guard::Guard;
use super::measure::measure;
use super::perceptual::{Lpips, smallest_side};
use super::plan;
use super::recipe::TokenizerRecipe;
use super::trainer::{StepOutcome, TokenizerTrainer};
use crate::checkpoint::{HostTensor, TensorMap, host_codes, read_tensors};
use crate::data::{self, Batch, Dataset, Loader, LoaderConfig, Raster};
use crate::error::{Error, Result};
use crate::model::{Model, ModelInfo};
use crate::training::settings::to_yaml;
use crate::training::{
    Clock, CodeUsage, Event, Metrics, Observer, Run, Stage, Trained, Validation, drive, model_file,
    skipped_pictures,
};
use burn::tensor::Device;
use serde_json::Value;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The most pictures of the validation split that are measured.
const MEASURED: usize = 512;
/// Bytes of decoded pictures that are kept in memory.
const CACHED: usize = 2 << 30;

/// What to train, and where to.
///
/// ```
/// use smalti::Device;
/// use smalti::data::{drawn::draw, write_png};
/// use smalti::tokenizer::{self, TokenizerJob, TokenizerRecipe, presets};
/// use smalti::training::{Event, Observer};
///
/// struct Silent;
///
/// impl Observer for Silent {
///     fn event(&mut self, _: Event<'_>) {}
///
///     fn interrupted(&self) -> bool {
///         false
///     }
/// }
///
/// let folder = tempfile::tempdir()?;
/// let photos = folder.path().join("photos");
/// std::fs::create_dir(&photos)?;
/// for index in 0..6 {
///     write_png(&photos.join(format!("{index}.png")), &draw(0, index, 16))?;
/// }
/// let mut recipe = TokenizerRecipe::default();
/// presets::apply(&mut [&mut recipe.network, &mut recipe.training], &["tiny", "f4"])?;
/// recipe.training.data = photos;
/// recipe.training.perceptual = "none".into();
/// recipe.training.steps = 2;
/// recipe.training.batch = 4;
/// recipe.training.size = 16;
/// # recipe.network.resolution = 16;
/// # recipe.network.codebook_size = 32;
/// # recipe.training.discriminator_layers = 1;
/// # recipe.training.discriminator_ramp = 0.0;
/// # recipe.training.kmeans_step = 0;
/// let job = TokenizerJob {
///     recipe,
///     out: folder.path().join("run"),
///     resume: false,
///     lpips: None,
/// };
/// let trained = tokenizer::train(job, &Device::flex(), &mut Silent)?;
/// assert_eq!(trained.model.info.step, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TokenizerJob {
    pub recipe: TokenizerRecipe,
    pub out: PathBuf,
    /// Continue the run in `out` from its newest checkpoint.
    pub resume: bool,
    pub lpips: Option<Lpips>,
}

/// Trains a tokenizer; the run folder holds everything else.
///
/// # Errors
/// A recipe or data set that cannot be used, a run folder in the way, or a disk that fails. Nothing is left behind by a
/// training that could not start.
pub fn train(job: TokenizerJob, device: &Device, observer: &mut dyn Observer) -> Result<Trained> {
    job.recipe.check()?;
    check_lpips(&job)?;
    let device = device.clone().autodiff();
    let training = &job.recipe.training;
    let dataset = Dataset::open(&training.data)?;
    let (train, held_back) = dataset.split(training.validation, training.seed);
    let pictures = [train.len(), held_back.len()];
    let mut trainer = TokenizerTrainer::new(&job.recipe, job.lpips.clone(), &device);
    let mut usage = CodeUsage::new(job.recipe.network.codes());
    let (step, seconds) = match job.resume {
        true => restore(&job, &mut trainer, &mut usage, &device)?,
        false => {
            start(&job, &mut trainer, &device)?;
            (0, 0.0)
        }
    };
    observer.event(Event::Plan(plan::describe(&job, pictures, &trainer)));
    let held_back = held_back.limit(MEASURED);
    let (validation, _, bad) = data::load_rasters(
        &held_back,
        &training.transform(),
        training.kind()?,
        training.background,
    )?;
    for note in skipped_pictures(&bad) {
        observer.event(Event::Note(note));
    }
    let mut stage = TokenizerStage {
        loader: loader(&job, train, step)?,
        next: None,
        data: serde_json::json!({
            "path": training.data,
            "pictures": pictures[0],
            "validation_pictures": pictures[1],
            "classes": dataset.classes,
        }),
        reported: HashSet::new(),
        guard: Guard::new(&job.out, training.skip_at_most),
        device,
        trainer,
        validation,
        usage,
        job,
    };
    // A data set of which nothing can be read should be heard of before there is a run folder.
    stage.next = Some(stage.loader.next()?);
    let recipe = &stage.job.recipe;
    let yaml = to_yaml(&[&recipe.network, &recipe.training])?;
    let run = Run::start(&stage.job.out, stage.job.resume, &yaml)?;
    let clock = Clock::new(recipe.training.budget(), step, seconds);
    let routine = recipe.training.routine();
    drive(&mut stage, &run, clock, routine, observer)
}

/// Takes the weights of the model that a new run starts from, if there is one.
fn start(job: &TokenizerJob, trainer: &mut TokenizerTrainer, device: &Device) -> Result<()> {
    let path = &job.recipe.training.init_from;
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    let model = Model::load(&model_file(path)?, device)?;
    if model.tokenizer_config != job.recipe.network {
        return Err(Error::file(
            path,
            "the model to start from has another network than this recipe: leave the network's settings out, they come \
             with the model",
        ));
    }
    trainer.start_from(model.tokenizer);
    Ok(())
}

fn check_lpips(job: &TokenizerJob) -> Result<()> {
    let Some(lpips) = &job.lpips else {
        return Ok(());
    };
    let smallest = smallest_side(lpips.architecture);
    if job.recipe.training.size >= smallest {
        return Ok(());
    }
    Err(Error::input(format!(
        "size is {}, but LPIPS with {} needs pictures of at least {smallest} pixels: set perceptual to none",
        job.recipe.training.size,
        lpips.architecture.label()
    )))
}

fn loader(job: &TokenizerJob, dataset: Dataset, first_step: u64) -> Result<Loader> {
    let training = &job.recipe.training;
    let config = LoaderConfig {
        batch: training.batch,
        kind: training.kind()?,
        transform: training.transform(),
        background: training.background,
        seed: training.seed,
        workers: std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4)),
        first_step,
        cache_bytes: CACHED,
    };
    Loader::new(Arc::new(dataset), config)
}

/// A run that goes on has its weights; it cannot begin anew from those of another model.
fn check_beginning(job: &TokenizerJob, kept: &ModelInfo) -> Result<()> {
    let began = kept.recipe.get("init_from").and_then(Value::as_str);
    let (began, wanted) = (began.unwrap_or_default(), &job.recipe.training.init_from);
    if Path::new(began) == wanted {
        return Ok(());
    }
    let began = match began {
        "" => "random weights",
        model => model,
    };
    Err(Error::file(
        &job.out,
        format!(
            "init_from is `{}`, but this run began with {began}: leave it as it was, or begin a new run with --init-from",
            wanted.display()
        ),
    ))
}

/// Takes up the newest checkpoint; returns its step and the seconds of training before it. A run that was killed before
/// its first one begins again.
fn restore(
    job: &TokenizerJob,
    trainer: &mut TokenizerTrainer,
    usage: &mut CodeUsage,
    device: &Device,
) -> Result<(u64, f64)> {
    let run = Run::open(&job.out)?;
    let Some(checkpoint) = run.latest()? else {
        start(job, trainer, device)?;
        return Ok((0, 0.0));
    };
    let model = Model::load(&checkpoint.model(), device)?;
    check_beginning(job, &model.info)?;
    if model.tokenizer_config != job.recipe.network {
        return Err(Error::file(
            run.config(),
            "its network differs from the checkpoint's: only settings of the training may change in a resumed run",
        ));
    }
    let path = checkpoint.state();
    let (state, _) = read_tensors(&path)?;
    trainer
        .load(model.tokenizer, &state, device)
        .map_err(|error| Error::file(&path, error.to_string()))?;
    usage.add(&saved_codes(&state, job.recipe.network.codes()));
    Ok((checkpoint.step, Clock::saved_seconds(&state)))
}

fn saved_codes(state: &TensorMap, codebook_size: usize) -> Vec<i64> {
    let window = state
        .get("usage_window")
        .and_then(HostTensor::as_i64)
        .unwrap_or_default();
    let valid = |code: &&i64| (0..codebook_size as i64).contains(*code);
    window.iter().filter(valid).copied().collect()
}

/// A training that is under way.
struct TokenizerStage {
    job: TokenizerJob,
    device: Device,
    trainer: TokenizerTrainer,
    loader: Loader,
    /// A batch that is here already.
    next: Option<Batch>,
    validation: Vec<Raster>,
    usage: CodeUsage,
    data: serde_json::Value,
    /// The skipped pictures that have been reported.
    reported: HashSet<PathBuf>,
    guard: Guard,
}

impl TokenizerStage {
    fn usage_metrics(&mut self, outcome: &mut StepOutcome) {
        let codes = host_codes(outcome.codes.clone());
        self.usage.add(&codes);
        let of_batch = CodeUsage::of(&codes, self.job.recipe.network.codes());
        let of_window = self.usage.figures();
        let metrics = &mut outcome.metrics;
        metrics.push("usage_batch", of_batch.usage);
        metrics.push("perplexity_batch", of_batch.perplexity);
        metrics.push("usage_65536", of_window.usage);
        metrics.push("perplexity_65536", of_window.perplexity);
    }
}

impl Stage for TokenizerStage {
    fn batch(&self) -> usize {
        self.job.recipe.training.batch
    }

    fn step(&mut self, step: u64, progress: f64) -> Result<Metrics> {
        let batch = match self.next.take() {
            Some(batch) => batch,
            None => self.loader.next()?,
        };
        let plan = self.job.recipe.training.plan(step, progress);
        let pictures = batch.indices.clone();
        let pixels = batch.into_tensor(&self.device);
        let mut outcome = self.trainer.step(pixels.clone(), &plan);
        match outcome.skipped.take() {
            Some(what) => {
                self.guard.left_out(step + 1, &what, pixels, &pictures)?;
                outcome.metrics.keep_finite();
            }
            None => {
                self.guard.passed();
                self.usage_metrics(&mut outcome);
            }
        }
        let mut metrics = outcome.metrics;
        metrics.push("learning_rate", plan.learning_rate);
        metrics.push("skipped_steps", self.guard.skipped() as f64);
        Ok(metrics)
    }

    fn notes(&mut self) -> Vec<String> {
        let mut bad = self.loader.bad_files();
        bad.retain(|(path, _)| self.reported.insert(path.clone()));
        let mut notes = self.guard.notes();
        notes.extend(skipped_pictures(&bad));
        notes
    }

    /// Besides the figures, a grid of inputs over reconstructions.
    fn validate(&mut self) -> Result<Validation> {
        if self.validation.is_empty() {
            return Ok(Validation {
                metrics: Metrics::default(),
                picture: None,
            });
        }
        let tokenizer = self.trainer.result();
        let measured = measure(&tokenizer, &self.job, &self.validation, &self.device);
        let grid = data::pairs_grid(&measured.inputs, &measured.reconstructions, 8);
        Ok(Validation {
            metrics: measured.metrics,
            picture: Some(("reconstruction", grid)),
        })
    }

    fn model(&self, step: u64) -> Model {
        let training = &self.job.recipe.training;
        Model {
            tokenizer_config: self.job.recipe.network.clone(),
            tokenizer: self.trainer.result(),
            prior: None,
            condition: None,
            info: ModelInfo {
                step,
                recipe: serde_json::to_value(training).unwrap_or_default(),
                data: self.data.clone(),
                license: training.license.clone(),
                source: String::new(),
            },
        }
    }

    fn state(&self) -> TensorMap {
        let mut state = self.trainer.state();
        let window = self.usage.window();
        state.insert(
            "usage_window".into(),
            HostTensor::i64([window.len()], window),
        );
        state
    }
}

/// The weights a `perceptual` setting names: `vgg`, `alex`, `none` or a file.
pub fn perceptual_file(
    setting: &str,
    locate: impl FnOnce(&str) -> Result<PathBuf>,
) -> Result<Option<PathBuf>> {
    match setting {
        "none" => Ok(None),
        "vgg" | "alex" => locate(&format!("lpips-{setting}")).map(Some),
        file if Path::new(file).is_file() => Ok(Some(PathBuf::from(file))),
        other => Err(Error::input(format!(
            "perceptual is `{other}`: write vgg, alex, none, or the path of a file of LPIPS weights"
        ))),
    }
}
