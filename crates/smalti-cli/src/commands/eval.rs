//! `smalti eval`: figures of a model, with how they were measured.

use crate::commands::train::load_lpips;
use crate::{Common, models, output, progress};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use smalti::data::{Crop, Dataset, Filter, Kind, Loader, LoaderConfig, Resize, Transform};
use smalti::metrics::{ReconstructionFigures, ReconstructionMeter};
use smalti::model::Model;
use smalti::tokenizer::Lpips;
use smalti::{Error, Result};
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Subcommand)]
pub enum Eval {
    /// How well a tokenizer gives pictures back, and how much of its codebook it uses
    ///
    /// Example: smalti eval reconstruction --model runs/photos --split validation --crops 30
    Reconstruction(EvalReconstruction),
}

impl Eval {
    pub fn run(self, common: &Common) -> Result<()> {
        match self {
            Self::Reconstruction(command) => command.run(common),
        }
    }
}

/// Which pictures are measured.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Split {
    /// Those that the model's training held back
    Validation,
    /// All there are
    All,
}

#[derive(Args)]
pub struct EvalReconstruction {
    /// A model file or a run folder
    #[arg(long)]
    model: PathBuf,
    /// A folder of pictures, or a list file [default: the model's training data]
    #[arg(long)]
    data: Option<PathBuf>,
    /// Which of the pictures [default: validation without --data, otherwise all]
    #[arg(long, value_enum)]
    split: Option<Split>,
    /// Random square crops per picture
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    crops: u32,
    /// The side of the crops in pixels [default: as in training]
    #[arg(long)]
    size: Option<usize>,
    /// The shorter side of a picture is brought to this before the crop [default: as in training]
    #[arg(long)]
    resize: Option<usize>,
    /// The seed of the crops
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The network for LPIPS: vgg, alex, none, or a file
    #[arg(long, default_value = "vgg")]
    perceptual: String,
}

/// Pictures that go through the network at once.
const BATCH: usize = 16;

impl EvalReconstruction {
    fn run(self, common: &Common) -> Result<()> {
        let model = models::load_for_pictures(&self.model, common)?;
        let lpips = load_lpips(&self.perceptual, common)?;
        let (dataset, split) = self.pictures(&model)?;
        let transform = self.transform(&model)?;
        let pictures = dataset.items.len();
        let figures = self.measure(common, &model, lpips.as_ref(), dataset, transform)?;
        let split = if split == Split::Validation {
            "validation"
        } else {
            "all"
        };
        let protocol = json!({
            "split": split, "pictures": pictures, "crops_per_picture": self.crops, "seed": self.seed,
            "size": transform.size, "resize": self.resize, "filter": "lanczos", "lpips": self.perceptual,
            "precision": model.tokenizer.precision,
        });
        output::print(
            common,
            json!({"figures": figures, "protocol": protocol}),
            || {
                let mut lines = describe(&figures);
                lines.push(format!(
                "measured   {pictures} pictures ({split}), {} random crops of {} × {1} px each, seed {}",
                self.crops, transform.size, self.seed
            ));
                lines
            },
        );
        Ok(())
    }

    /// The pictures to measure, the held back ones as the training chose them.
    fn pictures(&self, model: &Model) -> Result<(Dataset, Split)> {
        let recipe = &model.info.recipe;
        let trained_on = recipe.get("data").and_then(|path| path.as_str());
        let data = self
            .data
            .clone()
            .or(trained_on.map(PathBuf::from))
            .ok_or_else(|| {
                Error::input(
                    "the model does not say what it was trained on: name pictures with --data",
                )
            })?;
        let default = if self.data.is_none() {
            Split::Validation
        } else {
            Split::All
        };
        let split = self.split.unwrap_or(default);
        let dataset = Dataset::open(&data)?;
        if split == Split::All {
            return Ok((dataset, split));
        }
        let share = recipe.get("validation").and_then(|value| value.as_f64());
        let seed = recipe.get("seed").and_then(|value| value.as_u64());
        let (Some(share), Some(seed)) = (share, seed) else {
            return Err(Error::input(
                "the model does not say which pictures its training held back: use --split all",
            ));
        };
        let (_, held_back) = dataset.split(share, seed);
        if held_back.items.is_empty() {
            return Err(Error::input(
                "the training held no pictures back: use --split all",
            ));
        }
        Ok((held_back, split))
    }

    fn transform(&self, model: &Model) -> Result<Transform> {
        let setting = |name: &str| {
            let value = model.info.recipe.get(name)?.as_u64()?;
            usize::try_from(value).ok().filter(|&value| value > 0)
        };
        let size = self.size.or(setting("size")).unwrap_or(256);
        let factor = model.tokenizer_config.factor();
        if size == 0 || !size.is_multiple_of(factor) {
            return Err(Error::input(format!(
                "--size {size}: it must be a multiple of {factor}, the tokenizer's downsampling factor"
            )));
        }
        let transform = Transform {
            size,
            resize: Resize::Shortest(self.resize.or(setting("resize")).unwrap_or(size)),
            enlarge: true,
            crop: if self.crops == 1 {
                Crop::Center
            } else {
                Crop::Random
            },
            flip: false,
            filter: Filter::Lanczos,
        };
        transform.check()?;
        Ok(transform)
    }

    fn measure(
        &self,
        common: &Common,
        model: &Model,
        lpips: Option<&Lpips>,
        dataset: Dataset,
        transform: Transform,
    ) -> Result<ReconstructionFigures> {
        let total = dataset.items.len() * self.crops as usize;
        let config = LoaderConfig {
            batch: BATCH.min(total),
            kind: Kind::Pictures,
            transform,
            background: model.background(),
            seed: self.seed,
            workers: 2,
            first_step: 0,
            cache_bytes: 1 << 30,
        };
        let mut loader = Loader::new(Arc::new(dataset), config)?;
        let codes = model.tokenizer_config.codes();
        let mut meter = ReconstructionMeter::new(&model.tokenizer, codes, lpips);
        let bar = progress::bar(common, total as u64, "crops");
        let mut left = total;
        while left > 0 {
            let pixels = loader.next()?.into_tensor(&models::device());
            let count = left.min(pixels.dims()[0]);
            meter.add(pixels.narrow(0, 0, count));
            bar.inc(count as u64);
            left -= count;
        }
        bar.finish_and_clear();
        for line in smalti::training::skipped_pictures(&loader.bad_files()) {
            progress::note(common, line);
        }
        Ok(meter.figures())
    }
}

fn describe(figures: &ReconstructionFigures) -> Vec<String> {
    let mut lines = vec![format!("PSNR       {:.2} dB", figures.psnr)];
    if let Some(lpips) = figures.lpips {
        lines.push(format!("LPIPS      {lpips:.4}"));
    }
    lines.push(format!("|x − x̂|    {:.4}", figures.pixel_loss));
    lines.push(format!(
        "codebook   {:.1} % of {} codes occur in {}, perplexity {:.0}",
        100.0 * figures.usage,
        figures.codebook_size,
        figures.codes,
        figures.perplexity
    ));
    lines
}
