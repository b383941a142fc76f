//! `smalti demo`: both stages on pictures the program draws itself, without network or arguments.

use crate::progress::{self, TrainingView};
use crate::{Common, models, output};
use clap::Args;
use serde_json::json;
use smalti::data::drawn::{SHAPES, draw};
use smalti::data::{GRID_PADDING, grid, pairs_grid, write_png};
use smalti::model::Model;
use smalti::prior::{self, ConditionKind, PriorJob, PriorRecipe};
use smalti::sample::{
    Filter, Request, SampleOptions, class_condition, decode_pictures, picture_seed, sample_codes,
};
use smalti::tokenizer::{self, TokenizerJob, TokenizerRecipe, picture};
use smalti::training::Trained;
use smalti::training::settings::set_from_argument;
use smalti::{Error, Result};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Side of the drawn pictures, and how many there are of each shape.
const SIZE: u32 = 32;
const PER_SHAPE: u64 = 240;
/// Numbers of drawn pictures that no training sees.
const UNSEEN: u64 = 1_000_000;

/// A tokenizer that is small and quick. Without a perceptual network, which would have to be downloaded, it is the
/// discriminator that makes edges sharp; a light codebook loss keeps more of so few codes in use in so few steps.
const TOKENIZER: [&str; 15] = [
    "size=32",
    "resolution=32",
    "channels=32",
    "channel_multipliers=[1, 1, 2]",
    "z_channels=64",
    "codebook_size=256",
    "codebook_weight=0.1",
    "perceptual=none",
    "discriminator_layers=2",
    "discriminator_channels=32",
    "discriminator_start=0.6",
    "batch=8",
    "learning_rate=0.001",
    "log_every=50",
    "validate_every=0",
];
const PRIOR: [&str; 8] = [
    "layers=4",
    "heads=4",
    "width=128",
    "embedding_dropout=0",
    "residual_dropout=0",
    "learning_rate=0.001",
    "log_every=50",
    "validate_every=0",
];

#[derive(Args)]
pub struct Demo {
    /// The folder to create
    #[arg(long, default_value = "smalti-demo")]
    out: PathBuf,
    /// Minutes for both trainings together
    #[arg(long, default_value_t = 2.6)]
    minutes: f64,
}

impl Demo {
    pub fn run(self, common: &Common) -> Result<()> {
        if self.minutes.is_nan() || self.minutes <= 0.0 {
            return Err(Error::input("--minutes must be above 0"));
        }
        let started = Instant::now();
        let pictures = self.out.join("pictures");
        if self.out.exists() {
            return Err(Error::input(format!(
                "{} exists: remove it, or choose another --out",
                self.out.display()
            )));
        }
        draw_all(&pictures)?;
        let drawn = PER_SHAPE * SHAPES.len() as u64;
        progress::note(
            common,
            format_args!(
                "drew {drawn} pictures of {SIZE} × {SIZE} pixels: {}",
                SHAPES.join(", ")
            ),
        );
        progress::note(
            common,
            "\nstage 1: a tokenizer learns the parts of these pictures",
        );
        let trained = self.train_tokenizer(common, &pictures)?;
        if trained.stopped {
            return Ok(());
        }
        progress::note(
            common,
            "\nstage 2: a transformer learns how the parts compose",
        );
        let trained = self.train_prior(common, &pictures, trained.model)?;
        if trained.stopped {
            return Ok(());
        }
        let model = trained.model;
        let results = self.show(&model)?;
        let seconds = started.elapsed().as_secs_f64();
        let json = json!({"out": self.out, "seconds": seconds, "pictures": results});
        output::print(common, json, || {
            let [reconstructed, completed, sampled] =
                results.map(|path| path.display().to_string());
            vec![
                format!("done in {}", progress::time(seconds)),
                format!(
                    "{reconstructed}  pictures it has never seen (above) and what it makes of them (below)"
                ),
                format!("{completed}  upper halves of unseen pictures (above), completed (below)"),
                format!(
                    "{sampled}  new pictures, one row per shape: {}",
                    SHAPES.join(", ")
                ),
                format!(
                    "the models are {0}/tokenizer and {0}/prior; try: smalti info {0}/prior",
                    self.out.display()
                ),
            ]
        });
        Ok(())
    }

    fn train_tokenizer(&self, common: &Common, pictures: &Path) -> Result<Trained> {
        let mut recipe = TokenizerRecipe::plain();
        for setting in TOKENIZER {
            set_from_argument(&mut [&mut recipe.network, &mut recipe.training], setting)?;
        }
        recipe.training.data = pictures.to_path_buf();
        recipe.training.minutes = 0.58 * self.minutes;
        let job = TokenizerJob {
            recipe,
            out: self.out.join("tokenizer"),
            resume: false,
            lpips: None,
        };
        tokenizer::train(job, &models::device(), &mut TrainingView::tokenizer(common))
    }

    fn train_prior(&self, common: &Common, pictures: &Path, tokenizer: Model) -> Result<Trained> {
        let mut recipe = PriorRecipe::default();
        for setting in PRIOR {
            set_from_argument(&mut [&mut recipe.network, &mut recipe.training], setting)?;
        }
        recipe.training.data = pictures.to_path_buf();
        recipe.training.condition = ConditionKind::Class;
        recipe.training.minutes = 0.42 * self.minutes;
        let job = PriorJob {
            recipe,
            tokenizer,
            condition_tokenizer: None,
            out: self.out.join("prior"),
            resume: false,
        };
        prior::train(job, &models::device(), &mut TrainingView::prior(common))
    }

    /// Reconstructs, completes and samples, and says where the pictures are.
    fn show(&self, model: &Model) -> Result<[PathBuf; 3]> {
        let paths = ["reconstructed", "completed", "sampled"]
            .map(|name| self.out.join(format!("{name}.png")));
        let unseen: Vec<_> = (0..8)
            .map(|index| draw(index % SHAPES.len(), UNSEEN + index as u64, SIZE))
            .collect();
        let reconstructed: Vec<_> = unseen
            .iter()
            .map(|input| picture::reconstruct(model, input))
            .collect();
        write_png(&paths[0], &pairs_grid(&unseen, &reconstructed, 8))?;
        let (config, prior) = model.require_prior()?;
        let grid_size = [config.rows, config.columns];
        let codebook_size = model.tokenizer_config.codebook_size;
        let options = SampleOptions {
            filter: Filter {
                top_p: Some(0.95),
                ..Filter::default()
            },
            batch: 20,
            ..SampleOptions::default()
        };
        let painted = |requests: &[Request]| -> Result<Vec<_>> {
            let codes = sample_codes(
                prior.clone(),
                config,
                codebook_size,
                requests,
                options,
                |_| {},
            )?;
            Ok(decode_pictures(model, &codes, grid_size, 8))
        };
        let request = |class: usize, index: usize| -> Result<Request> {
            let condition = class_condition(config, Some(class))?;
            Ok(Request::new(
                condition,
                config.codes(),
                picture_seed(0, index),
            ))
        };
        let mut requests = Vec::new();
        let mut halves = Vec::new();
        for (index, input) in unseen.iter().enumerate() {
            let (codes, _) = picture::encode(model, input);
            let mut request = request(index % SHAPES.len(), index)?;
            let upper = codes.len() / 2;
            for (known, code) in request.known.iter_mut().zip(codes).take(upper) {
                *known = Some(code);
            }
            requests.push(request);
            halves.push(upper_half(input));
        }
        let completed = painted(&requests)?;
        write_png(&paths[1], &pairs_grid(&halves, &completed, 8))?;
        let requests: Vec<Request> = (0..8 * SHAPES.len())
            .map(|index| request(index / 8, index))
            .collect::<Result<_>>()?;
        let sampled = painted(&requests)?;
        write_png(&paths[2], &grid(&sampled, 8, GRID_PADDING))?;
        Ok(paths)
    }
}

fn draw_all(folder: &Path) -> Result<()> {
    for (shape, name) in SHAPES.iter().enumerate() {
        let class = folder.join(name);
        output::folder(&class)?;
        for index in 0..PER_SHAPE {
            write_png(
                &class.join(format!("{index:04}.png")),
                &draw(shape, index, SIZE),
            )?;
        }
    }
    Ok(())
}

/// The upper half of a picture above grey.
fn upper_half(picture: &image::RgbImage) -> image::RgbImage {
    let mut half = picture.clone();
    let middle = half.height() / 2;
    for (_, y, pixel) in half.enumerate_pixels_mut() {
        if y >= middle {
            *pixel = image::Rgb([128; 3]);
        }
    }
    half
}
