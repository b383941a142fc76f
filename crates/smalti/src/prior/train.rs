//! A whole stage-2 training: from a folder of pictures and a tokenizer to a run folder with a prior in it.

use super::codes::CodeSet;
use super::condition::{ClassCondition, Condition, StartToken};
use super::config::PriorConfig;
use super::recipe::PriorRecipe;
use super::trainer::{PriorTrainer, nats_per_code};
use crate::checkpoint::{HostTensor, Model, ModelInfo, read_tensors};
use crate::data::order::Order;
use crate::data::{self, Dataset};
use crate::error::{Error, Result};
use crate::sample::{Filter, Request, SampleOptions, decode_pictures, sample_codes};
use crate::tokenizer::plan::duration;
use crate::tokenizer::train::report_bad;
use crate::training::settings::to_yaml;
use crate::training::{Budget, Clock, Event, Logs, Metrics, Observer, Run, unigram_entropy};
use burn::module::Module;
use burn::tensor::Device;
use std::path::PathBuf;

/// Samples in the grids that are drawn while training.
const SHOWN: usize = 16;
/// The most pictures of the validation split that are measured.
const MEASURED: usize = 512;
/// Pictures that are held in memory at a time while codes are computed.
const CHUNK: usize = 2048;

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
        observer.event(Event::Plan(plan(
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
        let due = |every: u64| every > 0 && step.is_multiple_of(every) && !self.clock.done();
        let (validate, save) = (due(training.validate_every), due(training.checkpoint_every));
        if validate {
            self.validate(observer)?;
        }
        if save {
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
        let seconds = self.clock.elapsed() as f32;
        state.insert("seconds".into(), HostTensor::f32([1], vec![seconds]));
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

/// The picture size: asked for, or the one the tokenizer was trained on.
fn picture_size(job: &PriorJob) -> Result<usize> {
    let config = &job.tokenizer.tokenizer_config;
    let trained = job
        .tokenizer
        .info
        .recipe
        .get("size")
        .and_then(serde_json::Value::as_u64);
    let size = match (job.recipe.training.size, trained) {
        (0, Some(trained)) => trained as usize,
        (0, None) => config.resolution,
        (size, _) => size,
    };
    if size == 0 || !size.is_multiple_of(config.factor()) {
        return Err(Error::input(format!(
            "size is {size}; it must be a multiple of {}, the tokenizer's downsampling factor",
            config.factor()
        )));
    }
    Ok(size)
}

fn condition(job: &PriorJob, dataset: &Dataset) -> Result<Condition> {
    match job.condition {
        ConditionKind::None => Ok(Condition::None(StartToken::default())),
        ConditionKind::Class if dataset.classes.is_empty() => Err(Error::input(format!(
            "{} has no classes: put the pictures of each class into a folder of its own, or train with --condition none",
            job.data.display()
        ))),
        ConditionKind::Class => {
            if let Some(item) = dataset.items.iter().find(|item| item.class.is_none()) {
                return Err(Error::file(
                    &item.path,
                    "this picture has no class: move it into a class's folder",
                ));
            }
            Ok(Condition::Class(ClassCondition {
                classes: dataset.classes.len(),
                names: dataset.classes.clone(),
            }))
        }
    }
}

fn network(job: &PriorJob, condition: Condition) -> Result<PriorConfig> {
    let tokenizer = &job.tokenizer.tokenizer_config;
    let side = job.recipe.training.size / tokenizer.factor();
    let chosen = &job.recipe.network;
    let needed = match &condition {
        Condition::Class(condition) => condition.classes,
        Condition::None(start) => start.start_token + 1,
    };
    let config = PriorConfig {
        layers: chosen.layers,
        heads: chosen.heads,
        width: chosen.width,
        rows: side,
        columns: side,
        block_size: side * side + condition.length() - 1,
        vocabulary_size: tokenizer.codebook_size.max(needed),
        embedding_dropout: chosen.embedding_dropout,
        residual_dropout: chosen.residual_dropout,
        attention_dropout: chosen.attention_dropout,
        unmasked_prefix: 0,
        condition,
    };
    config.check()?;
    Ok(config)
}

/// The codes of a split: from the run folder if they are there and made by this tokenizer, else computed and kept.
fn codes_of(
    job: &PriorJob,
    run: &Run,
    split: &str,
    dataset: &Dataset,
    flip: bool,
    observer: &mut dyn Observer,
) -> Result<CodeSet> {
    let folder = run.folder().join("codes");
    std::fs::create_dir_all(&folder).map_err(|error| Error::io(&folder, error))?;
    let path = folder.join(format!("{split}.safetensors"));
    if path.is_file() {
        let set = CodeSet::load(&path)?;
        set.check_tokenizer(&job.tokenizer, &path)?;
        return Ok(set);
    }
    let set = tokenize(job, dataset, flip, observer)?;
    set.save(&path)?;
    Ok(set)
}

fn tokenize(
    job: &PriorJob,
    dataset: &Dataset,
    flip: bool,
    observer: &mut dyn Observer,
) -> Result<CodeSet> {
    let training = &job.recipe.training;
    let device = job
        .tokenizer
        .tokenizer
        .post_quant_conv
        .weight
        .val()
        .device();
    let side = training.size / job.tokenizer.tokenizer_config.factor();
    let mut set = CodeSet::new(&job.tokenizer, side, side);
    for (index, items) in dataset.items.chunks(CHUNK).enumerate() {
        let part = Dataset {
            items: items.to_vec(),
            classes: dataset.classes.clone(),
        };
        let (mut pictures, kept, bad) =
            data::load_all(&part, &training.transform(), training.background)?;
        report_bad(&bad, observer);
        let mut classes: Vec<i64> = kept
            .iter()
            .filter_map(|&item| part.items[item].class.map(|class| class as i64))
            .collect();
        if flip {
            let mirrored: Vec<Vec<u8>> = pictures
                .iter()
                .map(|picture| mirror(picture, training.size))
                .collect();
            pictures.extend(mirrored);
            classes.extend(classes.clone());
        }
        let made = CodeSet::encode(&job.tokenizer, &pictures, training.size, &device, |_| {});
        set.codes.extend(made.codes);
        set.classes.extend(classes);
        let done = (index * CHUNK + items.len()).min(dataset.len());
        observer.event(Event::Note(format!(
            "codes of {done} of {} pictures computed",
            dataset.len()
        )));
    }
    Ok(set)
}

fn mirror(picture: &[u8], size: usize) -> Vec<u8> {
    picture
        .chunks(size * 3)
        .flat_map(|row| row.chunks(3).rev().flatten())
        .copied()
        .collect()
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
    let seconds = state.get("seconds").and_then(HostTensor::as_f32);
    let before = seconds
        .and_then(|values| values.first())
        .copied()
        .unwrap_or(0.0);
    Ok((checkpoint.step, f64::from(before)))
}

fn plan(
    job: &PriorJob,
    config: &PriorConfig,
    trainer: &PriorTrainer,
    sequences: [usize; 2],
    unigram: f64,
) -> Vec<String> {
    let training = &job.recipe.training;
    let parameters = trainer.gpt.num_params();
    let codebook = job.tokenizer.tokenizer_config.codebook_size;
    vec![
        format!(
            "data      {}: {} sequences of {} codes to train on{}, {} held back",
            job.data.display(),
            sequences[0],
            config.codes(),
            if training.flip {
                " (mirrored ones included)"
            } else {
                ""
            },
            sequences[1]
        ),
        format!(
            "network   {} layers, {} heads, width {}, condition {}: {:.2} M parameters",
            config.layers,
            config.heads,
            config.width,
            config.condition.name(),
            parameters as f64 / 1e6
        ),
        format!(
            "to beat   {:.3} nats per code (the codes' frequencies alone); knowing nothing costs {:.3} (log {codebook})",
            unigram,
            (codebook as f64).ln()
        ),
        format!(
            "training  {}, batch {}, learning rate {}",
            duration(job.budget, sequences[0], training.batch),
            training.batch,
            training.learning_rate
        ),
        format!(
            "memory    about {:.1} GB",
            memory(config, training.batch, parameters) / 1e9
        ),
        format!("run       {}", job.out.display()),
    ]
}

/// Bytes: parameters with gradient and two moments, and about sixteen vectors per layer and position, and the logits.
fn memory(config: &PriorConfig, batch: usize, parameters: usize) -> f64 {
    let positions = (batch * config.block_size) as f64;
    let floats = positions
        * (16.0 * (config.width * config.layers) as f64 + 3.0 * config.vocabulary_size as f64);
    4.0 * (4.0 * parameters as f64 + floats)
}
