//! Where cells are trained: what is trained already is taken from its run folder, what was interrupted goes on.

use super::base::{Base, TokenizerCell};
use super::results::{Results, Settings};
use super::{Name, Reproduce};
use crate::commands::features::load_network;
use crate::commands::train::load_lpips;
use crate::progress::{self, TrainingView};
use crate::{Common, models, output};
use serde_json::{Value, json};
use smalti::checkpoint::read_tensors;
use smalti::metrics::FeatureNetwork;
use smalti::model::Model;
use smalti::prior::{self, PriorJob, PriorRecipe};
use smalti::tokenizer::{self, Lpips, TokenizerJob};
use smalti::training::{Clock, Run};
use smalti::{Module, Result};
use std::path::{Path, PathBuf};

/// A comparison under way.
pub struct Bench<'a> {
    pub ask: &'a Reproduce,
    pub common: &'a Common,
    pub base: Base,
    pub results: Results,
    /// What makes the features that are compared, unless nobody wants any.
    pub network: Option<FeatureNetwork>,
}

/// A model that a cell trained.
pub struct Trained {
    pub model: Model,
    pub run: PathBuf,
    pub steps: u64,
    pub minutes: f64,
    /// Of the stage that was trained.
    pub parameters: usize,
}

impl Trained {
    /// The model's file, or the run it is the newest checkpoint of.
    pub fn file(&self) -> PathBuf {
        file_of(&self.run)
    }
}

/// Of a run that ended early the best model, otherwise the newest.
fn file_of(run: &Path) -> PathBuf {
    let best = run.join("best.safetensors");
    match best.is_file() {
        true => best,
        false => run.to_path_buf(),
    }
}

impl<'a> Bench<'a> {
    /// Begins a comparison, or takes up one that was begun.
    ///
    /// # Errors
    /// Data that cannot be used, and a folder with results of other settings. Nothing is left behind then.
    pub fn open(ask: &'a Reproduce, common: &'a Common) -> Result<Self> {
        let asked = ask.asked(common);
        let begun = Settings::read(&ask.out, &asked)?;
        let base = match &begun {
            Some(settings) => Base::read(ask, settings)?,
            None => Base::choose(ask, common)?,
        };
        for cell in ask.name.tokenizers() {
            base.tokenizer(cell)?;
        }
        // What is missing should be heard of before hours of training.
        let network = match ask.features.as_str() {
            "none" => None,
            _ if ask.name == Name::Table1 => None,
            name => Some(load_network(name, common)?),
        };
        let results = Results::open(&ask.out)?;
        if begun.is_none() {
            let settings = base.settings(asked)?;
            output::folder(&ask.out)?;
            settings.write(&ask.out)?;
        }
        Ok(Self {
            ask,
            common,
            base,
            results,
            network,
        })
    }

    /// The LPIPS network that figures are measured with, if there is one.
    pub fn lpips(&self) -> Result<Option<Lpips>> {
        load_lpips(&self.base.tokenizer.training.perceptual, self.common)
    }

    /// The side of whole pictures.
    pub fn size(&self) -> usize {
        self.base.tokenizer.training.size
    }

    fn run(&self, name: &str) -> PathBuf {
        self.ask.out.join("runs").join(name)
    }

    /// Trains a tokenizer; `None` if that was stopped.
    pub fn tokenizer(&mut self, cell: &TokenizerCell) -> Result<Option<Trained>> {
        let run = self.run(cell.name);
        if self.results.get(&trained(cell.name)).is_none() {
            self.announce(cell.name);
            let recipe = self.base.tokenizer(cell)?;
            let job = TokenizerJob {
                lpips: load_lpips(&recipe.training.perceptual, self.common)?,
                recipe,
                out: run.clone(),
                resume: Run::open(&run).is_ok(),
            };
            let mut view = TrainingView::tokenizer(self.common);
            if tokenizer::train(job, &models::device(), &mut view)?.stopped {
                return Ok(None);
            }
        }
        self.finished(cell.name, run)
    }

    /// Trains a prior over the codes of a tokenizer; `None` if that was stopped.
    pub fn prior(
        &mut self,
        name: &str,
        mut recipe: PriorRecipe,
        tokenizer: &Trained,
    ) -> Result<Option<Trained>> {
        let run = self.run(name);
        if self.results.get(&trained(name)).is_none() {
            self.announce(name);
            recipe.training.tokenizer = tokenizer.run.clone();
            let job = PriorJob {
                recipe,
                tokenizer: tokenizer.model.clone(),
                condition_tokenizer: None,
                out: run.clone(),
                resume: Run::open(&run).is_ok(),
            };
            let mut view = TrainingView::prior(self.common);
            if prior::train(job, &models::device(), &mut view)?.stopped {
                return Ok(None);
            }
        }
        self.finished(name, run)
    }

    fn announce(&self, name: &str) {
        progress::note(self.common, format_args!("\n{name}"));
    }

    /// Reads what was trained, and notes that it is.
    fn finished(&mut self, name: &str, run: PathBuf) -> Result<Option<Trained>> {
        let (steps, minutes) = spent(&run)?;
        let model = models::load(&file_of(&run), self.common)?;
        let parameters = match &model.prior {
            Some((_, prior)) => prior.num_params(),
            None => model.tokenizer.num_params(),
        };
        let cell = trained(name);
        if self.results.get(&cell).is_none() {
            let outcome = json!({"steps": steps, "minutes": minutes, "parameters": parameters});
            self.results.add(cell, outcome)?;
        }
        Ok(Some(Trained {
            model,
            run,
            steps,
            minutes,
            parameters,
        }))
    }

    /// What was measured of a cell, or is now by `measure`, which gives `None` if it was stopped.
    pub fn measured(
        &mut self,
        name: &str,
        measure: impl FnOnce(&Self) -> Result<Option<Value>>,
    ) -> Result<Option<Value>> {
        let cell = format!("measured {name}");
        if let Some(outcome) = self.results.get(&cell) {
            return Ok(Some(outcome.clone()));
        }
        if progress::interrupted() {
            return Ok(None);
        }
        progress::note(self.common, format_args!("measuring {name}"));
        let Some(outcome) = measure(self)? else {
            return Ok(None);
        };
        self.results.add(cell, outcome.clone())?;
        Ok(Some(outcome))
    }
}

/// The cell of a training that is done.
fn trained(name: &str) -> String {
    format!("trained {name}")
}

/// Steps and minutes of a run's newest checkpoint.
fn spent(run: &Path) -> Result<(u64, f64)> {
    let Some(checkpoint) = Run::open(run)?.latest()? else {
        return Ok((0, 0.0));
    };
    let (state, _) = read_tensors(&checkpoint.state())?;
    Ok((checkpoint.step, Clock::saved_seconds(&state) / 60.0))
}
