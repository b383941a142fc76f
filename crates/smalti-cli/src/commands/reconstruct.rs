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
        let model = models::load(&self.model)?;
        let mut names = output::picture_names(&self.images);
        names.push("grid.png".into());
        let paths = output::free_in(&self.out, &names, self.overwrite)?;
        let bar = progress::bar(common, self.images.len() as u64, "pictures");
        let (mut inputs, mut outputs, mut report) = (Vec::new(), Vec::new(), Vec::new());
        for (image, path) in self.images.iter().zip(&paths) {
            let input = read_image(image, [255; 3])?;
            let output = picture::reconstruct(&model, &input);
            write_png(path, &output)?;
            let psnr = picture::psnr(&input, &output);
            report.push((image.clone(), path.clone(), psnr));
            inputs.push(input);
            outputs.push(output);
            bar.inc(1);
        }
        bar.finish_and_clear();
        let size = inputs[0].dimensions();
        let one_size = inputs.iter().all(|input| input.dimensions() == size);
        if one_size {
            write_png(&paths[paths.len() - 1], &pairs_grid(&inputs, &outputs, 8))?;
        }
        let json = report
            .iter()
            .map(
                |(image, path, psnr)| json!({"image": image, "reconstruction": path, "psnr": psnr}),
            )
            .collect();
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
