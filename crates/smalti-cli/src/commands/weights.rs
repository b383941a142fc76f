//! `smalti weights`: the networks that losses, conditions and figures need.

use crate::progress::Download;
use crate::{Common, output};
use clap::{Args, Subcommand};
use serde_json::json;
use smalti::{Result, weights};
use std::path::PathBuf;

#[derive(Subcommand)]
pub enum Weights {
    /// Bring a network from where it is published into the cache folder
    ///
    /// Example: smalti weights fetch lpips-vgg
    Fetch(Fetch),
    /// Convert files that you have
    ///
    /// Example: smalti weights import vgg16.pth vgg.pth --name lpips-vgg
    Import(ImportWeights),
    /// Say which networks there are
    ///
    /// Example: smalti weights list
    List,
}

#[derive(Args)]
pub struct Fetch {
    /// One of those that `smalti weights list` names
    name: String,
}

#[derive(Args)]
pub struct ImportWeights {
    /// torchvision's network and the lpips heads, a file of the lpips packages, an edge detector, a classifier's file, or safetensors
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The network it is [default: found out]
    #[arg(long)]
    name: Option<String>,
    /// Where to write it [default: the cache folder, where trainings look for it]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long)]
    overwrite: bool,
}

impl Weights {
    pub fn run(self, common: &Common) -> Result<()> {
        match self {
            Self::Fetch(command) => command.run(common),
            Self::Import(command) => command.run(common),
            Self::List => list(common),
        }
    }
}

impl Fetch {
    fn run(self, common: &Common) -> Result<()> {
        let mut download = Download::new(common);
        let path = weights::fetch::fetch(&self.name, &mut |progress| download.show(&progress))?;
        drop(download);
        let path = path.display().to_string();
        output::print(common, json!({"name": self.name, "out": path}), || {
            vec![path.clone()]
        });
        Ok(())
    }
}

impl ImportWeights {
    fn run(self, common: &Common) -> Result<()> {
        if let Some(out) = &self.out {
            output::refuse_existing(out, self.overwrite)?;
        }
        let files: Vec<_> = self.files.iter().map(PathBuf::as_path).collect();
        let path = weights::import::install(&files, self.name.as_deref(), self.out.as_deref())?;
        let path = path.display().to_string();
        output::print(common, json!({"out": path}), || vec![path.clone()]);
        Ok(())
    }
}

fn list(common: &Common) -> Result<()> {
    let mut entries = Vec::new();
    for network in weights::catalogue::NETWORKS {
        let file = weights::cache::cached(network.name)?;
        entries.push((network, file.is_file().then_some(file)));
    }
    let networks: Vec<_> = entries
        .iter()
        .map(|(network, file)| json!({"name": network.name, "purpose": network.purpose, "license": network.license, "file": file}))
        .collect();
    let json = json!({"networks": networks});
    output::print(common, json, || {
        entries
            .iter()
            .map(|(network, file)| {
                let state = file
                    .as_ref()
                    .map_or("not here yet".into(), |file| file.display().to_string());
                format!(
                    "{}  {} ({})  {state}",
                    network.name, network.purpose, network.license
                )
            })
            .collect()
    });
    Ok(())
}
