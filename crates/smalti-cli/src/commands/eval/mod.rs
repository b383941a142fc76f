//! `smalti eval`: figures of models and of pictures, with how they were measured.

mod drawn;
mod features;
mod grid;
mod neighbours;
mod pictures;
mod prior;
mod reconstruction;
mod reference;
mod results;
mod samples;
mod sweep;
mod sweep_page;

pub use reference::PublishedArgs;
pub use sweep::EvalSweep;

use crate::progress::{self, PLAIN_EVERY};
use crate::report::{Figure, Page, protocol_lines, table};
use crate::{Common, output};
use clap::{Args, Subcommand};
use serde_json::Value;
use smalti::Result;
use std::path::PathBuf;
use std::time::Instant;

#[derive(Subcommand)]
pub enum Eval {
    /// How well a tokenizer gives pictures back, and how much of its codebook it uses
    ///
    /// Example: smalti eval reconstruction --model runs/photos --split validation --crops 30
    Reconstruction(reconstruction::EvalReconstruction),
    /// How like real pictures samples are: Fréchet and kernel distance, precision and recall, classifier score
    ///
    /// Example: smalti eval samples --model runs/prior -n 5000 --reference photos --features efficientnet-lite0
    Samples(Box<samples::EvalSamples>),
    /// How probable pictures are to a prior, as a whole and code by code
    ///
    /// Example: smalti eval prior --model runs/prior --report prior.html
    Prior(prior::EvalPrior),
    /// How figures of samples change with temperature, top-k, top-p and the share that a classifier keeps
    ///
    /// Example: smalti eval sweep --model run --reference photos --features efficientnet-lite0 --top-k 50,100 -n 500 --out sweep
    Sweep(Box<sweep::EvalSweep>),
}

impl Eval {
    pub fn run(self, common: &Common) -> Result<()> {
        match self {
            Self::Reconstruction(command) => command.run(common),
            Self::Samples(command) => command.run(common),
            Self::Prior(command) => command.run(common),
            Self::Sweep(command) => command.run(common),
        }
    }
}

/// Where figures go besides the terminal.
#[derive(Args)]
pub struct ReportArgs {
    /// Also write a page with the figures, how they were measured, plots and pictures: one HTML file that needs no other
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Replace files that are there
    #[arg(long)]
    overwrite: bool,
}

impl ReportArgs {
    /// Refuses, before anything is measured, to replace a page.
    pub fn check(&self) -> Result<()> {
        match &self.report {
            Some(path) => output::refuse_existing(path, self.overwrite),
            None => Ok(()),
        }
    }

    pub fn is_wanted(&self) -> bool {
        self.report.is_some()
    }

    /// Writes the page, if one is wanted.
    pub fn write(&self, common: &Common, page: &Page) -> Result<()> {
        let Some(path) = &self.report else {
            return Ok(());
        };
        output::folder_of(path)?;
        page.write(path)?;
        progress::note(common, format_args!("saved {}", path.display()));
        Ok(())
    }
}

/// What every command found.
pub struct Findings {
    /// As JSON: `figures`, `warnings`, `protocol`.
    pub json: Value,
    pub figures: Vec<Figure>,
    pub warnings: Vec<String>,
}

impl Findings {
    /// Prints them, to be read by a person or as JSON.
    pub fn print(&self, common: &Common) {
        output::print(common, self.json.clone(), || {
            let mut lines = table(&self.figures);
            let warnings = self.warnings.iter();
            lines.extend(warnings.map(|warning| format!("note       {warning}")));
            lines.push("measured".to_string());
            lines.extend(protocol_lines(self.protocol()));
            lines
        });
    }

    /// A page that begins with them.
    pub fn page(&self, title: &str) -> Page {
        let mut page = Page::new(title);
        page.figures(&self.figures);
        for warning in &self.warnings {
            page.warning(warning);
        }
        page
    }

    /// How they were measured.
    pub fn protocol(&self) -> &Value {
        &self.json["protocol"]
    }
}

/// Work of known length as it is seen on standard error: a bar, or now and then a line.
pub struct Steps<'a> {
    common: &'a Common,
    bar: indicatif::ProgressBar,
    total: usize,
    unit: &'static str,
    last_line: Instant,
}

impl<'a> Steps<'a> {
    pub fn new(common: &'a Common, total: usize, unit: &'static str) -> Self {
        Self {
            common,
            bar: progress::bar(common, total as u64, unit),
            total,
            unit,
            last_line: Instant::now(),
        }
    }

    /// So much of it is done.
    pub fn show(&mut self, done: usize) {
        self.bar.set_position(done as u64);
        if self.bar.is_hidden() && self.last_line.elapsed() >= PLAIN_EVERY {
            progress::note(
                self.common,
                format_args!("{done}/{} {}", self.total, self.unit),
            );
            self.last_line = Instant::now();
        }
    }
}

impl Drop for Steps<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// The frequencies of codes, the most frequent first, as bars of equal width: each the mean of its codes.
pub fn code_bars(counts: &[u64]) -> String {
    let mut sorted: Vec<u64> = counts.to_vec();
    sorted.sort_unstable();
    sorted.reverse();
    let together = sorted.len().div_ceil(128).max(1);
    let mean = |counts: &[u64]| counts.iter().sum::<u64>() as f64 / counts.len() as f64;
    let heights: Vec<f64> = sorted.chunks(together).map(mean).collect();
    let label = match together {
        1 => "codes, the most frequent first".to_string(),
        _ => format!("codes, the most frequent first, {together} to a bar"),
    };
    crate::report::plot::bars("How often codes occur", &label, "times", &heights)
}
