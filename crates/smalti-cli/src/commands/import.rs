//! `smalti import`: a checkpoint of another program to a model file.

use crate::{Common, models, output};
use clap::Args;
use serde_json::json;
use smalti::Result;
use smalti::model::{Format, import};
use std::path::PathBuf;

#[derive(Args)]
pub struct Import {
    /// The checkpoint, or the folder around it
    source: PathBuf,
    /// Its configuration, YAML or JSON [default: one that lies beside it; without, the weights show the shape]
    #[arg(long)]
    config: Option<PathBuf>,
    /// What wrote it: taming, latent-diffusion, diffusers, llamagen, ibq, … [default: what the names in it show]
    #[arg(long, value_parser = parse_format)]
    format: Option<Format>,
    /// The model file to write
    #[arg(long)]
    out: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    overwrite: bool,
}

fn parse_format(text: &str) -> std::result::Result<Format, String> {
    Format::parse(text).ok_or_else(|| {
        let names = Format::ALL.map(Format::name);
        format!("expected one of {}", names.join(", "))
    })
}

impl Import {
    pub fn run(self, common: &Common) -> Result<()> {
        output::refuse_existing(&self.out, self.overwrite)?;
        let imported = import(
            &self.source,
            self.config.as_deref(),
            self.format,
            &models::device(),
        )?;
        let (model, format) = (imported.model, imported.format);
        output::folder_of(&self.out)?;
        model.save(&self.out)?;
        let (out, kind) = (self.out.display().to_string(), super::info::kind(&model));
        let json = json!({"out": out, "kind": kind, "format": format.name()});
        output::print(common, json, || {
            vec![format!("{out}: {kind} (from {format})")]
        });
        Ok(())
    }
}
