//! `smalti prepare edges`: white edges on black.

use super::{Places, ReadingArgs, bar};
use crate::progress::Download;
use crate::{Common, models};
use clap::{Args, ValueEnum};
use smalti::prepare::canny::Canny;
use smalti::prepare::hed::Hed;
use smalti::prepare::imagenet_edges::imagenet_edges;
use smalti::prepare::{each, one_by_one, png};
use smalti::{Error, Result, weights};
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Method {
    /// Canny's, as OpenCV finds them
    Canny,
    /// Canny's, as the paper's authors find them: in grey, blurred by a Gaussian of 2 pixels
    Authors,
    /// As people draw them: a trained network
    Hed,
}

#[derive(Args)]
pub struct Edges {
    #[command(flatten)]
    places: Places,
    #[command(flatten)]
    reading: ReadingArgs,
    /// How edges are found
    #[arg(long, value_enum, default_value_t = Method::Canny)]
    method: Method,
    /// canny: the gradient above which an edge goes on [default: 100]
    #[arg(long)]
    low: Option<f64>,
    /// canny: the gradient above which an edge begins [default: 200]
    #[arg(long)]
    high: Option<f64>,
    /// canny: blur first, over 5 pixels
    #[arg(long)]
    blur: bool,
    /// canny: measure gradients by their length (OpenCV's L2gradient), not by the sum of both directions
    #[arg(long)]
    l2: bool,
    /// hed: the network's file [default: fetched if it is not here]
    #[arg(long)]
    weights: Option<PathBuf>,
}

impl Edges {
    pub fn run(self, common: &Common) -> Result<()> {
        self.check_options()?;
        match self.method {
            Method::Canny => self.canny(common),
            Method::Authors => self.authors(common),
            Method::Hed => self.hed(common),
        }
    }

    /// Refuses options of another method.
    fn check_options(&self) -> Result<()> {
        let given = [
            ("--low", self.low.is_some(), Method::Canny),
            ("--high", self.high.is_some(), Method::Canny),
            ("--blur", self.blur, Method::Canny),
            ("--l2", self.l2, Method::Canny),
            ("--weights", self.weights.is_some(), Method::Hed),
        ];
        for (option, given, method) in given {
            if given && method != self.method {
                let name = if method == Method::Canny {
                    "canny"
                } else {
                    "hed"
                };
                return Err(Error::input(format!("{option} belongs to --method {name}")));
            }
        }
        Ok(())
    }

    fn canny(self, common: &Common) -> Result<()> {
        let settings = Canny::default();
        let canny = Canny {
            low: self.low.unwrap_or(settings.low),
            high: self.high.unwrap_or(settings.high),
            blur: self.blur,
            euclidean: self.l2,
        };
        canny.check()?;
        let reading = self.reading.reading();
        self.draw(common, |path| png(canny.edges(&reading.read(path)?)))
    }

    fn authors(self, common: &Common) -> Result<()> {
        let reading = self.reading.reading();
        self.draw(common, |path| png(imagenet_edges(&reading.read(path)?)))
    }

    fn draw(&self, common: &Common, make: impl Fn(&Path) -> Result<Vec<u8>> + Sync) -> Result<()> {
        let targets = self.places.targets("png")?;
        let bar = bar(common, targets.len());
        let outcome = each(&targets, self.places.overwrite, make, || bar.inc(1));
        self.places.finish(common, bar, &outcome)
    }

    fn hed(self, common: &Common) -> Result<()> {
        let targets = self.places.targets("png")?;
        let file = match self.weights {
            Some(file) => file,
            None => {
                let mut download = Download::new(common);
                weights::fetch::locate("hed", &mut |progress| download.show(&progress))?
            }
        };
        let network = Hed::load(&file, &models::device())?
            .with_precision(common.precision.unwrap_or_default());
        let reading = self.reading.reading();
        let make = |path: &Path| {
            let edges = network.edges(&reading.read(path)?);
            png(edges.map_err(|error| Error::file(path, error.to_string()))?)
        };
        let bar = bar(common, targets.len());
        let outcome = one_by_one(&targets, self.places.overwrite, make, || bar.inc(1));
        self.places.finish(common, bar, &outcome)
    }
}
