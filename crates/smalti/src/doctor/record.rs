//! A run as its files tell it: `config.yaml`, `metrics.jsonl`, and the header of the newest checkpoint.

use super::curve::{Point, at, before, since};
use super::log::Log;
use super::provenance;
use crate::error::{Error, Result};
use crate::training::settings::parse_yaml;
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// The longest `config.yaml` that is read; ours are shorter than two thousand bytes.
const LONGEST_CONFIG: u64 = 1 << 20;

/// Which stage a run trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Stage 1.
    Tokenizer,
    /// Stage 2.
    Prior,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Tokenizer => "tokenizer",
            Self::Prior => "prior",
        }
    }
}

/// What is known of a run.
#[derive(Debug, Clone)]
pub struct Record {
    pub kind: Kind,
    /// All of `config.yaml`. Runs of other versions have other keys, so every key may be absent.
    pub settings: Map<String, Value>,
    pub log: Log,
    /// Pictures of the training split (stage 1) or sequences of codes (stage 2), if a checkpoint says so.
    pub pictures: Option<f64>,
}

impl Record {
    /// Reads a run folder without changing anything in it; the run may still be training.
    ///
    /// # Errors
    /// What is no run folder, and files of it that cannot be read at all. Damaged lines of the log are no error.
    pub fn read(folder: &Path) -> Result<Self> {
        check_folder(folder)?;
        let config = folder.join("config.yaml");
        let settings =
            parse_yaml(&text(&config)?).map_err(|message| Error::file(&config, message))?;
        let metrics = folder.join("metrics.jsonl");
        if !metrics.exists() {
            return Err(Error::file(
                &metrics,
                "there is no such file: this run has not begun, or the folder is not whole",
            ));
        }
        let file = File::open(&metrics).map_err(|error| Error::io(&metrics, error))?;
        let log = Log::read(BufReader::new(file)).map_err(|error| Error::io(&metrics, error))?;
        let kind = kind(&settings, &log).ok_or_else(|| {
            Error::file(
                &config,
                "neither this file nor metrics.jsonl is of a training of smalti",
            )
        })?;
        Ok(Self {
            kind,
            pictures: provenance::pictures(folder, kind),
            settings,
            log,
        })
    }

    pub(super) fn train(&self, name: &str) -> &[Point] {
        self.log.train.points(name)
    }

    pub(super) fn validation(&self, name: &str) -> &[Point] {
        self.log.validation.points(name)
    }

    /// A setting that is a number.
    pub(super) fn number(&self, key: &str) -> Option<f64> {
        self.settings.get(key)?.as_f64()
    }

    /// Whether a setting is this word.
    pub(super) fn is(&self, key: &str, word: &str) -> bool {
        self.settings.get(key).and_then(Value::as_str) == Some(word)
    }

    /// The number of steps it is to have, unless its budget is in minutes.
    pub(super) fn budget(&self) -> Option<u64> {
        let in_minutes = self.number("minutes").is_some_and(|minutes| minutes > 0.0);
        let steps = self.settings.get("steps")?.as_u64()?;
        (!in_minutes).then_some(steps)
    }

    /// Whether it has steps left to take.
    pub(super) fn under_way(&self) -> bool {
        self.budget().is_some_and(|steps| self.log.step < steps)
    }

    /// The first step, of those that were logged, at which the discriminator moved the tokenizer.
    pub(super) fn joined(&self) -> Option<u64> {
        let weights = self.train("d_weight");
        let first = match weights {
            [] => self.train("g_loss").first(),
            _ => weights.iter().find(|point| point.value > 0.0),
        };
        first.map(|point| point.step)
    }

    /// The last step of the warm-up.
    pub(super) fn warm(&self) -> u64 {
        let steps = self.settings.get("warmup_steps").and_then(Value::as_u64);
        steps.unwrap_or(0)
    }

    /// The one of two limits, of stage 1 and of stage 2, that applies.
    pub(super) fn by_stage(&self, limits: [f64; 2]) -> f64 {
        match self.kind {
            Kind::Tokenizer => limits[0],
            Kind::Prior => limits[1],
        }
    }

    /// The name of the loss that training is about, without the adversarial one.
    pub(super) fn loss_name(&self) -> &'static str {
        match self.kind {
            Kind::Tokenizer => "nll_loss",
            Kind::Prior => "nats_per_code",
        }
    }

    pub(super) fn train_loss(&self) -> &[Point] {
        self.train(self.loss_name())
    }

    /// The same loss of the validation split; in stage 1 it is put together from what is logged.
    pub(super) fn validation_loss(&self) -> Vec<Point> {
        let logged = self.validation(self.loss_name());
        let (pixels, perceptual) = (self.validation("pixel_loss"), self.validation("p_loss"));
        if !logged.is_empty() || perceptual.is_empty() {
            let points = if logged.is_empty() { pixels } else { logged };
            return points.to_vec();
        }
        let weight = self.number("perceptual_weight").unwrap_or(1.0);
        let sum = |pixel: &Point| {
            let value = pixel.value + weight * at(perceptual, pixel.step)?;
            Some(Point { value, ..*pixel })
        };
        pixels.iter().filter_map(sum).collect()
    }

    /// The training loss after the warm-up and before the discriminator joined: what only the learning rate explains.
    pub(super) fn undisturbed(&self) -> &[Point] {
        let points = since(self.train_loss(), self.warm());
        match self.joined() {
            Some(step) => before(points, step),
            None => points,
        }
    }

    /// From this step on, all steps were taken under the same losses.
    pub(super) fn settled(&self) -> u64 {
        self.warm().max(self.joined().unwrap_or(0))
    }
}

fn kind(settings: &Map<String, Value>, log: &Log) -> Option<Kind> {
    let has = |key: &str| settings.contains_key(key);
    let logged = |name: &str| !log.train.points(name).is_empty();
    if has("pkeep") || logged("nats_per_code") {
        return Some(Kind::Prior);
    }
    (has("codebook_weight") || logged("quant_loss")).then_some(Kind::Tokenizer)
}

/// Says what to name instead of something that is no run folder.
fn check_folder(path: &Path) -> Result<()> {
    let is_run = |folder: &Path| folder.join("config.yaml").is_file();
    if path.is_dir() && is_run(path) {
        return Ok(());
    }
    let message = match path.ancestors().skip(1).find(|folder| is_run(folder)) {
        Some(run) if path.exists() && !run.as_os_str().is_empty() => format!(
            "this is a part of a run; name the run folder: smalti doctor {}",
            run.display()
        ),
        _ if path.is_file() => "this is a file; name a run folder, the one with config.yaml and \
             metrics.jsonl that `smalti train --out` made (`smalti info` says what a model file holds)"
            .into(),
        _ if path.exists() => {
            "this is not a run folder: it has no config.yaml; name the folder that `smalti train --out` made".into()
        }
        _ => "no such folder".into(),
    };
    Err(Error::file(path, message))
}

fn text(path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| Error::io(path, error))?;
    file.take(LONGEST_CONFIG + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::io(path, error))?;
    if bytes.len() as u64 > LONGEST_CONFIG {
        return Err(Error::file(path, "this is too long for a list of settings"));
    }
    String::from_utf8(bytes).map_err(|_| Error::file(path, "this is not text"))
}
