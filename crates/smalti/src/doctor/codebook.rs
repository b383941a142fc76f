//! Is the codebook alive? Rules about the use of codes and the loss that ties encoder and codebook together.

use super::curve::{Point, lately, median, medians, steps};
use super::finding::{Finding, Severity, number, percent, rounded};
use super::record::Record;

/// Codes still move from where they were drawn; their use says nothing before.
const SETTLED: u64 = 100;
/// The length of the window that `usage_65536` counts.
const WINDOW: f64 = 65_536.0;
/// The authors' f16 tokenizer of ImageNet uses 44 % of its codes and works; recipes that beat it use 95 % or more.
const ALIVE: f64 = 0.5;
/// Unnormalised codes of 256 dimensions end at 0.3 to 4 % (LlamaGen, table 2; ViT-VQGAN), and the pictures show it.
const DEAD: f64 = 0.1;
/// Healthy runs lose up to 15 % of the use that random codes begin with; two that ended badly had lost 34 and 42 %.
const FALLEN: f64 = 0.7;
/// Perplexity over codes in use: 0.3 to 0.7 in healthy runs, even where half of each picture is plain background.
const EVEN: f64 = 0.2;
/// The share of the codebook that may be restarted in a step once a run is settled; restarts are for the beginning.
const RESTARTED: f64 = 0.01;
/// Past its first quarter, a healthy run's codebook loss stays within a tenth of itself or falls.
const GROWN: f64 = 1.5;
const RUNAWAY: f64 = 5.0;

/// The newest usage figures: of the rolling window, or of the validation split where there is no such.
fn usage(run: &Record) -> &[Point] {
    match lately(run.train("usage_65536")) {
        [] => lately(run.validation("usage_validation")),
        points => points,
    }
}

/// The share of the codebook in use, of what even use would show after the codes seen so far: 1 − e^(−n/K).
fn share_in_use(run: &Record) -> Option<f64> {
    let share = median(usage(run))?;
    Some(share / codes_seen(run).map_or(1.0, |[seen, size]| 1.0 - (-seen / size).exp()))
}

/// The codes in the rolling window, and the size of the codebook.
fn codes_seen(run: &Record) -> Option<[f64; 2]> {
    let multipliers = run.settings.get("channel_multipliers")?.as_array()?;
    let factor = 2f64.powi(multipliers.len().clamp(1, 16) as i32 - 1);
    let side = run.number("size")? / factor;
    let codes = run.log.step as f64 * run.number("batch")? * side * side;
    let size = run.number("codebook_size")?;
    (codes >= 1.0 && size >= 1.0).then(|| [codes.min(WINDOW), size])
}

/// Whether codes are vectors that are learned, not levels of a grid.
fn learned(run: &Record) -> bool {
    !["fsq", "lfq", "bsq"]
        .iter()
        .any(|kind| run.is("quantizer", kind))
}

/// Whether codes are rows of their own, so that they can be given new places one by one.
fn movable(run: &Record) -> bool {
    let tied = ["gumbel", "simvq", "ibq"];
    learned(run) && !tied.iter().any(|kind| run.is("quantizer", kind))
}

/// Few codes are in use.
pub(super) fn dead(run: &Record) -> Option<Finding> {
    let share = share_in_use(run)?;
    if run.log.step < SETTLED || share >= ALIVE {
        return None;
    }
    let (severity, title) = match share < DEAD {
        true => (Severity::Bad, "The codebook is dead"),
        false => (Severity::Warn, "Much of the codebook is unused"),
    };
    let figures = usage(run);
    let mut evidence = format!(
        "{} of the codes in use ({})",
        percent(median(figures)?),
        steps(figures)
    );
    if let Some(perplexity) = median(lately(run.train("perplexity_65536"))) {
        evidence += &format!(", perplexity {}", number(perplexity));
    }
    if let Some(dead) = median(lately(run.train("dead_codes"))) {
        evidence += &format!(", {dead:.0} dead codes");
    }
    Some(revive(
        run,
        Finding::new(severity, "dead-codebook", title, evidence),
    ))
}

/// The use below which codes are restarted, if any are.
fn restart_below(run: &Record) -> Option<f64> {
    run.number("restart_below").filter(|below| *below > 0.0)
}

/// What brings codes back, the cheapest first.
fn revive(run: &Record, finding: Finding) -> Finding {
    // Short runs of the demonstration's tokenizer ended with 15 % in use at a weight of 1, with 65 % at 0.1.
    let heavy = run
        .number("codebook_weight")
        .is_none_or(|weight| weight > 0.5);
    let long = run.number("embed_dim").is_some_and(|length| length > 16.0);
    finding
        .advise_if(
            movable(run),
            format!(
                "give unused codes a new place while it trains: --set restart_below={}",
                restart_below(run).map_or(0.1, |below| rounded(2.0 * below))
            ),
        )
        .advise_if(
            learned(run) && heavy && commitment(run).is_none(),
            "weigh the codebook loss less: --set codebook_weight=0.1",
        )
        .advise_if(
            learned(run) && (long || !movable(run) || run.is("quantizer", "nearest")),
            "in a new run, take the recipe whose codes do not die: --preset robust",
        )
        .advise_if(
            smaller_codebook(run).is_some(),
            format!(
                "in a new run, if the pictures need no more codes: --set codebook_size={}",
                smaller_codebook(run).unwrap_or_default()
            ),
        )
}

/// A power of two that holds twice the codes in use, if that is a smaller codebook.
fn smaller_codebook(run: &Record) -> Option<u64> {
    let size = run.number("codebook_size")?;
    let used = size * median(usage(run))?;
    let enough = (used.clamp(8.0, 1e6) as u64 * 2).next_power_of_two();
    ((enough as f64) < size).then_some(enough)
}

/// More codes were in use before.
pub(super) fn falling_usage(run: &Record) -> Option<Finding> {
    let points = run.train("usage_65536");
    let parts = medians(points, 8)?;
    let (&now, earlier) = parts.split_last()?;
    let best = earlier.iter().copied().fold(0.0, f64::max);
    let fallen = now < FALLEN * best;
    if !fallen || run.log.step < SETTLED || dead(run).is_some() {
        return None;
    }
    let evidence = format!(
        "usage_65536 fell from {} to {} ({})",
        percent(best),
        percent(now),
        steps(points)
    );
    let finding = Finding::new(
        Severity::Warn,
        "falling-usage",
        "Codes fall out of use",
        evidence,
    );
    Some(revive(run, finding))
}

/// Many codes are in use, but few do the work.
pub(super) fn uneven(run: &Record) -> Option<Finding> {
    let share = median(lately(run.train("usage_65536")))?;
    let perplexity = median(lately(run.train("perplexity_65536")))?;
    let used = share * run.number("codebook_size")?;
    let uneven = perplexity < EVEN * used;
    if !uneven || run.log.step < SETTLED || dead(run).is_some() {
        return None;
    }
    let evidence = format!(
        "{used:.0} codes in use, but with the perplexity of {} ({})",
        number(perplexity),
        steps(lately(run.train("perplexity_65536")))
    );
    let finding = Finding::new(
        Severity::Warn,
        "uneven-codebook",
        "Few codes do most of the work",
        evidence,
    )
    .advise("if most of each picture is plain background, this is as it should be");
    Some(revive(run, finding))
}

/// Codes die as fast as they are restarted.
pub(super) fn restless(run: &Record) -> Option<Finding> {
    let points = lately(run.train("restarted"));
    let size = run.number("codebook_size")?;
    let mean = points.iter().map(|point| point.value).sum::<f64>() / points.len() as f64;
    let restless = mean > RESTARTED * size;
    if !restless || run.log.step < SETTLED {
        return None;
    }
    let evidence = format!(
        "{} of {size:.0} codes restarted in a step ({})",
        number(mean),
        steps(points)
    );
    let finding = Finding::new(
        Severity::Warn,
        "restless-codebook",
        "Codes die as fast as they are restarted",
        evidence,
    );
    Some(
        finding
            .advise(format!(
                "restart fewer: --set restart_below={}",
                restart_below(run).map_or(0.01, |below| rounded(below / 2.0))
            ))
            .advise_if(
                smaller_codebook(run).is_some(),
                format!(
                    "in a new run, a smaller codebook: --set codebook_size={}",
                    smaller_codebook(run).unwrap_or_default()
                ),
            ),
    )
}

/// The encoder runs away from the codebook.
pub(super) fn commitment(run: &Record) -> Option<Finding> {
    let points = run.train("quant_loss");
    let parts = medians(points, 4)?;
    let growth = parts[3] / parts[1];
    let growing = parts[2] > parts[1] && parts[3] > parts[2] && growth > GROWN;
    if !growing {
        return None;
    }
    let severity = match growth > RUNAWAY {
        true => Severity::Bad,
        false => Severity::Warn,
    };
    let evidence = format!(
        "quant_loss {}, {}, {}, {} over the quarters of the run ({})",
        number(parts[0]),
        number(parts[1]),
        number(parts[2]),
        number(parts[3]),
        steps(points)
    );
    let weight = run.number("codebook_weight").filter(|weight| *weight > 0.0);
    let beta = run.number("beta").filter(|beta| *beta > 0.0);
    let finding = Finding::new(
        severity,
        "commitment",
        "The encoder runs away from the codebook",
        evidence,
    )
    .advise(format!(
        "tie them closer: --set codebook_weight={}",
        weight.map_or(1.0, |weight| rounded(2.0 * weight))
    ))
    .advise(format!(
        "in a new run, weigh commitment more: --set beta={}",
        beta.map_or(0.25, |beta| rounded(2.0 * beta))
    ))
    .advise_if(
        run.is("quantizer", "nearest"),
        "in a new run, unit vectors, which cannot run away: --set quantizer=l2",
    );
    Some(finding)
}
