//! `smalti complete`: a part of a picture stays, the rest is drawn anew.

use super::drawing::{DrawArgs, Requests, View, check_count, decode_each, fit_a_sheet};
use crate::tiles::announce;
use crate::{Common, models, output, progress};
use clap::Args;
use image::{RgbImage, imageops};
use serde_json::json;
use smalti::data::{GRID_PADDING, Raster, grid, read_image, write_png};
use smalti::model::Model;
use smalti::prior::PriorConfig;
use smalti::sample::{Cells, Keep, SampleOptions, Sampler, known_codes};
use smalti::tokenizer::picture;
use smalti::tokenizer::tiled::Plan;
use smalti::{Error, Result, counted};
use std::path::PathBuf;

/// Example: smalti complete --model run photo.png --keep top -n 4 --out completed
#[derive(Args)]
pub struct Complete {
    /// A model with a prior: a file or a run folder
    #[arg(long)]
    model: PathBuf,
    /// A picture of any size that is not below the prior's own
    image: PathBuf,
    /// What stays: the top half, the left half, or this part of the codes, from the first in reading order
    #[arg(long, value_name = "top|left|PART", default_value = "0.5", value_parser = parse_keep)]
    keep: Keep,
    /// A picture of the same size that is white where codes are to be drawn anew, in place of --keep
    #[arg(long, value_name = "FILE", conflicts_with = "keep")]
    mask: Option<PathBuf>,
    /// How many completions
    #[arg(short, default_value_t = 4)]
    n: usize,
    #[command(flatten)]
    draw: DrawArgs,
    /// The folder for the completions and, if they are not too large, a grid of the picture, what stays of it, and them
    #[arg(long)]
    out: PathBuf,
    /// Replace files that are there
    #[arg(long)]
    overwrite: bool,
}

fn parse_keep(text: &str) -> std::result::Result<Keep, String> {
    Keep::parse(text).ok_or_else(|| "expected top, left, or a part from 0 to below 1".to_string())
}

/// A picture, and what of it is drawn anew.
struct Task {
    picture: RgbImage,
    cells: Cells,
    grid: [usize; 2],
    codes: Vec<i64>,
    /// For every code, whether it is drawn anew.
    anew: Vec<bool>,
    /// How codes become pictures.
    plan: Plan,
}

impl Complete {
    pub fn run(self, common: &Common) -> Result<()> {
        let options = self.draw.options(common)?;
        check_count(self.n)?;
        let paths = output::files_in(&self.out, &self.draw.names(self.n), self.overwrite)?;
        let mut model = models::load_for_pictures(&self.model, common)?;
        let (config, _) = model.require_prior()?;
        let task = self.task(common, &model, config)?;
        let known = known_codes(&task.codes, &task.anew);
        let drawing = self
            .draw
            .requests(&model, &known, (self.n, task.grid), false)?;
        for note in &drawing.notes {
            progress::note(common, note);
        }
        let codes = self.draw_codes(common, &mut model, (&task, &drawing), options)?;
        let sheet = self.write(common, &model, (&task, &drawing), (&codes, &paths))?;
        self.report(common, &task, &paths, sheet);
        Ok(())
    }

    fn draw_codes(
        &self,
        common: &Common,
        model: &mut Model,
        (task, drawing): (&Task, &Requests),
        options: SampleOptions,
    ) -> Result<Vec<Vec<i64>>> {
        let options = SampleOptions {
            grid: Some(task.grid),
            codes_per_position: model.tokenizer_config.codes_per_position,
            ..options
        };
        let (config, gpt) = model.take_prior()?;
        let sampler = Sampler::new(gpt, &config, model.tokenizer_config.codes(), options)?;
        let requests = &drawing.requests;
        let mut view = View::new(common, model, task.grid, &self.draw, requests, &self.out);
        let codes = sampler.draw(requests, |progress| view.show(progress))?;
        view.finish();
        Ok(codes)
    }

    /// Writes the completions, and a sheet of them if they fit; says whether there is a sheet.
    fn write(
        &self,
        common: &Common,
        model: &Model,
        (task, drawing): (&Task, &Requests),
        (codes, paths): (&[Vec<i64>], &[PathBuf]),
    ) -> Result<bool> {
        output::folder(&self.out)?;
        let sheet = fit_a_sheet(model, task.grid, self.n + 3);
        let mut pictures = Vec::new();
        if sheet {
            pictures.push(task.picture.clone());
            pictures.push(task.cells.hide(&task.picture, &task.anew));
            pictures.extend(drawing.shown.first().cloned());
        }
        let (width, height) = task.picture.dimensions();
        let mut put = |index: usize, completed: RgbImage| {
            // What was added to the picture to fill whole cells.
            let completed = imageops::crop_imm(&completed, 0, 0, width, height).to_image();
            write_png(&paths[index], &completed)?;
            if sheet {
                pictures.push(completed);
            }
            Ok(())
        };
        decode_each(common, model, codes, (task.grid, &task.plan), &mut put)?;
        if sheet {
            write_png(&paths[self.n], &grid(&pictures, 6, GRID_PADDING))?;
        }
        Ok(sheet)
    }

    fn report(&self, common: &Common, task: &Task, paths: &[PathBuf], sheet: bool) {
        let sheet = sheet.then(|| &paths[self.n]);
        let drawn = task.anew.iter().filter(|&&anew| anew).count();
        let json = json!({
            "out": self.out,
            "count": self.n,
            "pictures": &paths[..self.n],
            "grid": sheet,
            "codes": task.codes.len(),
            "drawn": drawn,
        });
        output::print(common, json, || {
            vec![format!(
                "{}, {drawn} of {} drawn anew, all in {}",
                counted(self.n, "completion"),
                counted(task.codes.len(), "code"),
                sheet.unwrap_or(&self.out).display()
            )]
        });
    }

    /// Reads picture and mask, and encodes the picture.
    fn task(&self, common: &Common, model: &Model, config: &PriorConfig) -> Result<Task> {
        let picture = read_image(&self.image, model.background())?;
        let (width, height) = picture.dimensions();
        let sides = [height, width].map(|side| side as usize);
        let factor = model.tokenizer_config.factor();
        let grid = model
            .tokenizer_config
            .grid(sides.map(|side| side.next_multiple_of(factor)));
        if grid[0] < config.rows || grid[1] < config.columns {
            let [least_height, least_width] = model
                .tokenizer_config
                .pixels_of([config.rows, config.columns]);
            return Err(Error::file(
                &self.image,
                format!(
                    "this picture has {width}×{height} pixels; this prior draws at least {least_width}×{least_height}: \
                     enlarge it first"
                ),
            ));
        }
        let cells = Cells::new(&model.tokenizer_config, grid);
        let anew = self.anew(&cells, (width, height))?;
        let tiles = self.draw.tile_options();
        let plan = Plan::encoder(model, sides, &tiles)?;
        let decoding = Plan::decoder(model, model.tokenizer_config.pixels_of(grid), &tiles)?;
        let bar = progress::bar(common, 1, "pictures");
        announce(common, &bar, self.image.display(), &plan);
        let raster = Raster::from(picture.clone());
        let (codes, grid) = picture::encode_planned(model, &raster, &plan, &mut || bar.inc(1));
        bar.finish_and_clear();
        Ok(Task {
            picture,
            cells,
            grid,
            codes,
            anew,
            plan: decoding,
        })
    }

    /// For every code of a picture of `width` and `height`, whether it is drawn anew: at least one.
    fn anew(&self, cells: &Cells, (width, height): (u32, u32)) -> Result<Vec<bool>> {
        let anew = match &self.mask {
            Some(file) => {
                // What is transparent stays.
                let mask = read_image(file, [0; 3])?;
                if mask.dimensions() != (width, height) {
                    return Err(Error::file(
                        file,
                        format!(
                            "this mask has {}×{} pixels; the picture has {width}×{height}",
                            mask.width(),
                            mask.height()
                        ),
                    ));
                }
                cells.under(&mask)
            }
            None => cells.without(self.keep),
        };
        if !anew.contains(&true) {
            return Err(match &self.mask {
                Some(file) => Error::file(file, "nothing of this mask is white: nothing to draw"),
                None => Error::input("--keep leaves nothing to draw"),
            });
        }
        Ok(anew)
    }
}
