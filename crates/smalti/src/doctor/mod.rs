//! What is wrong with a training, in plain words, and what to change: `smalti doctor`.
//!
//! A [`Record`] is a run as its files tell it. A rule is a function from it to a finding or none; it looks at medians
//! of parts of the run, copes with numbers that were not logged, and has its limits as named constants that say where
//! they come from. docs/troubleshooting.md explains every finding.

mod adversary;
mod codebook;
mod course;
mod curve;
mod finding;
mod fitting;
mod joining;
mod lambda;
mod learning;
mod log;
mod numbers;
mod prior;
mod provenance;
mod record;
mod summary;

#[cfg(test)]
mod made;
#[cfg(test)]
mod tests;

pub use curve::Point;
pub use finding::{Finding, Severity};
pub use log::{Curves, Log, NotFinite};
pub use record::{Kind, Record};

use crate::error::Result;
use std::path::Path;

type Rule = fn(&Record) -> Option<Finding>;

/// Rules of stage 1.
const TOKENIZER: [Rule; 12] = [
    codebook::dead,
    codebook::falling_usage,
    codebook::uneven,
    codebook::restless,
    codebook::commitment,
    adversary::absent,
    joining::hurt,
    adversary::blind,
    adversary::too_strong,
    adversary::sees_everything,
    lambda::lambda_capped,
    lambda::lambda_exploding,
];
/// Rules of stage 2.
const PRIOR: [Rule; 2] = [prior::not_learning, prior::few_codes];
/// Rules of both.
const BOTH: [Rule; 12] = [
    numbers::not_finite,
    learning::rate_too_high,
    learning::rate_too_low,
    course::not_converged,
    course::plateau,
    fitting::overfitting,
    fitting::by_heart,
    fitting::small_data,
    fitting::unmeasured,
    summary::damaged,
    summary::cut_off,
    summary::went_back,
];

/// Reads a run folder and looks for everything that is known to go wrong. Nothing in the folder is changed.
///
/// # Errors
/// What is no run folder, and files of it that cannot be read at all.
pub fn examine(folder: &Path) -> Result<(Record, Vec<Finding>)> {
    let run = Record::read(folder)?;
    let findings = diagnose(&run);
    Ok((run, findings))
}

/// All findings, the worst first; always what the run is, and if nothing is wrong, that.
pub fn diagnose(run: &Record) -> Vec<Finding> {
    let of_stage: &[Rule] = match run.kind {
        Kind::Tokenizer => &TOKENIZER,
        Kind::Prior => &PRIOR,
    };
    let rules = of_stage.iter().chain(&BOTH);
    let mut findings: Vec<Finding> = rules.filter_map(|rule| rule(run)).collect();
    findings.insert(0, summary::about(run));
    findings.extend(summary::healthy(run, &findings));
    findings.sort_by_key(|finding| finding.severity);
    findings
}
