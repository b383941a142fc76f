//! `smalti reconstruct`: pictures through a tokenizer and back.

use crate::{Common, models, output, progress};
use clap::Args;
use serde_json::json;
use smalti::Result;
use smalti::data::{pairs_grid, read_image, write_png};
use smalti::tokenizer::picture;
use std::path::PathBuf;

/// Example: smalti reconstruct --model run a.jpg b.png --out reconstructed
#[derive(Args)]
pub struct Reconstruct {
    /// A model file or a run folder
    #[arg(long)]
    model: PathBuf,
    /// Pictures of any size
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// The folder for the reconstructions and, of pictures of one size, a grid of both
    #[arg(long)]
    out: PathBuf,
    /// Replace files that are there
    #[arg(long)]
    overwrite: bool,
}

impl Reconstruct {
    pub fn run(self, common: &Common) -> Result<()> {
        let model = models::load_for_pictures(&self.model, common)?;
        let mut names = output::picture_names(&self.images);
        names.push(output::GRID.into());
        let paths = output::files_in(&self.out, &names, self.overwrite)?;
        // All pictures are read before the first is written: a bad one leaves nothing behind.
        let background = model.background();
        let inputs: Vec<_> = self
            .images
            .iter()
            .map(|image| read_image(image, background))
            .collect::<Result<_>>()?;
        let bar = progress::bar(common, inputs.len() as u64, "pictures");
        output::folder(&self.out)?;
        let (mut outputs, mut report) = (Vec::new(), Vec::new());
        for ((input, image), path) in inputs.iter().zip(&self.images).zip(&paths) {
            let output = picture::reconstruct(&model, input);
            write_png(path, &output)?;
            report.push((image, path, picture::psnr(input, &output)));
            outputs.push(output);
            bar.inc(1);
        }
        bar.finish_and_clear();
        let size = inputs[0].dimensions();
        if inputs.iter().all(|input| input.dimensions() == size) {
            write_png(&paths[inputs.len()], &pairs_grid(&inputs, &outputs, 8))?;
        }
        let pictures: Vec<_> = report
            .iter()
            .map(
                |(image, path, psnr)| json!({"image": image, "reconstruction": path, "psnr": psnr}),
            )
            .collect();
        let json = json!({"out": self.out, "count": pictures.len(), "pictures": pictures});
        output::print(common, json, || {
            report
                .iter()
                .map(|(image, path, psnr)| {
                    format!("{}  PSNR {psnr:.2} dB  {}", image.display(), path.display())
                })
                .collect()
        });
        Ok(())
    }
}
