//! What `sample` and `complete` share: how codes are drawn and under what, what is seen meanwhile, and how the codes
//! become files.

use super::conditions::{ConditionArgs, conditions, fitting_notes};
use crate::progress::{self, PLAIN_EVERY};
use crate::tiles::{TileArgs, announce, fits_a_sheet};
use crate::{Common, output, parse_weights};
use clap::Args;
use image::{Rgb, RgbImage, imageops};
use indicatif::ProgressBar;
use smalti::data::write_png;
use smalti::model::{GivenCondition, Model};
use smalti::prior::PriorConfig;
use smalti::sample::{
    Filter, Guidance, Progress, Request, SampleOptions, WeightFormat, Windowing, picture_seed,
};
use smalti::tokenizer::picture;
use smalti::tokenizer::tiled::{Plan, TileOptions};
use smalti::{Error, Result};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The name of the picture that shows how far the drawing is.
pub const PREVIEW: &str = "preview.png";

/// What a preview shows where nothing is drawn yet.
const EMPTY: Rgb<u8> = Rgb([128; 3]);

/// Pictures to draw.
pub struct Requests {
    pub requests: Vec<Request>,
    /// The class of each, or none at all.
    pub classes: Vec<i64>,
    /// What each is drawn under, to look at, or none at all.
    pub shown: Vec<RgbImage>,
    /// What there is to say of files of conditions.
    pub notes: Vec<String>,
}

/// Options of drawing.
#[derive(Args)]
pub struct DrawArgs {
    #[command(flatten)]
    condition: ConditionArgs,
    /// Below 1 safer, above 1 bolder
    #[arg(long, default_value_t = 1.0)]
    temperature: f64,
    /// Draw among the k most probable codes only; 1 always takes the most probable
    #[arg(long)]
    top_k: Option<usize>,
    /// Draw among the most probable codes that make up this share only
    #[arg(long)]
    top_p: Option<f64>,
    /// Draw among codes only that are at least so many times as probable as the most probable one
    #[arg(long)]
    min_p: Option<f64>,
    /// Stress the condition: 1 not at all, 2 twice its effect on the logits; for priors that also learned without
    #[arg(long, default_value_t = 1.0)]
    guidance: f64,
    /// The part of a picture's codes, 0 to 1, that guidance begins with
    #[arg(long, value_name = "PART", default_value_t = 0.0)]
    guidance_from: f64,
    /// The part of a picture's codes, 0 to 1, that guidance ends before
    #[arg(long, value_name = "PART", default_value_t = 1.0)]
    guidance_to: f64,
    /// The same seed draws the same pictures, whatever the batch
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Codes drawn at the same time: of so many pictures, or rows of a large one
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// Keep the weights of the prior in fewer bits, which draws faster and a little differently [default: as
    /// --precision]
    #[arg(long, value_parser = parse_weights)]
    weights: Option<WeightFormat>,
    /// How the prior looks at a picture larger than its own: exact puts every code into the middle of a window; blocks
    /// moves the window half its size at a time, which is many times faster and sees less
    #[arg(long, value_name = "exact|blocks", default_value = "exact", value_parser = parse_windowing)]
    window: Windowing,
    /// Write what is there of the picture being drawn to preview.png, every so many rows of codes
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..))]
    preview: Option<u32>,
    #[command(flatten)]
    tiles: TileArgs,
}

fn parse_windowing(text: &str) -> std::result::Result<Windowing, String> {
    Windowing::parse(text).ok_or_else(|| "expected exact or blocks".to_string())
}

impl DrawArgs {
    /// How codes are drawn; how many is for the caller to say.
    pub fn options(&self, common: &Common) -> Result<SampleOptions> {
        let options = SampleOptions {
            filter: Filter {
                temperature: self.temperature,
                top_k: self.top_k,
                top_p: self.top_p,
                min_p: self.min_p,
            },
            guidance: Guidance {
                scale: self.guidance,
                from: self.guidance_from,
                to: self.guidance_to,
            },
            batch: self.batch,
            weights: common.weights(self.weights),
            windowing: self.window,
            ..SampleOptions::default()
        };
        options.check()?;
        Ok(options)
    }

    /// What decides all chance.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// How tokenizers run on big pictures.
    pub fn tile_options(&self) -> TileOptions {
        self.tiles.options()
    }

    /// How many conditions are given: of files and texts, as many pictures are drawn if nobody says how many.
    pub fn conditions_given(&self, config: &PriorConfig) -> usize {
        self.condition.given(config)
    }

    /// `count` pictures of `grid` codes, of which the same are known, and the pictures of their conditions. With
    /// `all_classes`, they take all classes in turn where none is given.
    pub fn requests(
        &self,
        model: &Model,
        known: &[Option<i64>],
        (count, grid): (usize, [usize; 2]),
        all_classes: bool,
    ) -> Result<Requests> {
        let (config, _) = model.require_prior()?;
        let choices = self.condition.choices(config, all_classes, self.seed)?;
        let unconditional = model.unconditional()?;
        let shown = fit_a_sheet(model, grid, 2 * count);
        let given = conditions(model, &choices, (count, grid, self.seed), shown)?;
        let class = |index: usize| {
            let name = choices[index % choices.len()].class.as_deref();
            config.condition.class(name)
        };
        let classes = (0..count).map(class).collect::<Result<Vec<_>>>()?;
        let request = |(index, given): (usize, &GivenCondition)| Request {
            condition: given.conditioning.clone(),
            unconditional: unconditional.clone(),
            known: known.to_vec(),
            seed: picture_seed(self.seed, index),
        };
        Ok(Requests {
            notes: fitting_notes(&given),
            requests: given.iter().enumerate().map(request).collect(),
            classes: classes
                .into_iter()
                .flatten()
                .map(|class| class as i64)
                .collect(),
            shown: given
                .into_iter()
                .filter_map(|given| given.picture)
                .collect(),
        })
    }

    /// The names of `count` pictures, of their grid, and of the preview if there is one.
    pub fn names(&self, count: usize) -> Vec<String> {
        let mut names: Vec<String> = (0..count).map(|index| format!("{index:06}.png")).collect();
        names.push(output::GRID.into());
        names.extend(self.preview.map(|_| PREVIEW.to_string()));
        names
    }

    /// Where previews go, and every how many rows.
    pub fn preview(&self, out: &Path) -> Option<(usize, PathBuf)> {
        let every = self.preview?;
        Some((every as usize, out.join(PREVIEW)))
    }
}

/// Shows a drawing on standard error, and as a picture if that was asked for.
pub struct View<'a> {
    common: &'a Common,
    model: &'a Model,
    grid: [usize; 2],
    tiles: TileOptions,
    bar: ProgressBar,
    /// Codes to draw in all.
    total: usize,
    started: Instant,
    last_line: Instant,
    /// Every how many rows, and where to.
    preview: Option<(usize, PathBuf)>,
    /// The picture that was shown last, and how many rows of it.
    shown: (usize, usize),
}

impl<'a> View<'a> {
    pub fn new(
        common: &'a Common,
        model: &'a Model,
        grid: [usize; 2],
        args: &DrawArgs,
        requests: &[Request],
        out: &Path,
    ) -> Self {
        let total = requests.iter().map(Request::unknown).sum();
        Self {
            common,
            model,
            grid,
            tiles: args.tile_options(),
            bar: progress::bar(common, total as u64, "codes"),
            total,
            started: Instant::now(),
            last_line: Instant::now(),
            preview: args.preview(out),
            shown: (0, 0),
        }
    }

    /// Takes note of a step.
    pub fn show(&mut self, progress: &Progress<'_>) {
        self.bar.set_position(progress.drawn as u64);
        if self.bar.is_hidden() && self.last_line.elapsed() >= PLAIN_EVERY {
            self.line(progress.drawn);
            self.last_line = Instant::now();
        }
        let Some((every, path)) = &self.preview else {
            return;
        };
        if progress.picture != self.shown.0 {
            self.shown = (progress.picture, 0);
        }
        let rows = complete_rows(progress.codes, self.grid[1]);
        if rows < self.shown.1 + every {
            return;
        }
        self.shown.1 = rows;
        // A drawing that takes hours does not end for the sake of its preview.
        if let Err(error) = self.write(progress.codes, rows, path) {
            self.bar
                .suspend(|| progress::note(self.common, format_args!("no previews: {error}")));
            self.preview = None;
        }
    }

    fn line(&self, drawn: usize) {
        let rate = drawn as f64 / self.started.elapsed().as_secs_f64().max(1e-9);
        let left = progress::time(self.total.saturating_sub(drawn) as f64 / rate.max(1e-9));
        progress::note(
            self.common,
            format_args!(
                "{drawn}/{} codes · {rate:.1} codes/s · {left} left",
                self.total
            ),
        );
    }

    /// The first rows of a picture, over what is not there yet.
    fn write(&self, codes: &[Option<i64>], rows: usize, path: &Path) -> Result<()> {
        let config = &self.model.tokenizer_config;
        let columns = self.grid[1];
        let codes: Vec<i64> = codes
            .iter()
            .copied()
            .flatten()
            .take(rows * columns)
            .collect();
        let plan = Plan::decoder(self.model, config.pixels_of([rows, columns]), &self.tiles)?;
        let part = picture::decode_planned(self.model, &codes, [rows, columns], &plan, &mut || ());
        let [height, width] = config.pixels_of(self.grid).map(|side| side as u32);
        let mut preview = RgbImage::from_pixel(width, height, EMPTY);
        imageops::replace(&mut preview, &part, 0, 0);
        output::folder_of(path)?;
        write_png(path, &preview)
    }

    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}

/// How many of the first rows are there.
fn complete_rows(codes: &[Option<i64>], columns: usize) -> usize {
    let rows = codes.chunks(columns.max(1));
    rows.take_while(|row| row.iter().all(Option::is_some))
        .count()
}

/// Decodes codes one picture after the other, in tiles if `plan` says so, and hands each to `put` with its number.
pub fn decode_each(
    common: &Common,
    model: &Model,
    codes: &[Vec<i64>],
    (grid, plan): ([usize; 2], &Plan),
    put: &mut dyn FnMut(usize, RgbImage) -> Result<()>,
) -> Result<()> {
    let bar = progress::bar(common, codes.len() as u64, "pictures");
    for (index, codes) in codes.iter().enumerate() {
        announce(common, &bar, format_args!("picture {index}"), plan);
        let picture = picture::decode_planned(model, codes, grid, plan, &mut || bar.inc(1));
        put(index, picture)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

/// Whether `count` pictures of a grid of codes fit on one sheet.
pub fn fit_a_sheet(model: &Model, grid: [usize; 2], count: usize) -> bool {
    let sides = model.tokenizer_config.pixels_of(grid);
    fits_a_sheet(count, sides.map(|side| side as u32))
}

/// Refuses to draw nothing.
pub fn check_count(count: usize) -> Result<()> {
    match count {
        0 => Err(Error::input("-n is 0; ask for at least one picture")),
        _ => Ok(()),
    }
}
