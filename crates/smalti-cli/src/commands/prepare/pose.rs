//! `smalti prepare pose`: skeletons of people on black.

use super::{Places, bar};
use crate::Common;
use clap::Args;
use smalti::Result;
use smalti::data::read_image;
use smalti::prepare::pose::{Skeletons, Style};
use smalti::prepare::{each, png};
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct Pose {
    #[command(flatten)]
    places: Places,
    /// A file of COCO's key points, which lists the pictures by name
    #[arg(long)]
    keypoints: PathBuf,
    /// How wide lines are, as a share of the picture's shorter side
    #[arg(long, default_value_t = Style::default().line_width)]
    line_width: f64,
    /// Leave points out that are known but hidden
    #[arg(long)]
    visible_only: bool,
}

impl Pose {
    pub fn run(self, common: &Common) -> Result<()> {
        let style = Style {
            line_width: self.line_width,
            visible_only: self.visible_only,
        };
        style.check()?;
        let targets = self.places.targets("png")?;
        let skeletons = Skeletons::read(&self.keypoints)?;
        let make = |path: &Path| {
            // Only the sides of the picture matter.
            let picture = read_image(path, [0; 3])?;
            png(skeletons.draw(path, &picture, &style)?)
        };
        let bar = bar(common, targets.len());
        let outcome = each(&targets, self.places.overwrite, make, || bar.inc(1));
        self.places.finish(common, bar, &outcome)
    }
}
