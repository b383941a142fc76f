//! A whole stage-1 training: from a folder of pictures to a run folder with a tokenizer in it.

use super::network::Tokenizer;
use super::perceptual::{Lpips, smallest_side};
use super::plan;
use super::recipe::TokenizerRecipe;
use super::trainer::TokenizerTrainer;
use crate::checkpoint::{HostTensor, Model, ModelInfo, TensorMap, read_tensors};
use crate::data::{self, Batch, Dataset, Loader, LoaderConfig};
use crate::error::{Error, Result};
use crate::training::settings::to_yaml;
use crate::training::{Budget, Clock, CodeUsage, Event, Logs, Metrics, Observer, Run};
use burn::module::Module;
use burn::tensor::{Device, Int, Shape, Tensor, TensorData};
use image::RgbImage;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Pictures of the validation split that are shown in the grids.
const SHOWN: usize = 16;
/// The most pictures of the validation split that are measured.
const MEASURED: usize = 512;

/// What to train on, for how long, and where to.
pub struct TokenizerJob {
    pub recipe: TokenizerRecipe,
    pub data: PathBuf,
    pub budget: Budget,
    pub out: PathBuf,
    /// Continue the run in `out` from its newest checkpoint.
    pub resume: bool,
    pub lpips: Option<Lpips>,
}

/// Trains a tokenizer and returns it; the run folder holds everything else.
///
/// # Errors
/// A recipe or data set that cannot be used, a run folder in the way, or a disk that fails.
pub fn train(job: TokenizerJob, device: &Device, observer: &mut dyn Observer) -> Result<Model> {
    job.recipe.check()?;
    check_lpips(&job)?;
    let mut session = Session::open(job, device, observer)?;
    while !session.clock.done() {
        session.step(observer)?;
        if observer.interrupted() {
            let message = "stopped; go on with --resume".to_string();
            session.save(observer)?;
            observer.event(Event::Note(message));
            return Ok(session.model());
        }
    }
    session.validate(observer)?;
    session.save(observer)?;
    Ok(session.model())
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

/// A training that is under way.
struct Session {
    job: TokenizerJob,
    device: Device,
    trainer: TokenizerTrainer,
    loader: Loader,
    validation: Vec<Vec<u8>>,
    usage: CodeUsage,
    clock: Clock,
    logs: Logs,
    run: Run,
    data: serde_json::Value,
    bad_files: usize,
}

impl Session {
    fn open(job: TokenizerJob, device: &Device, observer: &mut dyn Observer) -> Result<Self> {
        let device = device.clone().autodiff();
        let training = &job.recipe.training;
        let dataset = Dataset::open(&job.data)?;
        let (train, held_back) = dataset.split(training.validation, training.seed);
        let pictures = [train.len(), held_back.len()];
        let (validation, bad) = load_validation(&job.recipe, held_back)?;
        let mut trainer = TokenizerTrainer::new(&job.recipe, job.lpips.clone(), &device);
        let mut usage = CodeUsage::new(job.recipe.network.codebook_size);
        let (run, step, before) = if job.resume {
            resume(&job, &mut trainer, &mut usage, &device)?
        } else {
            (
                Run::create(&job.out, &to_yaml(&[&job.recipe.network, training])?)?,
                0,
                0.0,
            )
        };
        let lines = plan::describe(&job, pictures, &trainer);
        observer.event(Event::Plan(lines));
        report_bad(&bad, observer);
        let loader = Loader::new(
            Arc::new(train),
            LoaderConfig {
                batch: training.batch,
                transform: training.transform(),
                background: training.background,
                seed: training.seed,
                workers: 1,
                first_step: step,
                cache_bytes: 2 << 30,
            },
        )?;
        let data = serde_json::json!({
            "path": job.data.display().to_string(),
            "pictures": pictures[0],
            "validation_pictures": pictures[1],
            "classes": dataset.classes,
        });
        Ok(Self {
            clock: Clock::new(job.budget, step, before),
            logs: Logs::open(run.folder(), step)?,
            bad_files: 0,
            job,
            device,
            trainer,
            loader,
            validation,
            usage,
            run,
            data,
        })
    }

    fn step(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let batch = self.loader.next()?;
        let training = &self.job.recipe.training;
        let (step, progress) = (self.clock.step(), self.clock.progress());
        let adversarial = training.discriminator_active(step, progress);
        let learning_rate = training.schedule().at(step, progress);
        let outcome = self
            .trainer
            .step(pixels(&batch, &self.device), learning_rate, adversarial);
        self.clock.advance();
        let mut metrics = outcome.metrics;
        let codes = host_codes(outcome.codes);
        self.usage.add(&codes);
        let of_batch = CodeUsage::of(&codes, self.job.recipe.network.codebook_size);
        let of_window = self.usage.figures();
        metrics.push("usage_batch", of_batch.usage);
        metrics.push("perplexity_batch", of_batch.perplexity);
        metrics.push("usage_65536", of_window.usage);
        metrics.push("perplexity_65536", of_window.perplexity);
        metrics.push("learning_rate", learning_rate);
        self.report(&metrics, observer)?;
        self.periodic(observer)
    }

    fn report(&mut self, metrics: &Metrics, observer: &mut dyn Observer) -> Result<()> {
        let training = &self.job.recipe.training;
        let step = self.clock.step();
        if step == 1 || step.is_multiple_of(training.log_every) {
            self.logs.write("train", step, metrics)?;
        }
        observer.event(Event::Step {
            step,
            steps: self.clock.steps(),
            rate: self.clock.rate() * training.batch as f64,
            left: self.clock.left(),
            metrics,
        });
        let bad = self.loader.bad_files();
        report_bad(&bad[self.bad_files.min(bad.len())..], observer);
        self.bad_files = bad.len();
        Ok(())
    }

    fn periodic(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let training = &self.job.recipe.training;
        let (validate, save) = (training.validate_every, training.checkpoint_every);
        if self.clock.due(validate) {
            self.validate(observer)?;
        }
        if self.clock.due(save) {
            self.save(observer)?;
        }
        Ok(())
    }

    /// Measures the validation split and writes a grid of inputs over reconstructions.
    fn validate(&mut self, observer: &mut dyn Observer) -> Result<()> {
        if self.validation.is_empty() {
            return Ok(());
        }
        let step = self.clock.step();
        let tokenizer = self.trainer.tokenizer.valid();
        let measured = Measured::of(&tokenizer, &self.job, &self.validation, &self.device);
        self.logs.write("validation", step, &measured.metrics)?;
        let grid = data::pairs_grid(&measured.inputs, &measured.reconstructions, 8);
        data::write_png(&self.run.picture("reconstruction", step), &grid)?;
        self.logs
            .picture("validation/reconstruction", step, &grid)?;
        observer.event(Event::Validation {
            step,
            metrics: &measured.metrics,
        });
        Ok(())
    }

    fn save(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let mut state = self.trainer.state();
        let window = self.usage.window();
        state.insert(
            "usage_window".into(),
            HostTensor::i64([window.len()], window),
        );
        self.clock.save(&mut state);
        let model = self.model();
        let keep = self.job.recipe.training.keep;
        let step = self.clock.step();
        let checkpoint = self.run.save(step, |path| model.save(path), &state, keep)?;
        observer.event(Event::Saved(checkpoint.model()));
        Ok(())
    }

    fn model(&self) -> Model {
        Model {
            tokenizer_config: self.job.recipe.network.clone(),
            tokenizer: self.trainer.tokenizer.valid(),
            prior: None,
            info: ModelInfo {
                step: self.clock.step(),
                recipe: serde_json::to_value(&self.job.recipe.training).unwrap_or_default(),
                data: self.data.clone(),
                ..ModelInfo::default()
            },
        }
    }
}

fn load_validation(
    recipe: &TokenizerRecipe,
    held_back: Dataset,
) -> Result<(Vec<Vec<u8>>, Vec<(PathBuf, String)>)> {
    if held_back.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let held_back = held_back.limit(MEASURED);
    let training = &recipe.training;
    let (pictures, _, bad) =
        data::load_all(&held_back, &training.transform(), training.background)?;
    Ok((pictures, bad))
}

fn resume(
    job: &TokenizerJob,
    trainer: &mut TokenizerTrainer,
    usage: &mut CodeUsage,
    device: &Device,
) -> Result<(Run, u64, f64)> {
    let run = Run::open(&job.out)?;
    let Some(checkpoint) = run.latest()? else {
        return Ok((run, 0, 0.0));
    };
    let model = Model::load(&checkpoint.model(), device)?;
    if model.tokenizer_config != job.recipe.network {
        return Err(Error::file(
            run.config(),
            "its network differs from the checkpoint's: only settings of the training may change in a resumed run",
        ));
    }
    let path = checkpoint.state();
    let (state, _) = read_tensors(&path)?;
    let in_file = |error: Error| Error::file(&path, error.to_string());
    trainer
        .load(model.tokenizer, &state, device)
        .map_err(in_file)?;
    usage.add(&saved_codes(&state, job.recipe.network.codebook_size));
    Ok((run, checkpoint.step, Clock::saved_seconds(&state)))
}

fn saved_codes(state: &TensorMap, codebook_size: usize) -> Vec<i64> {
    let window = state
        .get("usage_window")
        .and_then(HostTensor::as_i64)
        .unwrap_or_default();
    let valid = |code: &&i64| (0..codebook_size as i64).contains(*code);
    window.iter().filter(valid).copied().collect()
}

/// Says which pictures were skipped, without flooding the screen.
pub(crate) fn report_bad(bad: &[(PathBuf, String)], observer: &mut dyn Observer) {
    for (path, reason) in bad.iter().take(10) {
        observer.event(Event::Note(format!("skipped {}: {reason}", path.display())));
    }
    if bad.len() > 10 {
        observer.event(Event::Note(format!(
            "skipped {} more pictures",
            bad.len() - 10
        )));
    }
}

/// A batch as a tensor `[b, size, size, 3]`.
fn pixels(batch: &Batch, device: &Device) -> Tensor<4> {
    let shape = Shape::from([batch.indices.len(), batch.size, batch.size, 3]);
    Tensor::from_data(TensorData::new(batch.pixels.clone(), shape), device)
}

/// Codes on the host, in reading order.
pub(crate) fn host_codes(codes: Tensor<3, Int>) -> Vec<i64> {
    codes
        .into_data_as::<i64>()
        .try_into_vec()
        .expect("the codes were just converted to i64")
}

/// The validation split through the tokenizer.
struct Measured {
    metrics: Metrics,
    inputs: Vec<RgbImage>,
    reconstructions: Vec<RgbImage>,
}

impl Measured {
    fn of(
        tokenizer: &Tokenizer,
        job: &TokenizerJob,
        pictures: &[Vec<u8>],
        device: &Device,
    ) -> Self {
        let device = device.clone().inner();
        let size = job.recipe.training.size;
        let (mut codes, mut shown) = (Vec::new(), Vec::new());
        let (mut absolute, mut squared, mut perceptual) = (0.0, 0.0, 0.0);
        for chunk in pictures.chunks(job.recipe.training.batch) {
            let values: Vec<f32> = chunk
                .iter()
                .flat_map(|picture| data::bytes_to_floats(picture))
                .collect();
            let shape = Shape::from([chunk.len(), size, size, 3]);
            let pixels = Tensor::<4>::from_data(TensorData::new(values, shape), &device);
            let quantized = tokenizer.encode(pixels.clone());
            let reconstruction = tokenizer.decode(quantized.latent).clamp(-1.0, 1.0);
            codes.extend(host_codes(quantized.codes));
            let share = chunk.len() as f64 / pictures.len() as f64;
            let difference = pixels.clone() - reconstruction.clone();
            absolute += share * f64::from(difference.clone().abs().mean().into_scalar::<f32>());
            // PSNR is of each picture, over the range of 2 that [-1, 1] spans.
            let errors = difference
                .square()
                .reshape([chunk.len(), size * size * 3])
                .mean_dim(1);
            let errors = crate::checkpoint::host_values(errors);
            squared += errors
                .iter()
                .map(|&error| psnr(f64::from(error)))
                .sum::<f64>()
                / pictures.len() as f64;
            if let Some(lpips) = &job.lpips {
                let distance = lpips.distance(pixels, reconstruction.clone()).mean();
                perceptual += share * f64::from(distance.into_scalar::<f32>());
            }
            if shown.len() < SHOWN {
                shown.extend(pictures_of(reconstruction, size));
            }
        }
        let figures = CodeUsage::of(&codes, job.recipe.network.codebook_size);
        let mut metrics = Metrics::default();
        metrics.push("pixel_loss", absolute);
        metrics.push("psnr", squared);
        if job.lpips.is_some() {
            metrics.push("p_loss", perceptual);
        }
        metrics.push("usage_validation", figures.usage);
        metrics.push("perplexity_validation", figures.perplexity);
        shown.truncate(SHOWN);
        let inputs = pictures
            .iter()
            .take(SHOWN)
            .map(|picture| picture_of(picture, size))
            .collect();
        Self {
            metrics,
            inputs,
            reconstructions: shown,
        }
    }
}

fn psnr(squared_error: f64) -> f64 {
    10.0 * (4.0 / squared_error.max(1e-12)).log10()
}

/// Square pictures `[b, size, size, 3]` in [-1, 1] as images.
pub(crate) fn pictures_of(pixels: Tensor<4>, size: usize) -> Vec<RgbImage> {
    let values = crate::checkpoint::host_values(pixels);
    values
        .chunks(size * size * 3)
        .map(|picture| data::to_image(picture, size, size))
        .collect()
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

/// Bytes of a square picture as an image.
pub(crate) fn picture_of(bytes: &[u8], size: usize) -> RgbImage {
    RgbImage::from_raw(size as u32, size as u32, bytes.to_vec())
        .expect("a square picture of this size")
}
