//! Made-up runs for the tests of the rules.

use super::log::Log;
use super::record::{Kind, Record};
use crate::prior::PriorRecipe;
use crate::tokenizer::TokenizerRecipe;
use crate::training::settings::erased::Fields;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::f64::consts::PI;

/// How long all of them are, and how often they write a line and measure.
pub const STEPS: u64 = 1000;
const LOGGED: u64 = 10;
const MEASURED: u64 = 100;

/// A run that is put together curve by curve. Curves are functions of the part of the run that is over.
#[derive(Clone)]
pub struct Made {
    kind: Kind,
    settings: Map<String, Value>,
    lines: BTreeMap<(u64, &'static str), Map<String, Value>>,
    pictures: Option<f64>,
}

/// Falls from 1 to nothing; most of it in the first third.
pub fn falling(part: f64) -> f64 {
    (-8.0 * part).exp()
}

/// 1 and -1 by turns, from line to line.
pub fn by_turns(part: f64) -> f64 {
    let line = (part * (STEPS / LOGGED) as f64).round() as i64;
    if line % 2 == 0 { 1.0 } else { -1.0 }
}

/// Every so many lines.
pub fn every(lines: i64, part: f64) -> bool {
    let line = (part * (STEPS / LOGGED) as f64).round() as i64;
    line % lines == 0
}

impl Made {
    fn new(kind: Kind, settings: Map<String, Value>) -> Self {
        let made = Self {
            kind,
            settings,
            lines: BTreeMap::new(),
            pictures: Some(10_000.0),
        };
        let rate = 4e-4;
        made.set("steps", STEPS)
            .train("learning_rate", move |part| {
                rate * (0.1 + 0.45 * (1.0 + (PI * part).cos()))
            })
    }

    /// A tokenizer that did well, without a discriminator.
    pub fn tokenizer() -> Self {
        let recipe = TokenizerRecipe::plain();
        let mut settings = recipe.network.fields();
        settings.extend(recipe.training.fields());
        Self::new(Kind::Tokenizer, settings)
            .train("nll_loss", |part| 0.2 + 0.8 * falling(part))
            .train("quant_loss", |_| 0.03)
            .train("usage_65536", |_| 0.9)
            .train("perplexity_65536", |_| 600.0)
            .validation("pixel_loss", |part| 0.105 + 0.4 * falling(part))
            .validation("p_loss", |part| 0.105 + 0.4 * falling(part))
            .validation("psnr", |part| 21.0 - 10.0 * falling(part))
            .validation("usage_validation", |_| 0.85)
    }

    /// The same with a discriminator that joined half-way and does well.
    pub fn adversarial() -> Self {
        Self::tokenizer()
            .late("disc_loss", |_| 0.8)
            .late("logits_real", |_| 0.25)
            .late("logits_fake", |_| -0.15)
            .late("g_loss", |_| 0.15)
            .late("d_weight", |_| 0.8)
    }

    /// A prior that did well.
    pub fn prior() -> Self {
        let recipe = PriorRecipe::default();
        let mut settings = recipe.network.fields();
        settings.extend(recipe.training.fields());
        Self::new(Kind::Prior, settings)
            .train("nats_per_code", |part| 3.8 + 3.1 * falling(part))
            .train("unigram_entropy", |_| 6.5)
            .train("log_codebook_size", |_| 6.93)
            .validation("nats_per_code", |part| 4.0 + 2.9 * falling(part))
    }

    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.settings.insert(key.into(), value.into());
        self
    }

    pub fn unset(mut self, key: &str) -> Self {
        self.settings.remove(key);
        self
    }

    pub fn pictures(mut self, pictures: Option<f64>) -> Self {
        self.pictures = pictures;
        self
    }

    pub fn train(self, name: &str, value: impl Fn(f64) -> f64) -> Self {
        self.curve("train", LOGGED, 0.0, name, value)
    }

    /// Of the training, in the second half.
    pub fn late(self, name: &str, value: impl Fn(f64) -> f64) -> Self {
        self.curve("train", LOGGED, 0.501, name, value)
    }

    pub fn validation(self, name: &str, value: impl Fn(f64) -> f64) -> Self {
        self.curve("validation", MEASURED, 0.0, name, value)
    }

    fn curve(
        mut self,
        split: &'static str,
        every: u64,
        from: f64,
        name: &str,
        value: impl Fn(f64) -> f64,
    ) -> Self {
        for step in (1..=STEPS / every).map(|count| count * every) {
            let part = step as f64 / STEPS as f64;
            if part >= from {
                let line = self.lines.entry((step, split)).or_default();
                // What is not finite becomes null, as in the logs.
                line.insert(name.into(), Value::from(value(part)));
            }
        }
        self
    }

    /// Without what was never measured.
    pub fn without_validation(mut self) -> Self {
        self.lines.retain(|(_, split), _| *split != "validation");
        self
    }

    /// As if it had been stopped after this step.
    pub fn until(mut self, last: u64) -> Self {
        self.lines.retain(|(step, _), _| *step <= last);
        self
    }

    /// The lines of its `metrics.jsonl`.
    pub fn text(&self) -> String {
        let line = |(&(step, split), fields): (&(u64, &'static str), &Map<String, Value>)| {
            let mut line = Map::new();
            line.insert("split".into(), split.into());
            line.insert("step".into(), step.into());
            line.extend(fields.clone());
            format!("{}\n", Value::Object(line))
        };
        self.lines.iter().map(line).collect()
    }

    pub fn record(&self) -> Record {
        Record {
            kind: self.kind,
            settings: self.settings.clone(),
            log: Log::read(self.text().as_bytes()).unwrap(),
            pictures: self.pictures,
        }
    }
}
