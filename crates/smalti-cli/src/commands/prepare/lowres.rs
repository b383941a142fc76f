//! `smalti prepare lowres`: pictures of less resolution.

use super::{Places, ReadingArgs, bar};
use crate::Common;
use clap::{Args, ValueEnum};
use smalti::data::Filter;
use smalti::prepare::lowres::{Down, Lowres};
use smalti::prepare::{each, png};
use smalti::{Error, Result};
use std::path::Path;

#[derive(Clone, Copy, ValueEnum)]
enum DownName {
    /// Cubic, as the paper's authors do
    Bicubic,
    /// The mean of what a new pixel covers
    Area,
}

#[derive(Clone, Copy, ValueEnum)]
enum UpName {
    /// Cubic, as the paper's authors do
    Bicubic,
    /// Linear
    Bilinear,
    /// Squares of one colour
    Nearest,
    /// Not at all: the files stay small
    None,
}

#[derive(Args)]
pub struct LowresArgs {
    #[command(flatten)]
    places: Places,
    #[command(flatten)]
    reading: ReadingArgs,
    /// How many times smaller the sides become
    #[arg(long)]
    factor: u32,
    /// How pictures are scaled down
    #[arg(long, value_enum, default_value_t = DownName::Bicubic)]
    down: DownName,
    /// How they are scaled up to their sides again
    #[arg(long, value_enum, default_value_t = UpName::Bicubic)]
    up: UpName,
}

impl LowresArgs {
    pub fn run(self, common: &Common) -> Result<()> {
        let lowres = Lowres {
            factor: self.factor,
            down: match self.down {
                DownName::Bicubic => Down::Bicubic,
                DownName::Area => Down::Area,
            },
            up: match self.up {
                UpName::Bicubic => Some(Filter::Bicubic),
                UpName::Bilinear => Some(Filter::Bilinear),
                UpName::Nearest => Some(Filter::Nearest),
                UpName::None => None,
            },
        };
        lowres.check()?;
        let targets = self.places.targets("png")?;
        let reading = self.reading.reading();
        let make = |path: &Path| {
            let result = lowres.apply(&reading.read(path)?);
            png(result.map_err(|error| Error::file(path, error.to_string()))?)
        };
        let bar = bar(common, targets.len());
        let outcome = each(&targets, self.places.overwrite, make, || bar.inc(1));
        self.places.finish(common, bar, &outcome)
    }
}
