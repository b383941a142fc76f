//! Samples that are drawn to be measured: round by round, so that memory does not grow with their number.

use super::Steps;
use super::features::Sizing;
use crate::commands::conditions::{ConditionArgs, conditions, fitting_notes};
use crate::{Common, models, parse_weights, progress};
use clap::Args;
use image::RgbImage;
use serde_json::{Value, json};
use smalti::model::{GivenCondition, Model};
use smalti::prior::PriorConfig;
use smalti::sample::{
    Filter, Request, SampleOptions, Sampler, WeightFormat, decode_pictures, picture_seed,
};
use smalti::{Error, Result};
use std::path::Path;

/// Samples that are decoded and measured together.
const ROUND: usize = 64;

/// Pictures that go through the decoder at once.
const DECODED: usize = 8;

/// How samples are drawn from a model.
#[derive(Args)]
pub struct SamplingArgs {
    /// With --model: how many samples
    #[arg(short, default_value_t = 1000)]
    n: usize,
    #[command(flatten)]
    condition: ConditionArgs,
    /// With --model: below 1 safer, above 1 bolder
    #[arg(long, default_value_t = 1.0)]
    temperature: f64,
    /// With --model: draw among the k most probable codes only
    #[arg(long)]
    top_k: Option<usize>,
    /// With --model: draw among the most probable codes that make up this share only
    #[arg(long)]
    top_p: Option<f64>,
    /// With --model: samples drawn at the same time
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// With --model: keep the weights of the prior in fewer bits
    #[arg(long, value_parser = parse_weights)]
    weights: Option<WeightFormat>,
}

/// A model about to draw.
pub struct Drawing {
    pub model: Model,
    sampler: Sampler,
    requests: Vec<Request>,
    grid: [usize; 2],
    protocol: Value,
}

impl SamplingArgs {
    /// Loads the model and prepares all samples; they follow from `seed` as those of `smalti sample` do.
    pub fn open(&self, common: &Common, path: &Path, seed: u64) -> Result<Drawing> {
        if self.n < 2 {
            return Err(Error::input("-n: figures take two samples at least"));
        }
        let mut model = models::load_for_pictures(path, common)?;
        let options = SampleOptions {
            filter: Filter {
                temperature: self.temperature,
                top_k: self.top_k,
                top_p: self.top_p,
                ..Filter::default()
            },
            batch: self.batch,
            weights: common.weights(self.weights),
            codes_per_position: model.tokenizer_config.codes_per_position,
            ..SampleOptions::default()
        };
        options.check()?;
        let requests = self.requests(common, &model, seed)?;
        let (config, gpt) = model.take_prior()?;
        let sampler = Sampler::new(gpt, &config, model.tokenizer_config.codes(), options)?;
        Ok(Drawing {
            protocol: self.protocol(path, &model, (&config, options)),
            model,
            sampler,
            requests,
            grid: [config.rows, config.columns],
        })
    }

    fn requests(&self, common: &Common, model: &Model, seed: u64) -> Result<Vec<Request>> {
        let (config, _) = model.require_prior()?;
        let choices = self.condition.choices(config, true, seed)?;
        let grid = [config.rows, config.columns];
        let given = conditions(model, &choices, (self.n, grid, seed), false)?;
        for note in fitting_notes(&given) {
            progress::note(common, note);
        }
        let request = |(index, given): (usize, GivenCondition)| {
            let seed = picture_seed(seed, index);
            Request::new(given.conditioning, config.codes(), seed)
        };
        Ok(given.into_iter().enumerate().map(request).collect())
    }

    fn protocol(
        &self,
        path: &Path,
        model: &Model,
        (config, options): (&PriorConfig, SampleOptions),
    ) -> Value {
        let [class, files, texts] = self.condition.described(config);
        json!({
            "model": path.display().to_string(),
            "step": model.info.step,
            "temperature": self.temperature,
            "top_k": self.top_k,
            "top_p": self.top_p,
            "class": class,
            "files": files,
            "texts": texts,
            "weights": options.weights.name(),
            "precision": model.tokenizer.precision,
        })
    }
}

/// Takes some samples: their codes and their pictures.
pub type Put<'a> = dyn FnMut(&[Vec<i64>], Vec<RgbImage>) -> Result<()> + 'a;

impl Drawing {
    /// How many samples.
    pub fn count(&self) -> usize {
        self.requests.len()
    }

    /// Rows and columns of codes.
    pub fn grid(&self) -> [usize; 2] {
        self.grid
    }

    /// How samples are drawn.
    pub fn protocol(&self) -> &Value {
        &self.protocol
    }

    /// The side of its pictures.
    ///
    /// # Errors
    /// Pictures that are no squares.
    pub fn side(&self) -> Result<usize> {
        let [height, width] = self.model.tokenizer_config.pixels_of(self.grid);
        if height == width {
            return Ok(width);
        }
        Err(Error::input(format!(
            "this prior draws pictures of {width}×{height} pixels: say --size N to measure squares of one size"
        )))
    }

    /// Draws all samples and hands them to `put`, some at a time: their codes, and the pictures as `sizing` has them.
    pub fn draw(&self, common: &Common, sizing: Sizing, put: &mut Put<'_>) -> Result<()> {
        let each = self.grid[0] * self.grid[1];
        let mut steps = Steps::new(common, self.count() * each, "codes");
        let mut done = 0;
        for requests in self.requests.chunks(ROUND) {
            let codes = self
                .sampler
                .draw(requests, |progress| steps.show(done + progress.drawn))?;
            let pictures = decode_pictures(&self.model, &codes, self.grid, DECODED);
            let sized: Vec<RgbImage> = pictures
                .into_iter()
                .map(|picture| sizing.apply(picture))
                .collect::<Result<_>>()?;
            put(&codes, sized)?;
            done += each * requests.len();
        }
        Ok(())
    }
}
