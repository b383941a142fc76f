//! What a training tells the program that runs it, and what it asks it.

use super::logs::Metrics;
use std::path::PathBuf;

/// Something a person who waits wants to know.
pub enum Event<'a> {
    /// The plan, before the first step: a line each.
    Plan(Vec<String>),
    /// Something worth a line.
    Note(String),
    /// A step is done.
    Step {
        /// Steps done so far, the resumed ones included.
        step: u64,
        /// The last step, where the budget is in steps; otherwise an estimate.
        steps: u64,
        /// Pictures per second since this session began.
        rate: f64,
        /// Seconds left, as far as can be told.
        left: f64,
        metrics: &'a Metrics,
    },
    /// The validation split was measured.
    Validation { step: u64, metrics: &'a Metrics },
    /// A checkpoint is on the disk.
    Saved(PathBuf),
}

/// Watches a training and may end it.
pub trait Observer {
    fn event(&mut self, event: Event<'_>);

    /// Whether to save and stop after the current step (Ctrl-C).
    fn interrupted(&self) -> bool;
}
