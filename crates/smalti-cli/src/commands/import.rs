//! `smalti import`: a checkpoint of the authors' code to a model file.

use crate::{Common, models, output};
use clap::Args;
use serde_json::json;
use smalti::Result;
use smalti::model::import;
use std::path::PathBuf;

/// Example: smalti import last.ckpt --config project.yaml --out model.safetensors
///
/// Reads VQModel and Net2NetTransformer checkpoints (unconditional and class-conditional). Nothing in the file is
/// executed.
#[derive(Args)]
pub struct Import {
    /// The checkpoint
    source: PathBuf,
    /// The YAML configuration that belongs to it
    #[arg(long)]
    config: PathBuf,
    /// The model file to write
    #[arg(long)]
    out: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    overwrite: bool,
}

impl Import {
    pub fn run(self, common: &Common) -> Result<()> {
        output::refuse_existing(&self.out, self.overwrite)?;
        let model = import(&self.source, &self.config, &models::device())?;
        output::folder_of(&self.out)?;
        model.save(&self.out)?;
        let (out, kind) = (self.out.display().to_string(), super::info::kind(&model));
        output::print(common, json!({"out": out, "kind": kind}), || {
            vec![format!("{out}: {kind}")]
        });
        Ok(())
    }
}
