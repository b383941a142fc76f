//! `smalti decode`: a file of codes to pictures.

use crate::tiles::{TileArgs, announce, fits_a_sheet};
use crate::{Common, models, output, progress};
use clap::Args;
use serde_json::json;
use smalti::data::{GRID_PADDING, grid, write_png};
use smalti::prior::CodeSet;
use smalti::tokenizer::picture;
use smalti::tokenizer::tiled::Plan;
use smalti::{Result, counted};
use std::path::PathBuf;

#[derive(Args)]
pub struct Decode {
    /// The model that made the codes: a file or a run folder
    #[arg(long)]
    model: PathBuf,
    /// A file of codes
    codes: PathBuf,
    /// The folder for the pictures and, if they are not too large, a grid of them
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    tiles: TileArgs,
    /// Replace files that are there
    #[arg(long)]
    overwrite: bool,
}

impl Decode {
    pub fn run(self, common: &Common) -> Result<()> {
        let model = models::load_for_pictures(&self.model, common)?;
        let set = CodeSet::load(&self.codes)?;
        set.check_tokenizer(&model, &self.codes)?;
        let mut names: Vec<String> = (0..set.len())
            .map(|index| format!("{index:06}.png"))
            .collect();
        names.push(output::GRID.into());
        let paths = output::files_in(&self.out, &names, self.overwrite)?;
        let grid_size = [set.rows, set.columns];
        let sides = model.tokenizer_config.pixels_of(grid_size);
        let plan = Plan::decoder(&model, sides, &self.tiles.options())?;
        let sheet = !set.is_empty() && fits_a_sheet(set.len(), sides.map(|side| side as u32));
        output::folder(&self.out)?;
        let bar = progress::bar(common, set.len() as u64, "pictures");
        let mut pictures = Vec::new();
        for (index, path) in paths[..set.len()].iter().enumerate() {
            announce(common, &bar, path.display(), &plan);
            let codes = set.picture(index);
            let picture =
                picture::decode_planned(&model, codes, grid_size, &plan, &mut || bar.inc(1));
            write_png(path, &picture)?;
            if sheet {
                pictures.push(picture);
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        if sheet {
            write_png(&paths[set.len()], &grid(&pictures, 8, GRID_PADDING))?;
        }
        let out = self.out.display().to_string();
        output::print(
            common,
            json!({"out": out, "count": set.len(), "pictures": &paths[..set.len()]}),
            || vec![format!("{} in {out}", counted(set.len(), "picture"))],
        );
        Ok(())
    }
}
