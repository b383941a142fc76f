//! `smalti reconstruct`: pictures through a tokenizer and back.

use crate::tiles::{TileArgs, announce, fits_a_sheet};
use crate::{Common, models, output, progress};
use clap::Args;
use image::RgbImage;
use indicatif::ProgressBar;
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

/// A picture that was read, and how it runs.
struct Input {
    raster: Raster,
    plans: [Plan; 2],
}

/// What became of a picture.
struct Output {
    picture: RgbImage,
    likeness: Likeness,
}

impl Reconstruct {
    pub fn run(self, common: &Common) -> Result<()> {
        let model = models::load(&self.model, common)?;
        let mut names = output::picture_names(&self.images);
        names.push(output::GRID.into());
        let paths = output::files_in(&self.out, &names, self.overwrite)?;
        let inputs = self.inputs(&model)?;
        let size = inputs[0].raster.dimensions();
        let same_size = inputs.iter().all(|input| input.raster.dimensions() == size);
        let sheet = same_size && fits_a_sheet(2 * inputs.len(), size.into());
        let bar = progress::bar(common, inputs.len() as u64, "pictures");
        output::folder(&self.out)?;
        let (mut shown, mut outputs, mut likenesses) = (Vec::new(), Vec::new(), Vec::new());
        for (index, input) in inputs.iter().enumerate() {
            let output = self.one(common, &model, (index, input), &bar);
            write_png(&paths[index], &output.picture)?;
            likenesses.push(output.likeness);
            if sheet {
                shown.push(input.raster.to_image());
                outputs.push(output.picture);
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        if sheet {
            write_png(&paths[inputs.len()], &pairs_grid(&shown, &outputs, 8))?;
        }
        self.report(common, &inputs, &likenesses, &paths);
        Ok(())
    }

    /// All pictures are read before the first is written: a bad one leaves nothing behind.
    fn inputs(&self, model: &Model) -> Result<Vec<Input>> {
        let (kind, background) = (model.data_kind()?, model.background());
        let rasters: Vec<Raster> = self
            .images
            .iter()
            .map(|image| Raster::read(image, kind, background))
            .collect::<Result<_>>()?;
        let input = |raster: Raster| -> Result<Input> {
            Ok(Input {
                plans: self.plans(model, &raster)?,
                raster,
            })
        };
        rasters.into_iter().map(input).collect()
    }

    fn one(
        &self,
        common: &Common,
        model: &Model,
        (index, input): (usize, &Input),
        bar: &ProgressBar,
    ) -> Output {
        for (plan, half) in input.plans.iter().zip(["encoder", "decoder"]) {
            let name = format!("{}, {half}", self.images[index].display());
            announce(common, bar, name, plan);
        }
        let (raster, plans) = (&input.raster, &input.plans);
        let picture = picture::reconstruct_planned(model, raster, plans, &mut || bar.inc(1));
        Output {
            likeness: Likeness::of(raster.kind(), &raster.to_image(), &picture),
            picture,
        }
    }

    fn report(
        &self,
        common: &Common,
        inputs: &[Input],
        likenesses: &[Likeness],
        paths: &[PathBuf],
    ) {
        let each = || self.images.iter().zip(paths).zip(likenesses);
        let pictures: Vec<_> = each()
            .zip(inputs)
            .map(|(((image, path), likeness), input)| {
                let (name, value) = likeness.json();
                let tiles = input.plans.each_ref().map(Plan::tiles);
                json!({"image": image, "reconstruction": path, name: value, "tiles": tiles})
            })
            .collect();
        let json = json!({"out": self.out, "count": pictures.len(), "pictures": pictures});
        output::print(common, json, || {
            let line = |((image, path), likeness): ((&PathBuf, &PathBuf), &Likeness)| {
                let likeness = likeness.describe();
                format!("{}  {likeness}  {}", image.display(), path.display())
            };
            each().map(line).collect()
        });
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
