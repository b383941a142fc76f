//! What the examples share: drawn pictures, recipes that take seconds, and an observer that keeps the losses.

#![allow(dead_code)]

use smalti::data::drawn::{SHAPES, draw};
use smalti::data::write_png;
use smalti::model::Model;
use smalti::prior::{self, ConditionKind, PriorJob, PriorRecipe};
use smalti::tokenizer::{self, TokenizerJob, TokenizerRecipe, presets};
use smalti::training::{Event, Observer};
use smalti::{Device, Error, Result};
use std::path::{Path, PathBuf};

/// Side of the pictures, and how many there are of each of two shapes.
pub const SIZE: u32 = 16;
pub const COUNT: u64 = 60;

/// Numbers of pictures from here on are in no data set.
pub const UNSEEN: u64 = 1000;

/// Draws a data set of two classes into `folder`.
pub fn drawn_pictures(folder: &Path) -> Result<PathBuf> {
    let data = folder.join("pictures");
    for (shape, name) in SHAPES.iter().enumerate().take(2) {
        let class = data.join(name);
        std::fs::create_dir_all(&class).map_err(|error| Error::io(&class, error))?;
        for index in 0..COUNT {
            let picture = draw(shape, index, SIZE);
            write_png(&class.join(format!("{index:03}.png")), &picture)?;
        }
    }
    Ok(data)
}

/// A tokenizer of 16 pixels to 4 × 4 codes that learns for 150 steps, without networks of others.
pub fn tokenizer_recipe(data: &Path) -> Result<TokenizerRecipe> {
    let mut recipe = TokenizerRecipe::default();
    presets::apply(
        &mut [&mut recipe.network, &mut recipe.training],
        &["tiny", "f4"],
    )?;
    recipe.network.resolution = SIZE as usize;
    recipe.network.codebook_size = 64;
    let training = &mut recipe.training;
    training.data = data.to_path_buf();
    training.size = SIZE as usize;
    training.steps = 150;
    training.batch = 8;
    training.warmup_steps = 10;
    training.learning_rate = 1e-3;
    training.kmeans_step = 15;
    training.weight_average = 0.9;
    training.perceptual = "none".into();
    training.discriminator_weight = 0.0;
    training.validate_every = 0;
    Ok(recipe)
}

/// A class-conditional transformer that learns for 150 steps.
pub fn prior_recipe(data: &Path) -> PriorRecipe {
    let mut recipe = PriorRecipe::default();
    recipe.network.layers = 2;
    recipe.network.heads = 2;
    recipe.network.width = 64;
    recipe.network.embedding_dropout = 0.0;
    recipe.network.residual_dropout = 0.0;
    let training = &mut recipe.training;
    training.data = data.to_path_buf();
    training.condition = ConditionKind::Class;
    training.steps = 150;
    training.warmup_steps = 10;
    training.learning_rate = 1e-3;
    training.validate_every = 0;
    recipe
}

/// Keeps one figure of every step.
pub struct Watch {
    name: &'static str,
    pub values: Vec<f64>,
}

impl Watch {
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            values: Vec::new(),
        }
    }

    /// The means of the first and the last ten values.
    pub fn ends(&self) -> [f64; 2] {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let ten = self.values.len().min(10);
        let last = self.values.len() - ten;
        [mean(&self.values[..ten]), mean(&self.values[last..])]
    }
}

impl Observer for Watch {
    fn event(&mut self, event: Event<'_>) {
        if let Event::Step { metrics, .. } = event {
            self.values.extend(metrics.get(self.name));
        }
    }

    fn interrupted(&self) -> bool {
        false
    }
}

/// A tokenizer trained on the pictures of `data`, its run in `folder`.
pub fn trained_tokenizer(data: &Path, folder: &Path) -> Result<Model> {
    let job = TokenizerJob {
        recipe: tokenizer_recipe(data)?,
        out: folder.join("tokenizer"),
        resume: false,
        lpips: None,
    };
    Ok(tokenizer::train(job, &Device::flex(), &mut Watch::new("nll_loss"))?.model)
}

/// Both stages, trained on drawn pictures.
pub fn trained_prior(folder: &Path) -> Result<Model> {
    let data = drawn_pictures(folder)?;
    let job = PriorJob {
        recipe: prior_recipe(&data),
        tokenizer: trained_tokenizer(&data, folder)?,
        condition_tokenizer: None,
        out: folder.join("prior"),
        resume: false,
    };
    Ok(prior::train(job, &Device::flex(), &mut Watch::new("nats_per_code"))?.model)
}
