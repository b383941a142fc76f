//! `smalti man`: the manual pages, made of what `--help` says.

use crate::{Common, output};
use clap::Args;
use clap_mangen::Man;
use serde_json::json;
use smalti::{Error, Result};
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct ManPages {
    /// The folder for the pages of all commands [default: the first page, on standard output]
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Replace pages that are there
    #[arg(long)]
    overwrite: bool,
}

/// A page: its file name and its text.
type Page = (String, Vec<u8>);

impl ManPages {
    pub fn run(self, common: &Common) -> Result<()> {
        let mut command = crate::command().disable_help_subcommand(true);
        command.build();
        let mut pages = Vec::new();
        // Writing to memory does not fail.
        add(&command, &mut pages).map_err(|error| Error::io(Path::new("smalti.1"), error))?;
        match self.folder {
            Some(folder) => write(&folder, &pages, self.overwrite, common),
            None => {
                for (_, text) in pages.iter().take(1) {
                    output::line(String::from_utf8_lossy(text).trim_end());
                }
                Ok(())
            }
        }
    }
}

/// Adds the page of a command, then those of its sub-commands.
fn add(command: &clap::Command, pages: &mut Vec<Page>) -> std::io::Result<()> {
    let man = Man::new(command.clone());
    let mut text = Vec::new();
    man.render(&mut text)?;
    pages.push((man.get_filename(), text));
    command
        .get_subcommands()
        .try_for_each(|command| add(command, pages))
}

fn write(folder: &Path, pages: &[Page], overwrite: bool, common: &Common) -> Result<()> {
    let names: Vec<String> = pages.iter().map(|(name, _)| name.clone()).collect();
    let paths = output::files_in(folder, &names, overwrite)?;
    output::folder(folder)?;
    for (path, (_, text)) in paths.iter().zip(pages) {
        std::fs::write(path, text).map_err(|error| Error::io(path, error))?;
    }
    output::print(common, json!({"out": folder, "pages": paths}), || {
        vec![format!("{} pages in {}", paths.len(), folder.display())]
    });
    Ok(())
}
