//! Options of the commands that send pictures through a tokenizer, for big pictures.

use crate::{Common, progress};
use clap::Args;
use indicatif::ProgressBar;
use smalti::tokenizer::tiled::{Plan, TileOptions, Tiling};
use std::fmt::Display;

/// The most pixels of a sheet of pictures; a larger one is not made.
const SHEET: u64 = 1 << 26;

#[derive(Args)]
pub struct TileArgs {
    /// Run pictures in tiles of so many pixels a side, which bounds the memory; auto: where it would take more than 2
    /// GB otherwise; off: never
    #[arg(long, value_name = "auto|N|off", default_value = "auto", value_parser = parse_tiling)]
    tile: Tiling,
    /// With tiles, take the statistics of normalisations from all of the picture and not from a sample: the result is
    /// that without tiles, in several times the time
    #[arg(long = "tile-exact", visible_alias = "exact")]
    exact: bool,
}

fn parse_tiling(text: &str) -> Result<Tiling, String> {
    Tiling::parse(text).ok_or_else(|| "expected auto, off, or a number of pixels".to_string())
}

impl TileArgs {
    pub fn options(&self) -> TileOptions {
        TileOptions {
            tiling: self.tile,
            exact: self.exact,
            ..TileOptions::default()
        }
    }
}

/// Says how a picture runs, if it does so in tiles, and makes room for its steps on a bar that counts pictures until
/// then.
pub fn announce(common: &Common, bar: &ProgressBar, name: impl Display, plan: &Plan) {
    if let Some(text) = plan.describe() {
        bar.suspend(|| progress::note(common, format_args!("{name}: {text}")));
        progress::count_steps(bar, plan.steps() as u64);
    }
}

/// Whether a sheet of so many pictures of this size is worth making.
pub fn fits_a_sheet(pictures: usize, [width, height]: [u32; 2]) -> bool {
    pictures as u64 * u64::from(width) * u64::from(height) <= SHEET
}
