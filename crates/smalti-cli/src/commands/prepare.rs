//! `smalti prepare`: conditions made of pictures, a file beside each.

mod depth;
mod edges;
mod lowres;
mod pose;

use crate::{Common, output, progress};
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use serde_json::json;
use smalti::prepare::{Outcome, Reading, Target, targets};
use smalti::{Error, Result, counted};
use std::path::{Path, PathBuf};

#[derive(Subcommand)]
pub enum Prepare {
    /// Find edges
    ///
    /// Example: smalti prepare edges photos --out edges
    Edges(edges::Edges),
    /// Draw the skeletons of people from COCO's key points
    ///
    /// Example: smalti prepare pose train2017 --keypoints person_keypoints_train2017.json --out poses
    Pose(pose::Pose),
    /// Lose resolution
    ///
    /// Example: smalti prepare lowres photos --factor 4 --out lowres
    Lowres(lowres::LowresArgs),
    /// Check depth maps, or write them in another form
    ///
    /// Without --to and --out, files are read through and nothing is written.
    ///
    /// Example: smalti prepare depth drin_depth --to tiff --out depth
    Depth(depth::Depth),
}

impl Prepare {
    pub fn run(self, common: &Common) -> Result<()> {
        match self {
            Self::Edges(command) => command.run(common),
            Self::Pose(command) => command.run(common),
            Self::Lowres(command) => command.run(common),
            Self::Depth(command) => command.run(common),
        }
    }
}

/// Where pictures come from, and where what is made of them goes.
#[derive(Args)]
struct Places {
    /// A folder of pictures, a list of them, or one
    data: PathBuf,
    /// The folder for what is made; below it everything has the path and the name of its picture
    #[arg(long)]
    out: PathBuf,
    /// Make anew what is there already
    #[arg(long)]
    overwrite: bool,
}

impl Places {
    fn targets(&self, extension: &str) -> Result<Vec<Target>> {
        targets(&self.data, &self.out, extension)
    }

    /// Says what became of the pictures.
    ///
    /// # Errors
    /// When something went wrong with any.
    fn finish(&self, common: &Common, bar: ProgressBar, outcome: &Outcome) -> Result<()> {
        bar.finish_and_clear();
        let Outcome {
            written, present, ..
        } = *outcome;
        let out = self.out.display().to_string();
        let json = json!({
            "out": out,
            "written": written,
            "already_there": present,
            "failed": failures(&outcome.failed),
        });
        output::print(common, json, || {
            vec![format!("{out}: {written} made, {present} already there")]
        });
        complain(common, &outcome.failed, written + present)
    }
}

/// How pictures are read.
#[derive(Args)]
struct ReadingArgs {
    /// Scale larger pictures down first, until the shortest side has this many pixels
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=32_768))]
    size: Option<u32>,
    /// What transparency is laid over, as red,green,blue
    #[arg(long, value_parser = parse_color, default_value = "255,255,255")]
    background: [u8; 3],
}

impl ReadingArgs {
    fn reading(&self) -> Reading {
        Reading {
            background: self.background,
            shortest: self.size,
        }
    }
}

fn parse_color(text: &str) -> std::result::Result<[u8; 3], String> {
    let parts: Option<Vec<u8>> = text
        .split(',')
        .map(|part| part.trim().parse::<u8>().ok())
        .collect();
    parts
        .and_then(|parts| parts.try_into().ok())
        .ok_or_else(|| "expected three numbers from 0 to 255".to_string())
}

fn bar(common: &Common, count: usize) -> ProgressBar {
    progress::bar(common, count as u64, "pictures")
}

/// What went wrong, as JSON.
fn failures(failed: &[(PathBuf, String)]) -> Vec<serde_json::Value> {
    failed
        .iter()
        .map(|(path, reason)| json!({"file": path.display().to_string(), "reason": reason}))
        .collect()
}

/// Names the first of the pictures that went wrong; the rest is in the JSON.
fn complain(common: &Common, failed: &[(PathBuf, String)], good: usize) -> Result<()> {
    const NAMED: usize = 5;
    let Some((first, reason)) = failed.first() else {
        return Ok(());
    };
    let line = |path: &Path, reason: &str| format!("{}: {reason}", path.display());
    for (path, reason) in failed.iter().take(NAMED) {
        progress::note(common, line(path, reason));
    }
    if failed.len() > NAMED {
        progress::note(common, "…");
    }
    Err(Error::failed(format!(
        "{} of {} could not be used; the first: {}",
        failed.len(),
        counted(failed.len() + good, "picture"),
        line(first, reason)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_three_numbers() {
        assert_eq!(parse_color("0, 128,255"), Ok([0, 128, 255]));
        for text in ["", "1,2", "1,2,3,4", "1,2,256", "white"] {
            assert!(parse_color(text).is_err(), "{text}");
        }
    }
}
