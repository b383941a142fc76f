//! Did reconstructions suffer when the discriminator joined? The complaint about VQGANs that is heard most.

use super::adversary::{lower_cap, takes_part, while_longer};
use super::curve::{before, lately, median, newest, since};
use super::finding::{Finding, Severity, number, rounded};
use super::record::Record;

/// LPIPS must not rise when the discriminator joins; a tenth is beyond what measurements scatter by.
const LPIPS_WORSE: f64 = 0.1;
const LPIPS_RUINED: f64 = 0.3;
/// Decibels of error. Sharper pictures cost some: 1.3 dB at first in a run that won it back (docs/emoji.md), and 1.0 to
/// 1.2 dB in the demonstration, which has no LPIPS and edges only from its discriminator. 3 dB is twice the squared error.
const PSNR_WORSE: f64 = 1.5;
const PSNR_RUINED: f64 = 3.0;

/// How reconstructions changed for the worse when the discriminator joined.
pub(super) struct Change {
    severity: Severity,
    pub(super) evidence: String,
}

/// A figure before the discriminator joined and since.
struct Around {
    before: f64,
    since: f64,
}

impl Around {
    fn describe(&self, name: &str) -> String {
        format!(
            "{name} from {} to {}",
            number(self.before),
            number(self.since)
        )
    }
}

/// The best of the last three measurements of the validation split before it joined, and the median of the last three
/// since.
fn around(run: &Record, name: &str, best: fn(f64, f64) -> f64) -> Option<Around> {
    let (points, joined) = (run.validation(name), run.joined()?);
    let then = newest(before(points, joined), 3);
    Some(Around {
        before: then.iter().map(|point| point.value).reduce(best)?,
        since: median(newest(since(points, joined), 3))?,
    })
}

/// The training loss just before it joined and lately, for runs that hold no picture back.
fn around_in_training(run: &Record) -> Option<Around> {
    let (points, joined) = (run.train_loss(), run.joined()?);
    let after = since(points, joined);
    let enough = after.len() >= 10;
    Some(Around {
        before: median(lately(before(points, joined)))?,
        since: median(lately(after)).filter(|_| enough)?,
    })
}

/// What got worse since it joined, if anything did.
pub(super) fn worse_since(run: &Record) -> Option<Change> {
    let lpips = around(run, "p_loss", f64::min);
    let psnr = around(run, "psnr", f64::max);
    let training = match (&lpips, &psnr) {
        (None, None) => around_in_training(run),
        _ => None,
    };
    let rise = lpips
        .as_ref()
        .map_or(0.0, |lpips| lpips.since / lpips.before - 1.0);
    let lost = match (&psnr, &training) {
        (Some(psnr), _) => psnr.before - psnr.since,
        (None, Some(loss)) => 20.0 * (loss.since / loss.before).log10(),
        (None, None) => 0.0,
    };
    // Where LPIPS says that pictures look better, squared error may grow.
    let bearable = match lpips.is_some() {
        true => PSNR_RUINED,
        false => PSNR_WORSE,
    };
    let worse = rise > LPIPS_WORSE || lost > bearable;
    if !worse || !takes_part(run) {
        return None;
    }
    let severity = match rise > LPIPS_RUINED || lost > PSNR_RUINED {
        true => Severity::Bad,
        false => Severity::Warn,
    };
    let figures = [
        ("LPIPS", lpips),
        ("PSNR", psnr),
        ("nll_loss of the training", training),
    ];
    let parts: Vec<String> = figures
        .into_iter()
        .filter_map(|(name, figure)| Some(figure?.describe(name)))
        .collect();
    Some(Change {
        severity,
        evidence: parts.join(", "),
    })
}

/// Reconstructions are worse than before the discriminator joined.
pub(super) fn hurt(run: &Record) -> Option<Finding> {
    let change = worse_since(run)?;
    let joined = run.joined()?;
    let weight = run.number("discriminator_weight").unwrap_or(0.8);
    let wait = while_longer(run);
    let finding = Finding::new(
        change.severity,
        "hurt-by-discriminator",
        "Reconstructions got worse when the discriminator joined",
        format!("{} since it joined at step {joined}", change.evidence),
    );
    Some(
        finding
            .advise(format!(
                "give it less weight: --set discriminator_weight={} --set lambda_max={}",
                rounded(weight / 2.0),
                lower_cap(run)
            ))
            .advise(format!(
                "in a new run, let it join by degrees: --set discriminator_warmup={wait} --set \
                 discriminator_ramp={wait}"
            ))
            .advise("in a new run, let it join when reconstructions are at their best: --set discriminator_start=0.75"),
    )
}
