//! A whole stage-2 training: from a folder of pictures and a tokenizer to a run folder with a prior in it.

use super::codes::CodeSet;
use super::condition::Condition;
use super::config::PriorConfig;
use super::plan;
use super::prepare::{codes_of, condition, network, picture_size};
use super::recipe::PriorRecipe;
use super::trainer::{PriorTrainer, nats_per_code};
use crate::checkpoint::{Model, ModelInfo, read_tensors};
use crate::data::order::Order;
use crate::data::{self, Dataset};
use crate::error::{Error, Result};
use crate::sample::{Filter, Request, SampleOptions, decode_pictures, sample_codes};
use crate::training::settings::to_yaml;
use crate::training::{Budget, Clock, Event, Logs, Metrics, Observer, Run, unigram_entropy};
use burn::module::Module;
use burn::tensor::Device;
use std::path::PathBuf;

/// Samples in the grids that are drawn while training.
const SHOWN: usize = 16;
/// The most pictures of the validation split that are measured.
const MEASURED: usize = 512;

/// The kinds of condition a training can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionKind {
    None,
    Class,
}

/// What to train on, for how long, and where to.
pub struct PriorJob {
    pub recipe: PriorRecipe,
    /// The tokenizer, on a device without autodiff.
    pub tokenizer: Model,
    pub condition: ConditionKind,
    pub data: PathBuf,
    pub budget: Budget,
    pub out: PathBuf,
    /// Continue the run in `out` from its newest checkpoint.
    pub resume: bool,
}

/// Trains a prior and returns it with its tokenizer; the run folder holds everything else.
///
/// # Errors
/// A recipe or data set that cannot be used, a run folder in the way, or a disk that fails.
pub fn train(job: PriorJob, device: &Device, observer: &mut dyn Observer) -> Result<Model> {
    job.recipe.check()?;
    let mut session = Session::open(job, device, observer)?;
    while !session.clock.done() {
        session.step(observer)?;
        if observer.interrupted() {
            session.save(observer)?;
            observer.event(Event::Note("stopped; go on with --resume".into()));
            return Ok(session.model());
        }
    }
    session.validate(observer)?;
    session.save(observer)?;
    Ok(session.model())
}

struct Session {
    job: PriorJob,
    config: PriorConfig,
    device: Device,
    trainer: PriorTrainer,
    train: CodeSet,
    validation: CodeSet,
    order: Order,
    unigram: f64,
    clock: Clock,
    logs: Logs,
    run: Run,
    data: serde_json::Value,
}

impl Session {
    fn open(mut job: PriorJob, device: &Device, observer: &mut dyn Observer) -> Result<Self> {
        let device = device.clone().autodiff();
        let dataset = Dataset::open(&job.data)?;
        job.recipe.training.size = picture_size(&job)?;
        let training = job.recipe.training.clone();
        let condition = condition(&job, &dataset)?;
        let config = network(&job, condition)?;
        let run = match job.resume {
            true => Run::open(&job.out)?,
            false => Run::create(&job.out, &to_yaml(&[&job.recipe.network, &training])?)?,
        };
        let (train, held_back) = dataset.split(training.validation, training.seed);
        let train = codes_of(&job, &run, "train", &train, training.flip, observer)?;
        let validation = codes_of(
            &job,
            &run,
            "validation",
            &held_back.limit(MEASURED),
            false,
            observer,
        )?;
        let mut trainer = PriorTrainer::new(&config, &training, &device);
        let (step, before) = restore(&job, &run, &config, &mut trainer, &device)?;
        let unigram = unigram_entropy(&train.codes, train.codebook_size);
        observer.event(Event::Plan(plan::describe(
            &job,
            &config,
            &trainer,
            [train.len(), validation.len()],
            unigram,
        )));
        let data = serde_json::json!({
            "path": job.data.display().to_string(),
            "sequences": train.len(),
            "validation_pictures": validation.len(),
            "classes": dataset.classes,
        });
        Ok(Self {
            order: Order::new(training.seed, train.len()),
            clock: Clock::new(job.budget, step, before),
            logs: Logs::open(run.folder(), step)?,
            job,
            config,
            device,
            trainer,
            train,
            validation,
            unigram,
            run,
            data,
        })
    }

    fn step(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let training = self.job.recipe.training.clone();
        let (step, progress) = (self.clock.step(), self.clock.progress());
        let first = step * training.batch as u64;
        let batch: Vec<usize> = (first..first + training.batch as u64)
            .map(|position| self.order.item(position))
            .collect();
        let learning_rate = training.schedule().at(step, progress);
        let nats = self
            .trainer
            .step(&self.train, &batch, learning_rate, step)?;
        self.clock.advance();
        let mut metrics = self.metrics(nats);
        metrics.push("learning_rate", learning_rate);
        let step = self.clock.step();
        if step == 1 || step.is_multiple_of(training.log_every) {
            self.logs.write("train", step, &metrics)?;
        }
        observer.event(Event::Step {
            step,
            steps: self.clock.steps(),
            rate: self.clock.rate() * training.batch as f64,
            left: self.clock.left(),
            metrics: &metrics,
        });
        if self.clock.due(training.validate_every) {
            self.validate(observer)?;
        }
        if self.clock.due(training.checkpoint_every) {
            self.save(observer)?;
        }
        Ok(())
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
        metrics.push("log_codebook_size", (self.train.codebook_size as f64).ln());
        metrics
    }

    /// Measures the validation split and draws a grid of samples.
    fn validate(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let step = self.clock.step();
        let gpt = self.trainer.gpt.valid();
        if !self.validation.is_empty() {
            let pictures: Vec<usize> = (0..self.validation.len()).collect();
            let device = self.device.clone().inner();
            let nats = nats_per_code(&gpt, &self.config, &self.validation, &pictures, &device)?;
            let mean = nats.iter().sum::<f64>() / nats.len() as f64;
            let metrics = self.metrics(mean);
            self.logs.write("validation", step, &metrics)?;
            observer.event(Event::Validation {
                step,
                metrics: &metrics,
            });
        }
        let grid = self.sample_grid(&gpt)?;
        data::write_png(&self.run.picture("samples", step), &grid)?;
        self.logs.picture("validation/samples", step, &grid)
    }

    fn sample_grid(&self, gpt: &super::Gpt) -> Result<image::RgbImage> {
        let classes = self.job.tokenizer_classes(&self.config);
        let request = |index: usize| Request {
            class: classes.map(|classes| index * classes / SHOWN),
            known: Vec::new(),
        };
        let requests: Vec<Request> = (0..SHOWN).map(request).collect();
        let options = SampleOptions {
            filter: Filter::default(),
            batch: SHOWN,
            seed: self.job.recipe.training.seed,
        };
        let model = &self.job.tokenizer;
        let codebook_size = model.tokenizer_config.codebook_size;
        let codes = sample_codes(gpt, &self.config, codebook_size, &requests, options, |_| {})?;
        let pictures = decode_pictures(
            model,
            &codes,
            [self.config.rows, self.config.columns],
            SHOWN,
        );
        Ok(data::grid(&pictures, 8, data::GRID_PADDING))
    }

    fn save(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let mut state = self.trainer.state();
        self.clock.save(&mut state);
        let model = self.model();
        let keep = self.job.recipe.training.keep;
        let step = self.clock.step();
        let checkpoint = self.run.save(step, |path| model.save(path), &state, keep)?;
        observer.event(Event::Saved(checkpoint.model()));
        Ok(())
    }

    fn model(&self) -> Model {
        let tokenizer = &self.job.tokenizer;
        Model {
            tokenizer_config: tokenizer.tokenizer_config.clone(),
            tokenizer: tokenizer.tokenizer.clone(),
            prior: Some((self.config.clone(), self.trainer.gpt.valid())),
            info: ModelInfo {
                step: self.clock.step(),
                recipe: serde_json::to_value(&self.job.recipe.training).unwrap_or_default(),
                data: self.data.clone(),
                license: tokenizer.info.license.clone(),
                source: String::new(),
            },
        }
    }
}

impl PriorJob {
    fn tokenizer_classes(&self, config: &PriorConfig) -> Option<usize> {
        match &config.condition {
            Condition::Class(condition) => Some(condition.classes),
            Condition::None(_) => None,
        }
    }
}

fn restore(
    job: &PriorJob,
    run: &Run,
    config: &PriorConfig,
    trainer: &mut PriorTrainer,
    device: &Device,
) -> Result<(u64, f64)> {
    let Some(checkpoint) = run.latest()?.filter(|_| job.resume) else {
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
