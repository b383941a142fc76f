//! A whole stage-2 training: from a folder of pictures and a tokenizer to a run folder with a prior in it.

use super::config::PriorConfig;
use super::patience::Patience;
use super::prepare::{CodeMaker, Split, condition, network, picture_size};
use super::preview::Preview;
use super::recipe::PriorRecipe;
use super::sequences::Sequences;
use super::source::Material;
use super::store::StoredCodes;
use super::trainer::{PriorTrainer, nats_per_code};
use super::{Prior, plan};
use crate::checkpoint::{TensorMap, read_tensors};
use crate::data::none_readable;
use crate::data::order::Order;
use crate::error::{Error, Result};
use crate::model::{Model, ModelInfo};
use crate::training::settings::to_yaml;
use crate::training::{
    Clock, Event, Metrics, Observer, Run, Stage, Trained, Validation, drive, unigram_entropy,
};
use burn::tensor::Device;
use std::path::PathBuf;

/// The most pictures of the validation split that are measured.
const MEASURED: usize = 512;

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
/// A recipe or data set that cannot be used, a run folder in the way, or a disk that fails. Nothing is left behind by a
/// training that could not start.
pub fn train(mut job: PriorJob, device: &Device, observer: &mut dyn Observer) -> Result<Trained> {
    job.recipe.check()?;
    let device = device.clone().autodiff();
    let material = Material::open(&job.recipe.training)?;
    let dataset = material.dataset()?;
    job.recipe.training.size = picture_size(&job)?;
    job.recipe.training.transform().check()?;
    let training = job.recipe.training.clone();
    let config = network(&job, condition(&job, &material, &dataset)?)?;
    let mut trainer = PriorTrainer::new(&config, &training, &device);
    let mut patience = Patience::new(training.patience);
    let (step, seconds) = match job.resume {
        true => restore(&job, &config, (&mut trainer, &mut patience), &device)?,
        false => {
            Run::check_free(&job.out)?;
            (0, 0.0)
        }
    };
    let (train, held_back) = dataset.split(training.validation, training.seed);
    let held_back = held_back.limit(MEASURED);
    let pictures = [train.len(), held_back.len()];
    observer.event(Event::Plan(plan::describe(
        &job, &config, &trainer, pictures,
    )));
    let train = Split {
        name: "train",
        source: material.source(&config.condition, &train)?,
        dataset: &train,
        flip: training.flip,
        crops: training.crops,
    };
    let held_back = Split {
        name: "validation",
        source: material.source(&config.condition, &held_back)?,
        dataset: &held_back,
        flip: false,
        crops: 1,
    };
    let maker = CodeMaker {
        job: &job,
        config: &config,
    };
    let [kept, kept_validation] = [maker.kept(&train)?, maker.kept(&held_back)?];
    if kept.is_none() {
        // A data set that cannot be read should leave no run folder behind.
        maker.require_readable(&train)?;
    }
    let yaml = to_yaml(&[&job.recipe.network, &training])?;
    let run = Run::start(&job.out, job.resume, &yaml)?;
    let train = match kept {
        Some(kept) => Some(kept),
        None => maker.make(&train, observer)?,
    };
    let validation = match kept_validation {
        Some(kept) => Some(kept),
        None => maker.make(&held_back, observer)?,
    };
    let train = train.ok_or_else(|| none_readable(pictures[0], None))?;
    let codebook_size = job.tokenizer.tokenizer_config.codes();
    let unigram = unigram_entropy(train.all(), codebook_size);
    let nothing = (codebook_size as f64).ln();
    observer.event(Event::Note(format!(
        "to beat   {unigram:.3} nats per code (the codes' frequencies alone); knowing nothing costs {nothing:.3}"
    )));
    let data = serde_json::json!({
        "path": training.data,
        "sequences": train.count(),
        "validation_pictures": validation.as_ref().map_or(0, Sequences::count),
        "classes": dataset.classes,
    });
    let mut stage = PriorStage {
        order: Order::new(training.seed, train.count()),
        job,
        config,
        device,
        trainer,
        patience,
        train,
        validation,
        unigram,
        data,
        steps: step,
    };
    let clock = Clock::new(training.budget(), step, seconds);
    drive(&mut stage, &run, clock, training.routine(), observer)
}

/// Takes up the newest checkpoint; returns its step and the seconds of training before it.
fn restore(
    job: &PriorJob,
    config: &PriorConfig,
    (trainer, patience): (&mut PriorTrainer, &mut Patience),
    device: &Device,
) -> Result<(u64, f64)> {
    let run = Run::open(&job.out)?;
    let Some(checkpoint) = run.latest()? else {
        return Ok((0, 0.0));
    };
    let model = Model::load(&checkpoint.model(), device)?;
    let Some((saved, prior)) = model.prior else {
        return Err(Error::file(
            checkpoint.model(),
            "this checkpoint has no prior: it is another kind of run",
        ));
    };
    if saved != *config {
        return Err(Error::file(
            run.config(),
            "its network differs from the checkpoint's: only settings of the training may change in a resumed run",
        ));
    }
    let path = checkpoint.state();
    let (state, _) = read_tensors(&path)?;
    trainer
        .load(prior, &state)
        .map_err(|error| Error::file(&path, error.to_string()))?;
    patience.load(&state);
    Ok((checkpoint.step, Clock::saved_seconds(&state)))
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
    data: serde_json::Value,
    /// Steps taken so far.
    steps: u64,
}

impl PriorStage {
    /// A loss beside what it must be compared with: the entropy of the codes' frequencies, and log K.
    fn metrics(&self, nats: f64) -> Metrics {
        let mut metrics = Metrics::default();
        let pixels = (self.job.recipe.training.size * self.job.recipe.training.size) as f64;
        let bits = nats / std::f64::consts::LN_2;
        metrics.push("nats_per_code", nats);
        metrics.push("bits_per_code", bits);
        metrics.push("bits_per_pixel", bits * self.config.codes() as f64 / pixels);
        metrics.push("unigram_entropy", self.unigram);
        metrics.push(
            "log_codebook_size",
            (self.job.tokenizer.tokenizer_config.codes() as f64).ln(),
        );
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
