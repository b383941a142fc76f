//! `smalti encode`: pictures to a file of codes.

use crate::tiles::{TileArgs, announce};
use crate::{Common, models, output, progress};
use clap::Args;
use image::RgbImage;
use serde_json::json;
use smalti::data::{Transform, read_image, square};
use smalti::model::Model;
use smalti::prior::CodeSet;
use smalti::tokenizer::picture;
use smalti::tokenizer::tiled::Plan;
use smalti::{Error, Result};
use std::path::{Path, PathBuf};

/// Example: smalti encode --model run a.png b.png --out codes.safetensors
#[derive(Args)]
pub struct Encode {
    /// A model file or a run folder
    #[arg(long)]
    model: PathBuf,
    /// Pictures, all of one size unless --size is given
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// Scale and crop every picture to a square of this side first
    #[arg(long)]
    size: Option<usize>,
    #[command(flatten)]
    tiles: TileArgs,
    /// The file to write
    #[arg(long)]
    out: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    overwrite: bool,
}

impl Encode {
    pub fn run(self, common: &Common) -> Result<()> {
        output::refuse_existing(&self.out, self.overwrite)?;
        let model = models::load_for_pictures(&self.model, common)?;
        let bar = progress::bar(common, self.images.len() as u64, "pictures");
        let mut set: Option<CodeSet> = None;
        for image in &self.images {
            let picture = self.picture(&model, image)?;
            let sides = [picture.height(), picture.width()].map(|side| side as usize);
            let plan = Plan::encoder(&model, sides, &self.tiles.options())?;
            announce(common, &bar, image.display(), &plan);
            let (codes, [rows, columns]) =
                picture::encode_planned(&model, &picture, &plan, &mut || bar.inc(1));
            let set = set.get_or_insert_with(|| CodeSet::new(&model, rows, columns));
            if [set.rows, set.columns] != [rows, columns] {
                return Err(Error::file(
                    image,
                    format!(
                        "this picture gives {rows} × {columns} codes, the first one {} × {}: encode pictures of one \
                         size together, or give --size",
                        set.rows, set.columns
                    ),
                ));
            }
            set.codes.extend(codes);
            bar.inc(1);
        }
        bar.finish_and_clear();
        let Some(set) = set else { return Ok(()) };
        output::folder_of(&self.out)?;
        set.save(&self.out)?;
        let out = self.out.display().to_string();
        let json =
            json!({"out": out, "count": set.len(), "rows": set.rows, "columns": set.columns});
        output::print(common, json, || {
            vec![format!(
                "{out}: {} pictures, {} × {} codes each",
                set.len(),
                set.rows,
                set.columns
            )]
        });
        Ok(())
    }

    /// A picture as it is encoded.
    fn picture(&self, model: &Model, path: &Path) -> Result<RgbImage> {
        let image = read_image(path, model.background())?;
        let Some(size) = self.size else {
            return Ok(image);
        };
        let transform = Transform::middle(size, false);
        transform.check()?;
        let middle = transform
            .center(&image)
            .map_err(|error| Error::file(path, error.to_string()))?;
        Ok(square(&middle, size))
    }
}
