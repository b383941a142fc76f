//! A whole stage-2 training: from a folder of pictures and a tokenizer to a run folder with a prior in it.

use super::Gpt;
use super::codes::CodeSet;
use super::condition::Condition;
use super::config::PriorConfig;
use super::plan;
use super::prepare::{CodeMaker, condition, network, picture_size};
use super::recipe::PriorRecipe;
use super::trainer::{PriorTrainer, nats_per_code};
use crate::checkpoint::{TensorMap, read_tensors};
use crate::data::order::Order;
use crate::data::{self, Dataset};
use crate::error::{Error, Result};
use crate::model::{Model, ModelInfo};
use crate::sample::{
    Request, SampleOptions, class_condition, decode_pictures, picture_seed, sample_codes,
};
use crate::training::settings::to_yaml;
use crate::training::{
    Clock, Event, Metrics, Observer, Run, Stage, Trained, Validation, drive, unigram_entropy,
};
use burn::module::Module;
use burn::tensor::Device;
use std::path::PathBuf;

/// Samples in the grids that are drawn while training.
const SHOWN: usize = 16;
/// The most pictures of the validation split that are measured.
const MEASURED: usize = 512;

/// What to train, and where to.
pub struct PriorJob {
    pub recipe: PriorRecipe,
    /// The tokenizer, on a device without autodiff.
    pub tokenizer: Model,
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
    let dataset = Dataset::open(&job.recipe.training.data)?;
    job.recipe.training.size = picture_size(&job)?;
    job.recipe.training.transform().check()?;
    let training = job.recipe.training.clone();
    let config = network(&job, condition(&job, &dataset)?)?;
    let mut trainer = PriorTrainer::new(&config, &training, &device);
    let (step, seconds) = match job.resume {
        true => restore(&job, &config, &mut trainer, &device)?,
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
    // Codes are made before there is a run folder, so that a data set that cannot be read leaves none behind.
    let maker = CodeMaker { job: &job };
    let train = maker.codes("train", &train, training.flip, observer)?;
    let validation = maker.codes("validation", &held_back, false, observer)?;
    if train.is_empty() {
        return Err(data::none_readable(pictures[0], None));
    }
    let yaml = to_yaml(&[&job.recipe.network, &training])?;
    let run = Run::start(&job.out, job.resume, &yaml)?;
    maker.keep("train", &train)?;
    maker.keep("validation", &validation)?;
    let codebook_size = job.tokenizer.tokenizer_config.codebook_size;
    let unigram = unigram_entropy(&train.codes, codebook_size);
    let nothing = (codebook_size as f64).ln();
    observer.event(Event::Note(format!(
        "to beat   {unigram:.3} nats per code (the codes' frequencies alone); knowing nothing costs {nothing:.3}"
    )));
    let data = serde_json::json!({
        "path": training.data,
        "sequences": train.len(),
        "validation_pictures": validation.len(),
        "classes": dataset.classes,
    });
    let mut stage = PriorStage {
        order: Order::new(training.seed, train.len()),
        job,
        config,
        device,
        trainer,
        train,
        validation,
        unigram,
        data,
    };
    let clock = Clock::new(training.budget(), step, seconds);
    drive(&mut stage, &run, clock, training.routine(), observer)
}

/// Takes up the newest checkpoint; returns its step and the seconds of training before it.
fn restore(
    job: &PriorJob,
    config: &PriorConfig,
    trainer: &mut PriorTrainer,
    device: &Device,
) -> Result<(u64, f64)> {
    let run = Run::open(&job.out)?;
    let Some(checkpoint) = run.latest()? else {
        return Ok((0, 0.0));
    };
    let model = Model::load(&checkpoint.model(), device)?;
    let Some((saved, gpt)) = model.prior else {
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
        .load(gpt, &state)
        .map_err(|error| Error::file(&path, error.to_string()))?;
    Ok((checkpoint.step, Clock::saved_seconds(&state)))
}

/// A training that is under way.
struct PriorStage {
    job: PriorJob,
    config: PriorConfig,
    device: Device,
    trainer: PriorTrainer,
    train: CodeSet,
    validation: CodeSet,
    order: Order,
    unigram: f64,
    data: serde_json::Value,
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
            (self.job.tokenizer.tokenizer_config.codebook_size as f64).ln(),
        );
        metrics
    }

    /// New pictures, the classes spread over them.
    fn samples(&self, gpt: &Gpt) -> Result<image::RgbImage> {
        let classes = match &self.config.condition {
            Condition::Class(condition) => Some(condition.classes),
            Condition::None(_) => None,
        };
        let seed = self.job.recipe.training.seed;
        let request = |index: usize| -> Result<Request> {
            let class = classes.map(|classes| index * classes / SHOWN);
            let condition = class_condition(&self.config, class)?;
            let seed = picture_seed(seed, index);
            Ok(Request::new(condition, self.config.codes(), seed))
        };
        let requests = (0..SHOWN).map(request).collect::<Result<Vec<Request>>>()?;
        let options = SampleOptions {
            batch: SHOWN,
            ..SampleOptions::default()
        };
        let model = &self.job.tokenizer;
        let codebook_size = model.tokenizer_config.codebook_size;
        let codes = sample_codes(
            gpt.clone(),
            &self.config,
            codebook_size,
            &requests,
            options,
            |_| {},
        )?;
        let grid = [self.config.rows, self.config.columns];
        let pictures = decode_pictures(model, &codes, grid, SHOWN);
        Ok(data::grid(&pictures, 8, data::GRID_PADDING))
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
        let nats = self
            .trainer
            .step(&self.train, &batch, learning_rate, step)?;
        let mut metrics = self.metrics(nats);
        metrics.push("learning_rate", learning_rate);
        Ok(metrics)
    }

    /// Besides the figures, a grid of samples.
    fn validate(&mut self) -> Result<Validation> {
        let gpt = self.trainer.gpt.valid();
        let picture = Some(("samples", self.samples(&gpt)?));
        if self.validation.is_empty() {
            return Ok(Validation {
                metrics: Metrics::default(),
                picture,
            });
        }
        let pictures: Vec<usize> = (0..self.validation.len()).collect();
        let device = self.device.clone().inner();
        let nats = nats_per_code(&gpt, &self.config, &self.validation, &pictures, &device)?;
        let mean = nats.iter().sum::<f64>() / nats.len() as f64;
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
            prior: Some((self.config.clone(), self.trainer.gpt.valid())),
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
        self.trainer.state()
    }
}
