//! `smalti export`: a model as a checkpoint of another program.

use crate::{Common, models, output};
use clap::Args;
use serde_json::json;
use smalti::Result;
use smalti::model::{ExportFormat, export};
use std::path::PathBuf;

#[derive(Args)]
pub struct Export {
    /// A model file or a run folder
    model: PathBuf,
    /// What is to read it: compvis (taming-transformers, with a YAML beside it) or diffusers (a folder)
    #[arg(long, value_parser = parse_format)]
    to: ExportFormat,
    /// compvis: the file to write, .ckpt, .pt or .safetensors; diffusers: the folder
    #[arg(long)]
    out: PathBuf,
    /// Replace files that are there
    #[arg(long)]
    overwrite: bool,
}

fn parse_format(text: &str) -> std::result::Result<ExportFormat, String> {
    ExportFormat::parse(text).ok_or_else(|| {
        let names = ExportFormat::ALL.map(ExportFormat::name);
        format!("expected one of {}", names.join(", "))
    })
}

impl Export {
    pub fn run(self, common: &Common) -> Result<()> {
        let files = self.to.files(&self.out)?;
        for file in &files {
            output::refuse_existing(file, self.overwrite)?;
        }
        let model = models::load(&self.model, common)?;
        output::folder_of(&self.out)?;
        export(&model, self.to, &self.out)?;
        let files: Vec<String> = files
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        let json = json!({"to": self.to.name(), "files": files});
        output::print(common, json, || files);
        Ok(())
    }
}
