//! `smalti encode`: pictures to a file of codes.

use crate::tiles::{TileArgs, announce};
use crate::{Common, models, output, progress};
use clap::Args;
use serde_json::json;
use smalti::data::{Kind, Raster, Transform};
use smalti::model::Model;
use smalti::prior::CodeSet;
use smalti::tokenizer::picture;
use smalti::tokenizer::tiled::Plan;
use smalti::{Error, Result, counted};
use std::path::{Path, PathBuf};

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
        let model = models::load(&self.model, common)?;
        let kind = model.data_kind()?;
        let bar = progress::bar(common, self.images.len() as u64, "pictures");
        let mut set: Option<CodeSet> = None;
        for image in &self.images {
            let picture = self.picture(&model, kind, image)?;
            let (width, height) = picture.dimensions();
            let sides = [height, width].map(|side| side as usize);
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
                "{out}: {}, {} × {} codes each",
                counted(set.len(), "picture"),
                set.rows,
                set.columns
            )]
        });
        Ok(())
    }

    /// A picture as it is encoded.
    fn picture(&self, model: &Model, kind: Kind, path: &Path) -> Result<Raster> {
        let raster = Raster::read(path, kind, model.background())?;
        let Some(size) = self.size else {
            return Ok(raster);
        };
        let transform = Transform::middle(size, false);
        transform.check()?;
        transform
            .center_of(raster)
            .map_err(|error| Error::file(path, error.to_string()))
    }
}
