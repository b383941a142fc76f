//! The curves of a training, from what its run folder has logged.

use super::page::Page;
use super::plot::{Line, lines};
use smalti::doctor::{Curves, Kind, Point, Record};
use std::path::Path;

/// A plot: its title, and for each line the split, the name in the log and the name in the legend.
type Shown = (&'static str, &'static [(Split, &'static str, &'static str)]);

#[derive(Clone, Copy)]
enum Split {
    Train,
    Validation,
}

use Split::{Train, Validation};

const TOKENIZER: [Shown; 5] = [
    (
        "Reconstruction loss",
        &[
            (Train, "nll_loss", "pixels and LPIPS, training"),
            (Train, "p_loss", "LPIPS, training"),
            (Validation, "p_loss", "LPIPS, validation"),
        ],
    ),
    (
        "PSNR in decibels",
        &[(Validation, "psnr", "PSNR, validation")],
    ),
    (
        "Share of the codebook in use",
        &[
            (Train, "usage_65536", "of the last 65,536 codes"),
            (Validation, "usage_validation", "validation"),
        ],
    ),
    (
        "Perplexity of the codes",
        &[(Train, "perplexity_65536", "of the last 65,536 codes")],
    ),
    (
        "Weight of the adversarial loss",
        &[(Train, "d_weight", "d_weight")],
    ),
];

const PRIOR: [Shown; 1] = [(
    "Nats per code",
    &[
        (Train, "nats_per_code", "training"),
        (Validation, "nats_per_code", "validation"),
        (Train, "unigram_entropy", "frequencies of codes alone"),
    ],
)];

/// Adds plots of the run in this folder: none of what was not logged, and none at all of what is no run.
pub fn add_curves(page: &mut Page, run: &Path) {
    let plots = curves(run);
    if !plots.is_empty() {
        page.heading("Training");
        plots.iter().for_each(|plot| page.plot(plot));
    }
}

/// As SVG.
fn curves(run: &Path) -> Vec<String> {
    let Ok(record) = Record::read(run) else {
        return Vec::new();
    };
    let shown: &[Shown] = match record.kind {
        Kind::Tokenizer => &TOKENIZER,
        Kind::Prior => &PRIOR,
    };
    let plot = |&(title, wanted): &Shown| {
        let line = |&(split, key, name): &(Split, &str, &str)| {
            let curves: &Curves = match split {
                Train => &record.log.train,
                Validation => &record.log.validation,
            };
            let points = curves.points(key);
            let point = |point: &Point| (point.step as f64, point.value);
            (points.len() > 1).then(|| Line::new(name, points.iter().map(point).collect()))
        };
        let found: Vec<Line> = wanted.iter().filter_map(line).collect();
        (!found.is_empty()).then(|| lines(title, "step", "", &found, false))
    };
    shown.iter().filter_map(plot).collect()
}
