//! What a person sees while something runs, on standard error: plans, notes, one bar with the time left.

use crate::Common;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use smalti::training::{Event, Metrics, Observer};
use smalti::weights::fetch::Progress;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often a line is printed where there is no terminal to draw a bar on.
pub const PLAIN_EVERY: Duration = Duration::from_secs(30);

/// Shows a training on standard error and stops it on Ctrl-C.
pub struct TrainingView {
    bar: ProgressBar,
    quiet: bool,
    terminal: bool,
    /// Fields shown behind the bar: metric and short name.
    shown: &'static [(&'static str, &'static str)],
    last_line: Option<Instant>,
}

impl TrainingView {
    /// The view of a tokenizer's training.
    pub fn tokenizer(common: &Common) -> Self {
        Self::new(
            common,
            &[
                ("nll_loss", "rec"),
                ("p_loss", "lpips"),
                ("d_weight", "λ"),
                ("logits_real", "real"),
                ("logits_fake", "fake"),
                ("usage_batch", "usage(batch)"),
                ("perplexity_batch", "perplexity(batch)"),
                ("usage_65536", "usage(65536)"),
                ("perplexity_65536", "perplexity(65536)"),
            ],
        )
    }

    /// The view of a prior's training.
    pub fn prior(common: &Common) -> Self {
        Self::new(
            common,
            &[
                ("nats_per_code", "nats/code"),
                ("unigram_entropy", "unigram"),
                ("log_codebook_size", "log K"),
                ("bits_per_pixel", "bits/pixel"),
            ],
        )
    }

    fn new(common: &Common, shown: &'static [(&'static str, &'static str)]) -> Self {
        watch_for_interrupt(common.quiet);
        let terminal = std::io::stderr().is_terminal() && !common.quiet;
        let bar = ProgressBar::with_draw_target(None, target(terminal));
        bar.set_style(style("{wide_bar} step {pos}/{len} · {msg}"));
        Self {
            bar,
            quiet: common.quiet,
            terminal,
            shown,
            last_line: None,
        }
    }

    fn line(&self, text: &str) {
        if self.quiet {
            return;
        }
        self.bar.suspend(|| eprintln!("{text}"));
    }

    fn fields(&self, metrics: &Metrics) -> String {
        let field = |(name, short): &(&str, &str)| {
            metrics
                .get(name)
                .map(|value| format!("{short} {}", number(name, value)))
        };
        let fields: Vec<String> = self.shown.iter().filter_map(field).collect();
        fields.join(" · ")
    }
}

impl Observer for TrainingView {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Plan(lines) => lines.iter().for_each(|line| self.line(line)),
            Event::Note(text) => self.line(&text),
            Event::Step {
                step,
                steps,
                rate,
                left,
                metrics,
            } => {
                let text = format!(
                    "{rate:.1} pictures/s · {} left · {}",
                    time(left),
                    self.fields(metrics)
                );
                self.bar.set_length(steps.max(step));
                self.bar.set_position(step);
                self.bar.set_message(text.clone());
                let due = self.last_line.is_none_or(|at| at.elapsed() >= PLAIN_EVERY);
                if !self.terminal && due {
                    self.line(&format!("step {step}/{steps} · {text}"));
                    self.last_line = Some(Instant::now());
                }
            }
            Event::Validation { step, metrics } => {
                let fields: Vec<String> = metrics
                    .iter()
                    .map(|(name, value)| format!("{name} {}", number(name, value)))
                    .collect();
                self.line(&format!(
                    "step {step} · validation · {}",
                    fields.join(" · ")
                ));
            }
            Event::Saved(path) => self.line(&format!("saved {}", path.display())),
        }
    }

    fn interrupted(&self) -> bool {
        interrupted()
    }
}

impl Drop for TrainingView {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A bar for work of known length, in `unit`s, with the time left.
pub fn bar(common: &Common, length: u64, unit: &str) -> ProgressBar {
    let terminal = std::io::stderr().is_terminal() && !common.quiet;
    let bar = ProgressBar::with_draw_target(Some(length), target(terminal));
    bar.set_style(counting(unit));
    bar
}

/// Makes a bar of pictures longer by `steps` of a picture that takes more than one.
pub fn count_steps(bar: &ProgressBar, steps: u64) {
    bar.inc_length(steps);
    bar.set_style(counting("steps"));
}

fn counting(unit: &str) -> ProgressStyle {
    style(&format!(
        "{{wide_bar}} {{pos}}/{{len}} {unit} · {{per_sec}} · {{eta}} left"
    ))
}

/// A note on standard error.
pub fn note(common: &Common, text: impl std::fmt::Display) {
    if !common.quiet {
        eprintln!("{text}");
    }
}

fn target(terminal: bool) -> ProgressDrawTarget {
    if terminal {
        ProgressDrawTarget::stderr_with_hz(4)
    } else {
        ProgressDrawTarget::hidden()
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Whether Ctrl-C was pressed since a training began, which is what watches for it.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Whether Ctrl-C was pressed. One flag for the whole program: only one handler can be set.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// The first Ctrl-C asks the training to save and stop, the second ends the program.
fn watch_for_interrupt(quiet: bool) {
    // A second training finds the handler of the first, which does the same.
    let _ = ctrlc::set_handler(move || {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(1);
        }
        if !quiet {
            eprintln!("\nsaving, then stopping; press Ctrl-C again to stop at once");
        }
    });
}

/// Shows a download: which file, and how far it is.
pub struct Download {
    bar: ProgressBar,
    quiet: bool,
    file: String,
}

impl Download {
    pub fn new(common: &Common) -> Self {
        let bar = bar(common, 0, "bytes");
        bar.set_style(style(
            "{wide_bar} {bytes}/{total_bytes} · {bytes_per_sec} · {eta} left",
        ));
        Self {
            bar,
            quiet: common.quiet,
            file: String::new(),
        }
    }

    pub fn show(&mut self, progress: &Progress) {
        if self.file != progress.file && !self.quiet {
            let size = progress.total.map_or(String::new(), |total| {
                format!(" ({} MB)", total.div_ceil(1_000_000))
            });
            self.bar
                .suspend(|| eprintln!("fetching {}{size}", progress.file));
            self.file = progress.file.clone();
        }
        self.bar
            .set_length(progress.total.unwrap_or(progress.received));
        self.bar.set_position(progress.received);
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A metric as a person reads it: shares in percent, large numbers without decimals.
fn number(name: &str, value: f64) -> String {
    if name.starts_with("usage") {
        format!("{:.1} %", 100.0 * value)
    } else if value.abs() >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.3}")
    }
}

/// Seconds as `2 h 05 m`, `3 m 20 s` or `12 s`.
pub fn time(seconds: f64) -> String {
    let seconds = seconds.clamp(0.0, 1e9) as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} m", seconds / 3600, seconds / 60 % 60),
    }
}
