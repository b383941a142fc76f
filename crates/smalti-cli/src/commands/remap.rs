//! `smalti remap`: new numbers for the codes that pictures use.

use crate::{Common, models, output, progress};
use clap::{Args, ValueEnum};
use serde_json::json;
use smalti::data::{Dataset, Raster};
use smalti::model::Model;
use smalti::tokenizer::picture;
use smalti::tokenizer::remap::UnknownCode;
use smalti::{Error, Result};
use std::collections::BTreeSet;
use std::path::PathBuf;

#[derive(Args)]
pub struct Remap {
    /// A tokenizer: a model file or a run folder
    #[arg(long)]
    model: PathBuf,
    /// A folder of pictures, or a list file
    #[arg(long)]
    data: PathBuf,
    /// What becomes of all other codes
    #[arg(long, value_enum, default_value = "random")]
    unknown: Unknown,
    /// The model file to write
    #[arg(long)]
    out: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    overwrite: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Unknown {
    /// One of the used codes, at random
    Random,
    /// A number of its own
    Extra,
}

impl Remap {
    pub fn run(self, common: &Common) -> Result<()> {
        output::refuse_existing(&self.out, self.overwrite)?;
        let model = models::load(&self.model, common)?;
        if model.prior.is_some() || model.tokenizer_config.used_codes > 0 {
            return Err(Error::file(
                &self.model,
                "only a tokenizer alone, with its codebook's own numbers, gets new ones: a prior knows the old ones",
            ));
        }
        let used = self.used_codes(&model, common)?;
        let unknown = match self.unknown {
            Unknown::Random => UnknownCode::Random,
            Unknown::Extra => UnknownCode::Extra,
        };
        let all = model.tokenizer_config.all_codes();
        let model = model.with_used_codes(&used, unknown)?;
        output::folder_of(&self.out)?;
        model.save(&self.out)?;
        let json = json!({"out": self.out, "codes": used.len(), "codebook_size": all});
        output::print(common, json, || {
            vec![format!(
                "{}: {} of {all} codes",
                self.out.display(),
                used.len()
            )]
        });
        Ok(())
    }

    fn used_codes(&self, model: &Model, common: &Common) -> Result<Vec<i64>> {
        let dataset = Dataset::open(&self.data)?;
        let kind = model.data_kind()?;
        let bar = progress::bar(common, dataset.items.len() as u64, "pictures");
        let mut used = BTreeSet::new();
        for item in &dataset.items {
            let raster = Raster::read(&item.path, kind, model.background())?;
            used.extend(picture::encode_raster(model, &raster).0);
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(used.into_iter().collect())
    }
}
