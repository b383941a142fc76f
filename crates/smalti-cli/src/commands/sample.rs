//! `smalti sample`: new pictures from a prior.

use crate::{Common, models, output, parse_weights, progress};
use clap::Args;
use serde_json::json;
use smalti::data::{GRID_PADDING, grid, write_png};
use smalti::ops::Precision;
use smalti::prior::condition::Condition;
use smalti::prior::{CodeSet, PriorConfig};
use smalti::sample::{Filter, Request, SampleOptions, WeightFormat, decode_pictures, sample_codes};
use smalti::{Error, Result};
use std::path::PathBuf;

/// Example: smalti sample --model run -n 16 --top-k 100 --out samples
#[derive(Args)]
pub struct Sample {
    /// A model with a prior: a file or a run folder
    #[arg(long)]
    model: PathBuf,
    /// How many pictures
    #[arg(short, default_value_t = 16)]
    n: usize,
    /// The class, by name or number; without it a class-conditional prior draws its classes in turn
    #[arg(long)]
    class: Option<String>,
    /// Below 1 safer, above 1 bolder
    #[arg(long, default_value_t = 1.0)]
    temperature: f64,
    /// Draw among the k most probable codes only; 1 always takes the most probable
    #[arg(long)]
    top_k: Option<usize>,
    /// Draw among the most probable codes that make up this share only
    #[arg(long)]
    top_p: Option<f64>,
    /// The same seed draws the same pictures
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Pictures drawn at the same time
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// Keep the weights of the prior in fewer bits, which draws faster and a little differently [default: as --precision]
    #[arg(long, value_parser = parse_weights)]
    weights: Option<WeightFormat>,
    /// Size of the pictures in pixels, as WIDTHxHEIGHT; what is larger than the prior's own pictures is drawn through a sliding window
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = parse_size)]
    size: Option<[usize; 2]>,
    /// The folder for the pictures and a grid of them
    #[arg(long)]
    out: PathBuf,
    /// Also write the codes to this file
    #[arg(long)]
    codes: Option<PathBuf>,
    /// Replace files that are there
    #[arg(long)]
    overwrite: bool,
}

fn parse_size(text: &str) -> std::result::Result<[usize; 2], String> {
    let side = |text: &str| {
        text.parse::<usize>()
            .ok()
            .filter(|side| (1..=65_536).contains(side))
    };
    let sides = text
        .split_once('x')
        .and_then(|(width, height)| Some([side(width)?, side(height)?]));
    sides.ok_or_else(|| "expected WIDTHxHEIGHT in pixels, like 512x256".to_string())
}

impl Sample {
    pub fn run(self, common: &Common) -> Result<()> {
        let mut options = SampleOptions {
            filter: Filter {
                temperature: self.temperature,
                top_k: self.top_k,
                top_p: self.top_p,
            },
            batch: self.batch,
            seed: self.seed,
            weights: match (self.weights, common.precision) {
                (Some(weights), _) => weights,
                (None, Some(Precision::Bf16)) => WeightFormat::Bf16,
                (None, _) => WeightFormat::F32,
            },
            grid: None,
        };
        options.check()?;
        if self.n == 0 {
            return Err(Error::input("-n is 0; ask for at least one picture"));
        }
        let mut model = models::load_for_pictures(&self.model, common)?;
        let (config, gpt) = model.take_prior()?;
        let config = &config;
        let requests = self.requests(config)?;
        let tokenizer = &model.tokenizer_config;
        let factor = tokenizer.factor();
        options.grid = self.size.map(|[width, height]| {
            tokenizer.grid([height, width].map(|side| side.next_multiple_of(factor)))
        });
        let [rows, columns] = options.grid(config)?;
        let mut names: Vec<String> = (0..self.n).map(|index| format!("{index:06}.png")).collect();
        names.push(output::GRID.into());
        let paths = output::files_in(&self.out, &names, self.overwrite)?;
        if let Some(file) = &self.codes {
            output::refuse_existing(file, self.overwrite)?;
        }
        let bar = progress::bar(common, (self.n * rows * columns) as u64, "codes");
        let codebook_size = model.tokenizer_config.codes();
        let codes = sample_codes(gpt, config, codebook_size, &requests, options, |drawn| {
            bar.set_position(drawn as u64);
        })?;
        bar.finish_and_clear();
        let pictures = decode_pictures(&model, &codes, [rows, columns], self.batch);
        output::folder(&self.out)?;
        for (picture, path) in pictures.iter().zip(&paths) {
            write_png(path, picture)?;
        }
        write_png(&paths[self.n], &grid(&pictures, 8, GRID_PADDING))?;
        if let Some(file) = &self.codes {
            let mut set = CodeSet::new(&model, rows, columns);
            set.codes = codes.concat();
            set.classes = requests
                .iter()
                .filter_map(|request| request.class.map(|class| class as i64))
                .collect();
            output::folder_of(file)?;
            set.save(file)?;
        }
        let grid = paths[self.n].display().to_string();
        let json = json!({"out": self.out, "count": self.n, "pictures": &paths[..self.n], "grid": grid, "codes": self.codes});
        output::print(common, json, || {
            vec![format!("{} pictures, all in {grid}", self.n)]
        });
        Ok(())
    }

    fn requests(&self, config: &PriorConfig) -> Result<Vec<Request>> {
        let chosen = config.condition.class(self.class.as_deref())?;
        let class = |index: usize| match &config.condition {
            Condition::None(_) => None,
            Condition::Class(condition) => chosen.or(Some(index % condition.classes)),
        };
        let request = |index| Request {
            class: class(index),
            known: Vec::new(),
        };
        Ok((0..self.n).map(request).collect())
    }
}
