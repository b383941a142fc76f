//! A whole stage-2 training: from a folder of pictures and a tokenizer to a run folder with a prior in it.

use super::config::PriorConfig;
use super::patience::Patience;
use super::prepare::{CodeMaker, Split, condition, network, picture_size};
use super::preview::Preview;
use super::recipe::{PriorRecipe, PriorTraining};
use super::sequences::Sequences;
use super::source::Material;
use super::store::StoredCodes;
use super::trainer::{PriorTrainer, nats_per_code};
use super::{Prior, plan};
use crate::checkpoint::{TensorMap, read_tensors};
use crate::data::order::Order;
use crate::data::{Dataset, none_readable};
use crate::error::{Error, Result};
use crate::model::{Model, ModelInfo};
use crate::training::settings::to_yaml;
use crate::training::{
    Checkpoint, Clock, Event, Metrics, Observer, Run, Stage, Trained, Validation, drive,
    unigram_entropy,
};
use burn::tensor::Device;
use serde_json::Value;
use std::path::PathBuf;

/// The most pictures of the validation split that are measured.
const MEASURED: usize = 512;

/// Letters of a tokenizer's hash that tell it from others, in messages.
const HASH_SHOWN: usize = 12;

/// What to train, and where to.
///
/// ```no_run
/// use smalti::Device;
/// use smalti::model::Model;
/// use smalti::prior::{self, ConditionKind, PriorJob, PriorRecipe};
/// use smalti::training::{Observer, model_file};
///
/// fn train(observer: &mut dyn Observer) -> smalti::Result<Model> {
///     let mut recipe = PriorRecipe::default();
///     recipe.training.data = "photos".into();
///     recipe.training.condition = ConditionKind::Class;
///     let tokenizer = model_file("runs/photos".as_ref())?;
///     let job = PriorJob {
///         recipe,
///         tokenizer: Model::load(&tokenizer, &Device::flex())?,
///         condition_tokenizer: None,
///         out: "runs/prior".into(),
///         resume: false,
///     };
///     Ok(prior::train(job, &Device::flex(), observer)?.model)
/// }
/// ```
pub struct PriorJob {
    pub recipe: PriorRecipe,
    /// The tokenizer, on a device without autodiff.
    pub tokenizer: Model,
    /// The tokenizer of the condition's pictures, where that is another.
    pub condition_tokenizer: Option<Model>,
    pub out: PathBuf,
    /// Continue the run in `out` from its newest checkpoint.
    pub resume: bool,
}

/// Trains a prior; its model includes the tokenizer, and the run folder holds everything else.
///
/// # Errors
/// A recipe or data set that cannot be used, another tokenizer than a continued run has, a run folder in the way, or a
/// disk that fails. Nothing is left behind by a training that could not start.
pub fn train(mut job: PriorJob, device: &Device, observer: &mut dyn Observer) -> Result<Trained> {
    job.recipe.check()?;
    let device = device.clone().autodiff();
    let kept = match job.resume {
        true => Kept::newest(&job, &device)?,
        false => {
            Run::check_free(&job.out)?;
            None
        }
    };
    let material = Material::open(&job.recipe.training)?;
    let dataset = material.dataset()?;
    job.recipe.training.size = picture_size(&job)?;
    let training = job.recipe.training.clone();
    training.transform().check()?;
    let config = network(&job, condition(&job, &material, &dataset)?)?;
    let mut begun = Begun::new(&config, &training, &device);
    if let Some(kept) = kept {
        begun.take_up(kept, &config)?;
    }
    let (train, held_back) = dataset.split(training.validation, training.seed);
    let held_back = held_back.limit(MEASURED);
    let pictures = [train.len(), held_back.len()];
    let plan = plan::describe(&job, &config, &begun.trainer, pictures);
    observer.event(Event::Plan(plan));
    let codes = Codes::of([&train, &held_back], &material, &job, &config, observer)?;
    let clock = Clock::new(training.budget(), begun.step, begun.seconds);
    let run = codes.run.clone();
    let mut stage = PriorStage::new(job, config, begun, codes, &dataset.classes, device);
    observer.event(Event::Note(stage.to_beat()));
    drive(&mut stage, &run, clock, training.routine(), observer)
}

/// The newest checkpoint of a run that goes on.
struct Kept {
    run: Run,
    checkpoint: Checkpoint,
    config: PriorConfig,
    prior: Prior,
}

impl Kept {
    /// What the run of `job` has, if it came so far.
    ///
    /// # Errors
    /// A checkpoint of another kind, or of a prior over other codes than those of the job's tokenizers.
    fn newest(job: &PriorJob, device: &Device) -> Result<Option<Self>> {
        let run = Run::open(&job.out)?;
        let Some(checkpoint) = run.latest()? else {
            return Ok(None);
        };
        let mut model = Model::load(&checkpoint.model(), device)?;
        let Some((config, prior)) = model.prior.take() else {
            return Err(Error::file(
                checkpoint.model(),
                "this checkpoint has no prior: it is another kind of run",
            ));
        };
        check_tokenizers(job, &model)?;
        Ok(Some(Self {
            run,
            checkpoint,
            config,
            prior,
        }))
    }
}

/// A prior knows the codes of the tokenizers that it began with; those of others have other meanings.
fn check_tokenizers(job: &PriorJob, kept: &Model) -> Result<()> {
    let training = &job.recipe.training;
    let own = (kept, &job.tokenizer, &training.tokenizer);
    let mut pairs = vec![("tokenizer", own)];
    if let (Some(kept), Some(given)) = (&kept.condition, &job.condition_tokenizer) {
        let condition = (&**kept, given, &training.condition_tokenizer);
        pairs.push(("condition_tokenizer", condition));
    }
    for (setting, (old, new, named)) in pairs {
        let [old, new] = [old, new].map(Model::tokenizer_hash);
        if old != new {
            let began = kept.info.recipe.get(setting).and_then(Value::as_str);
            return Err(Error::file(
                &job.out,
                format!(
                    "this run began with the {setting} {} (hash {}); {} (hash {}) is another, whose codes mean something \
                     else: leave it out, or begin a new run with --out",
                    began.unwrap_or_default(),
                    &old[..HASH_SHOWN],
                    named.display(),
                    &new[..HASH_SHOWN]
                ),
            ));
        }
    }
    Ok(())
}

/// What has been learned, and how long that took.
struct Begun {
    trainer: PriorTrainer,
    patience: Patience,
    /// Steps taken, and seconds.
    step: u64,
    seconds: f64,
}

impl Begun {
    fn new(config: &PriorConfig, training: &PriorTraining, device: &Device) -> Self {
        Self {
            trainer: PriorTrainer::new(config, training, device),
            patience: Patience::new(training.patience),
            step: 0,
            seconds: 0.0,
        }
    }

    /// Goes on from a checkpoint.
    ///
    /// # Errors
    /// Another network than `config`, or a state that does not fit it.
    fn take_up(&mut self, kept: Kept, config: &PriorConfig) -> Result<()> {
        if kept.config != *config {
            return Err(Error::file(
                kept.run.config(),
                "its network differs from the checkpoint's: only settings of the training may change in a resumed run",
            ));
        }
        let path = kept.checkpoint.state();
        let (state, _) = read_tensors(&path)?;
        self.trainer
            .load(kept.prior, &state)
            .map_err(|error| Error::file(&path, error.to_string()))?;
        self.patience.load(&state);
        self.step = kept.checkpoint.step;
        self.seconds = Clock::saved_seconds(&state);
        Ok(())
    }
}

/// The run folder, and the codes of both splits that lie in it.
struct Codes {
    run: Run,
    train: StoredCodes,
    /// If any picture is held back.
    validation: Option<StoredCodes>,
}

impl Codes {
    /// Opens the run folder and makes what it does not have yet.
    fn of(
        [train, held_back]: [&Dataset; 2],
        material: &Material,
        job: &PriorJob,
        config: &PriorConfig,
        observer: &mut dyn Observer,
    ) -> Result<Self> {
        let training = &job.recipe.training;
        let train = Split {
            name: "train",
            source: material.source(&config.condition, train)?,
            dataset: train,
            flip: training.flip,
            crops: training.crops,
        };
        let held_back = Split {
            name: "validation",
            source: material.source(&config.condition, held_back)?,
            dataset: held_back,
            flip: false,
            crops: 1,
        };
        let maker = CodeMaker { job, config };
        let [kept, kept_validation] = [maker.kept(&train)?, maker.kept(&held_back)?];
        if kept.is_none() {
            // A data set that cannot be read should leave no run folder behind.
            maker.require_readable(&train)?;
        }
        let yaml = to_yaml(&[&job.recipe.network, training])?;
        let run = Run::start(&job.out, job.resume, &yaml)?;
        let pictures = train.dataset.len();
        let train = match kept {
            Some(kept) => Some(kept),
            None => maker.make(&train, observer)?,
        };
        let validation = match kept_validation {
            Some(kept) => Some(kept),
            None => maker.make(&held_back, observer)?,
        };
        Ok(Self {
            run,
            train: train.ok_or_else(|| none_readable(pictures, None))?,
            validation,
        })
    }
}

/// A training that is under way.
struct PriorStage {
    job: PriorJob,
    config: PriorConfig,
    device: Device,
    trainer: PriorTrainer,
    patience: Patience,
    train: StoredCodes,
    /// If any picture is held back.
    validation: Option<StoredCodes>,
    order: Order,
    unigram: f64,
    data: Value,
    /// Steps taken so far.
    steps: u64,
}

impl PriorStage {
    fn new(
        job: PriorJob,
        config: PriorConfig,
        begun: Begun,
        codes: Codes,
        classes: &[String],
        device: Device,
    ) -> Self {
        let training = &job.recipe.training;
        let data = serde_json::json!({
            "path": training.data,
            "sequences": codes.train.count(),
            "validation_pictures": codes.validation.as_ref().map_or(0, Sequences::count),
            "classes": classes,
        });
        let codebook_size = job.tokenizer.tokenizer_config.codes();
        Self {
            order: Order::new(training.seed, codes.train.count()),
            unigram: unigram_entropy(codes.train.all(), codebook_size),
            job,
            config,
            device,
            trainer: begun.trainer,
            patience: begun.patience,
            train: codes.train,
            validation: codes.validation,
            data,
            steps: begun.step,
        }
    }

    /// What takes no network at all, to be said before the first step.
    fn to_beat(&self) -> String {
        format!(
            "to beat   {:.3} nats per code (the codes' frequencies alone); knowing nothing costs {:.3}",
            self.unigram,
            self.nothing()
        )
    }

    /// The nats of a code of which nothing is known.
    fn nothing(&self) -> f64 {
        (self.job.tokenizer.tokenizer_config.codes() as f64).ln()
    }

    /// A loss beside what it must be compared with: the entropy of the codes' frequencies, and log K.
    fn metrics(&self, nats: f64) -> Metrics {
        let mut metrics = Metrics::default();
        let pixels = (self.job.recipe.training.size * self.job.recipe.training.size) as f64;
        let bits = nats / std::f64::consts::LN_2;
        metrics.push("nats_per_code", nats);
        metrics.push("bits_per_code", bits);
        metrics.push("bits_per_pixel", bits * self.config.codes() as f64 / pixels);
        metrics.push("unigram_entropy", self.unigram);
        metrics.push("log_codebook_size", self.nothing());
        metrics
    }

    /// New pictures under the conditions of others, or of classes that are spread over them.
    fn samples(&self, prior: &Prior) -> Result<image::RgbImage> {
        let set = self.validation.as_ref().unwrap_or(&self.train);
        let seed = self.job.recipe.training.seed;
        let preview = Preview {
            config: &self.config,
            prior,
            tokenizer: &self.job.tokenizer,
            condition_tokenizer: self.job.condition_tokenizer.as_ref(),
        };
        preview.samples(set, seed)
    }
}

impl Stage for PriorStage {
    fn batch(&self) -> usize {
        self.job.recipe.training.batch
    }

    fn step(&mut self, step: u64, progress: f64) -> Result<Metrics> {
        let training = &self.job.recipe.training;
        let learning_rate = training.schedule().at(step, progress);
        let first = step * training.batch as u64;
        let batch: Vec<usize> = (first..first + training.batch as u64)
            .map(|position| self.order.item(position))
            .collect();
        let taken = self
            .trainer
            .step(&self.train, &batch, learning_rate, step)?;
        self.steps = step + 1;
        let mut metrics = self.metrics(taken.nats);
        metrics.push("learning_rate", learning_rate);
        if let Some(norm) = taken.gradient_norm {
            metrics.push("grad_norm", f64::from(norm));
        }
        Ok(metrics)
    }

    fn finished(&self) -> Option<String> {
        self.patience.exhausted()
    }

    /// Besides the figures, a grid of samples.
    fn validate(&mut self) -> Result<Validation> {
        let prior = self.trainer.result();
        let picture = Some(("samples", self.samples(&prior)?));
        let Some(validation) = &self.validation else {
            return Ok(Validation {
                metrics: Metrics::default(),
                picture,
            });
        };
        let pictures: Vec<usize> = (0..validation.count()).collect();
        let device = self.device.clone().inner();
        let nats = nats_per_code(&prior, &self.config, validation, &pictures, &device)?;
        let mean = nats.iter().sum::<f64>() / nats.len() as f64;
        if self.patience.is_used() && self.patience.measured(mean, self.steps) {
            let best = self.job.out.join("best.safetensors");
            self.model(self.steps).save(&best)?;
        }
        Ok(Validation {
            metrics: self.metrics(mean),
            picture,
        })
    }

    fn model(&self, step: u64) -> Model {
        let (tokenizer, training) = (&self.job.tokenizer, &self.job.recipe.training);
        let license = match training.license.is_empty() {
            true => &tokenizer.info.license,
            false => &training.license,
        };
        Model {
            tokenizer_config: tokenizer.tokenizer_config.clone(),
            tokenizer: tokenizer.tokenizer.clone(),
            prior: Some((self.config.clone(), self.trainer.result())),
            condition: self.job.condition_tokenizer.clone().map(Box::new),
            info: ModelInfo {
                step,
                recipe: serde_json::to_value(training).unwrap_or_default(),
                data: self.data.clone(),
                license: license.clone(),
                source: String::new(),
            },
        }
    }

    fn state(&self) -> TensorMap {
        let mut state = self.trainer.state();
        self.patience.save(&mut state);
        state
    }
}
