//! `smalti reproduce`: the paper's comparisons at small scale, each one command that trains, measures and tabulates. A
//! file for each comparison says what it consists of; what they share is beside them.

mod base;
mod bench;
mod figure7;
mod measure;
mod paper;
mod results;
mod sampling;
mod show;
mod table1;
mod table5;

use super::eval::ReportArgs;
use crate::{Common, output};
use base::TokenizerCell;
use bench::Bench;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use show::Shown;
use smalti::sample::Windowing;
use smalti::{Error, Result};
use std::path::PathBuf;

/// The tokenizer of comparisons that need only one: what was chosen for the pictures.
const TOKENIZER: TokenizerCell = TokenizerCell {
    name: "tokenizer",
    presets: &[],
    fixed: &[],
};

/// The comparisons.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Name {
    /// A transformer and a PixelSNAIL of as many parameters over the same codes, by their likelihood
    #[value(name = "table1")]
    Table1,
    /// The same transformer over pixels and over codes of 2, 8 and 16 pixels a side
    #[value(name = "figure7")]
    Figure7,
    /// Reconstructions of a VQ-VAE, a discrete VAE, VQGANs of several codebooks, and a VQ-VAE-2
    #[value(name = "table5")]
    Table5,
    /// Samples under several top-k and top-p
    Sampling,
    /// Samples of which a classifier keeps several shares
    Rejection,
}

impl Name {
    fn name(self) -> &'static str {
        match self {
            Self::Table1 => "table1",
            Self::Figure7 => "figure7",
            Self::Table5 => "table5",
            Self::Sampling => "sampling",
            Self::Rejection => "rejection",
        }
    }

    /// The tokenizers that are trained for it.
    fn tokenizers(self) -> &'static [TokenizerCell] {
        match self {
            Self::Table1 | Self::Sampling | Self::Rejection => &[TOKENIZER],
            Self::Figure7 => &figure7::TOKENIZERS,
            Self::Table5 => &table5::TOKENIZERS,
        }
    }

    /// Whether it goes through ways to draw, which without features have no figures.
    fn is_sweep(self) -> bool {
        matches!(self, Self::Sampling | Self::Rejection)
    }
}

#[derive(Args)]
pub struct Reproduce {
    /// The comparison
    #[arg(value_enum)]
    name: Name,
    /// A folder of pictures (sub-folder = class), or a list file
    #[arg(long)]
    data: PathBuf,
    /// The folder for everything; the same command goes on with what is there
    #[arg(long)]
    out: PathBuf,
    /// Minutes for each training
    #[arg(long, default_value_t = 20.0)]
    minutes: f64,
    /// Steps for each training, in place of minutes
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,
    /// The seed of everything random
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Side of the pictures in pixels [default: chosen]
    #[arg(long)]
    size: Option<usize>,
    /// The network whose features are compared: efficientnet-lite0, inception-fid, inception-torchvision, a file of
    /// weights, or none
    #[arg(long, value_name = "NAME|FILE", default_value = "efficientnet-lite0")]
    features: String,
    /// The perceptual loss of the VQGANs, and the network for LPIPS: vgg, alex, none, or a file [default: vgg, or none
    /// below 16 pixels]
    #[arg(long)]
    perceptual: Option<String>,
    /// Samples that are measured of each kind
    #[arg(short, default_value_t = 500)]
    n: usize,
    /// Samples drawn at the same time
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch: u32,
    /// figure7: how the window moves over a picture, exact as in the paper, or in blocks, which is many times faster
    #[arg(long, value_name = "exact|blocks", default_value = "blocks", value_parser = parse_windowing)]
    window: Windowing,
    /// sampling and rejection: take this model with a prior, and train none
    #[arg(long)]
    model: Option<PathBuf>,
    /// sampling: the values of k; 0 for all codes
    #[arg(
        long,
        value_name = "KS",
        value_delimiter = ',',
        default_value = "0,300,100,50,10"
    )]
    top_k: Vec<usize>,
    /// sampling: the values of p; 1 for all codes
    #[arg(
        long,
        value_name = "SHARES",
        value_delimiter = ',',
        default_value = "1,0.98,0.95,0.9,0.8"
    )]
    top_p: Vec<f64>,
    /// rejection: the shares of the samples that are kept
    #[arg(
        long,
        value_name = "SHARES",
        value_delimiter = ',',
        default_value = "1,0.5,0.05,0.005"
    )]
    accept: Vec<f64>,
    /// rejection: the network that the classifier reads; of the one that compares, figures look better than they are
    /// [default: that of --features]
    #[arg(long, value_name = "NAME|FILE")]
    classifier_features: Option<String>,
    /// One setting of a stage, as tokenizer.key=value or prior.key=value; may be given several times
    #[arg(long = "set", value_name = "STAGE.KEY=VALUE")]
    settings: Vec<String>,
    #[command(flatten)]
    report: ReportArgs,
}

fn parse_windowing(text: &str) -> std::result::Result<Windowing, String> {
    Windowing::parse(text).ok_or_else(|| "expected exact or blocks".to_string())
}

impl Reproduce {
    pub fn run(self, common: &Common) -> Result<()> {
        self.check()?;
        let mut bench = Bench::open(&self, common)?;
        let shown = match self.name {
            Name::Table1 => table1::run(&mut bench),
            Name::Figure7 => figure7::run(&mut bench),
            Name::Table5 => table5::run(&mut bench),
            Name::Sampling | Name::Rejection => sampling::run(&mut bench),
        }?;
        match shown {
            Some(shown) => self.finish(common, &bench, shown),
            None => {
                self.stopped(common);
                Ok(())
            }
        }
    }

    /// Refuses what cannot be done before anything is read.
    fn check(&self) -> Result<()> {
        self.report.check()?;
        if !(self.minutes > 0.0 && self.minutes.is_finite()) {
            return Err(Error::input("--minutes must be above 0"));
        }
        if self.n < 2 {
            return Err(Error::input("-n: figures take two samples at least"));
        }
        if self.model.is_some() && !self.name.is_sweep() {
            return Err(Error::input(format!(
                "--model: {} trains its own models; only sampling and rejection take one",
                self.name.name()
            )));
        }
        if self.features == "none" && self.name.is_sweep() {
            return Err(Error::input(format!(
                "--features none: {} compares samples by features of a network",
                self.name.name()
            )));
        }
        Ok(())
    }

    /// What results depend on. Numbers that are no whole ones are texts: one that is read back from JSON may differ in
    /// its last digit.
    fn asked(&self, common: &Common) -> Value {
        let minutes = match self.steps {
            None => Some(self.minutes.to_string()),
            Some(_) => None,
        };
        json!({
            "comparison": self.name.name(),
            "data": self.data,
            "minutes": minutes,
            "steps": self.steps,
            "seed": self.seed,
            "size": self.size,
            "features": self.features,
            "perceptual": self.perceptual,
            "n": self.n,
            "window": format!("{:?}", self.window).to_lowercase(),
            "model": self.model,
            "classifier_features": self.classifier_features,
            "set": self.settings,
            "precision": common.precision.unwrap_or_default(),
            "version": env!("CARGO_PKG_VERSION"),
        })
    }

    fn stopped(&self, common: &Common) {
        let json = json!({"comparison": self.name.name(), "out": self.out, "stopped": true});
        output::print(common, json, || {
            vec![format!(
                "stopped; the same command goes on with what is in {}",
                self.out.display()
            )]
        });
    }

    fn finish(&self, common: &Common, bench: &Bench<'_>, mut shown: Shown) -> Result<()> {
        shown.paper(paper::numbers(self.name));
        let asked = self.asked(common);
        if self.report.is_wanted() {
            shown.page.protocol(&asked);
            self.report.write(common, &shown.page)?;
        }
        let json = json!({
            "comparison": self.name.name(),
            "out": self.out,
            "stopped": false,
            "settings": asked,
            "results": bench.results.records(),
            "table": shown.json,
        });
        output::print(common, json, || shown.lines);
        Ok(())
    }
}
