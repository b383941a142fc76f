//! `smalti reconstruct`: pictures through a tokenizer and back.

use crate::tiles::{TileArgs, announce, fits_a_sheet};
use crate::{Common, models, output, progress};
use clap::Args;
use image::RgbImage;
use serde_json::json;
use smalti::Result;
use smalti::data::{KindName, Raster, pairs_grid, write_png};
use smalti::model::Model;
use smalti::tokenizer::picture;
use smalti::tokenizer::tiled::Plan;
use std::path::PathBuf;

#[derive(Args)]
pub struct Reconstruct {
    /// A model file or a run folder
    #[arg(long)]
    model: PathBuf,
    /// Pictures of any size
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// The folder for the reconstructions and, of pictures of one size that are not too large, a grid of both
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    tiles: TileArgs,
    /// Replace files that are there
    #[arg(long)]
    overwrite: bool,
}

impl Reconstruct {
    pub fn run(self, common: &Common) -> Result<()> {
        let model = models::load(&self.model, common)?;
        let kind = model.data_kind()?;
        let mut names = output::picture_names(&self.images);
        names.push(output::GRID.into());
        let paths = output::files_in(&self.out, &names, self.overwrite)?;
        // All pictures are read before the first is written: a bad one leaves nothing behind.
        let background = model.background();
        let inputs: Vec<_> = self
            .images
            .iter()
            .map(|image| Raster::read(image, kind, background))
            .collect::<Result<_>>()?;
        let plans: Vec<[Plan; 2]> = inputs
            .iter()
            .map(|input| self.plans(&model, input))
            .collect::<Result<_>>()?;
        let size = inputs[0].dimensions();
        let sheet = inputs.iter().all(|input| input.dimensions() == size)
            && fits_a_sheet(2 * inputs.len(), size.into());
        let bar = progress::bar(common, inputs.len() as u64, "pictures");
        output::folder(&self.out)?;
        let (mut shown_inputs, mut outputs, mut report) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (input, plans)) in inputs.iter().zip(&plans).enumerate() {
            let (image, path) = (&self.images[index], &paths[index]);
            for (plan, half) in plans.iter().zip(["encoder", "decoder"]) {
                announce(
                    common,
                    &bar,
                    format_args!("{}, {half}", image.display()),
                    plan,
                );
            }
            let output = picture::reconstruct_planned(&model, input, plans, &mut || bar.inc(1));
            write_png(path, &output)?;
            let tiles = plans.each_ref().map(Plan::tiles);
            let shown = input.to_image();
            report.push((
                image,
                path,
                Likeness::of(kind.name(), &shown, &output),
                tiles,
            ));
            if sheet {
                shown_inputs.push(shown);
                outputs.push(output);
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        if sheet {
            write_png(
                &paths[inputs.len()],
                &pairs_grid(&shown_inputs, &outputs, 8),
            )?;
        }
        let pictures: Vec<_> = report
            .iter()
            .map(|(image, path, likeness, tiles)| {
                let (name, value) = likeness.json();
                json!({"image": image, "reconstruction": path, name: value, "tiles": tiles})
            })
            .collect();
        let json = json!({"out": self.out, "count": pictures.len(), "pictures": pictures});
        output::print(common, json, || {
            report
                .iter()
                .map(|(image, path, likeness, _)| {
                    let likeness = likeness.describe();
                    format!("{}  {likeness}  {}", image.display(), path.display())
                })
                .collect()
        });
        Ok(())
    }

    /// How a picture goes through the encoder and the decoder.
    fn plans(&self, model: &Model, input: &Raster) -> Result<[Plan; 2]> {
        let (width, height) = input.dimensions();
        let size = [height, width].map(|side| side as usize);
        let options = self.tiles.options();
        Ok([
            Plan::encoder(model, size, &options)?,
            Plan::decoder(model, size, &options)?,
        ])
    }
}

/// How near a reconstruction is to what it is of.
enum Likeness {
    /// Decibels, of the 8-bit pictures that are shown.
    Psnr(f64),
    /// Of label maps, the share of the pixels whose label is the same.
    SameLabels(f64),
}

impl Likeness {
    fn of(kind: KindName, input: &RgbImage, output: &RgbImage) -> Self {
        if kind != KindName::Labels {
            return Self::Psnr(picture::psnr(input, output));
        }
        // Every label has a colour of its own.
        let pairs = input.pixels().zip(output.pixels());
        let same = pairs.filter(|(input, output)| input == output).count();
        Self::SameLabels(same as f64 / f64::from(input.width() * input.height()))
    }

    fn json(&self) -> (&'static str, f64) {
        match *self {
            Self::Psnr(decibels) => ("psnr", decibels),
            Self::SameLabels(share) => ("pixel_accuracy", share),
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Psnr(decibels) => format!("PSNR {decibels:.2} dB"),
            Self::SameLabels(share) => format!("{:.2} % of the labels", 100.0 * share),
        }
    }
}
