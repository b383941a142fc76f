//! Is the learning rate right? Rules about the course of the training loss and its gradients, for both stages.

use super::curve::{Point, jitter, lately, median, medians, newest, since, steps};
use super::finding::{Finding, Severity, number, percent, rounded};
use super::record::{Kind, Record};

/// A loss that ends a tenth above its best eighth has risen; where single batches scatter more, by three times what
/// they jump: medians of five points scatter by about half of that, and the best of eight is the luckiest.
const RISEN: f64 = 0.1;
const RISEN_SCATTER: f64 = 3.0;
/// Losses of single batches jump by 4 to 19 % in healthy stage-1 runs, by 2 to 7 % in stage 2.
const OSCILLATES: [f64; 2] = [0.4, 0.25];
/// A gradient this many times the usual one is a spike; one step in fifty may have one.
const SPIKE: f64 = 10.0;
const SPIKES: f64 = 0.02;
/// The share of steps that may be skipped for gradients that are not finite: a few are bad luck, more are a network
/// that is leaving the numbers.
pub(super) const SKIPPED: f64 = 0.01;
/// Below this share of its peak, the learning rate has been brought down.
const FLAT: f64 = 0.8;
/// A loss that still falls by this in the last quarter of a run, and half as fast as at first, was too slow.
const FALLS: [f64; 2] = [0.08, 0.03];
const FALLS_AS_FAST: f64 = 0.5;

/// Stage 1 can; 1 is the usual length (maskbit's recipe, LlamaGen).
pub(super) const CLIP: &str = "cut the longest gradients: --set gradient_clip=1";

/// The steps are too long.
pub(super) fn rate_too_high(run: &Record) -> Option<Finding> {
    let (rises, skips) = (rises(run), skips(run));
    let severity = match rises.is_some() || skips.is_some() {
        true => Severity::Bad,
        false => Severity::Warn,
    };
    let signs: Vec<String> = [rises, oscillates(run), spikes(run), skips]
        .into_iter()
        .flatten()
        .collect();
    if signs.is_empty() {
        return None;
    }
    let finding = Finding::new(
        severity,
        "learning-rate-too-high",
        "The learning rate is too high",
        signs.join("; "),
    );
    let batch = run.number("batch").filter(|batch| *batch < 8.0);
    Some(
        finding
            .advise(slower(run))
            .advise_if(run.kind == Kind::Tokenizer, CLIP)
            .advise_if(
                batch.is_some(),
                format!(
                    "single batches of {} scatter much: --set batch=16",
                    batch.unwrap_or_default()
                ),
            ),
    )
}

/// The advice to take a third of the learning rate.
pub(super) fn slower(run: &Record) -> String {
    let usual = match run.kind {
        Kind::Tokenizer => 4e-4,
        Kind::Prior => 5e-4,
    };
    let rate = run.number("learning_rate").filter(|rate| *rate > 0.0);
    format!(
        "take smaller steps: --set learning_rate={}",
        rate.map_or(usual, |rate| rounded(rate / 3.0))
    )
}

/// The loss ends higher than it was.
pub(super) fn rises(run: &Record) -> Option<String> {
    let points = run.undisturbed();
    let parts = medians(points, 8)?;
    let (&now, earlier) = parts.split_last()?;
    let best = earlier.iter().copied().fold(f64::INFINITY, f64::min);
    let risen = now > best * (1.0 + RISEN.max(RISEN_SCATTER * jitter(points)?));
    risen.then(|| {
        format!(
            "{} rose from {} to {} ({})",
            run.loss_name(),
            number(best),
            number(now),
            steps(points)
        )
    })
}

fn oscillates(run: &Record) -> Option<String> {
    let points = run.undisturbed();
    let half = newest(points, points.len() / 2);
    let jump = jitter(half)?;
    let jumps = half.len() >= 10 && jump > run.by_stage(OSCILLATES);
    jumps.then(|| {
        format!(
            "{} jumps by {} from line to line ({})",
            run.loss_name(),
            percent(jump),
            steps(half)
        )
    })
}

fn spikes(run: &Record) -> Option<String> {
    let points = since(run.train("grad_norm"), run.warm());
    let usual = median(points)?;
    let spikes: Vec<&Point> = points
        .iter()
        .filter(|point| point.value > SPIKE * usual)
        .collect();
    let highest = spikes.iter().map(|point| point.value).fold(0.0, f64::max);
    let many = spikes.len() > 1 && spikes.len() as f64 > SPIKES * points.len() as f64;
    many.then(|| {
        format!(
            "{} of {} gradients are more than {SPIKE} times as long as usual: grad_norm {} in place of {}",
            spikes.len(),
            points.len(),
            number(highest),
            number(usual)
        )
    })
}

fn skips(run: &Record) -> Option<String> {
    let skipped = run.train("skipped_steps").last()?.value;
    let many = skipped > SKIPPED * run.log.step as f64;
    many.then(|| format!("{skipped} of {} steps were skipped", run.log.step))
}

/// The steps are too short: the loss still falls as it did at first, and nothing was going to slow it down.
pub(super) fn rate_too_low(run: &Record) -> Option<Finding> {
    let points = since(run.train_loss(), run.settled());
    let parts = medians(points, 4)?;
    let fall = |from: usize, to: usize| 1.0 - parts[to] / parts[from];
    let (at_first, at_last) = (fall(0, 1), fall(2, 3));
    let steep = at_last > run.by_stage(FALLS) && at_last > FALLS_AS_FAST * at_first;
    if !steep || !is_flat(run) || run.under_way() {
        return None;
    }
    let evidence = format!(
        "{} {}, {}, {}, {} over the quarters ({}), at a constant learning rate",
        run.loss_name(),
        number(parts[0]),
        number(parts[1]),
        number(parts[2]),
        number(parts[3]),
        steps(points)
    );
    let rate = run.number("learning_rate").filter(|rate| *rate > 0.0);
    let finding = Finding::new(
        Severity::Warn,
        "learning-rate-too-low",
        "The learning rate is too low",
        evidence,
    );
    Some(
        finding
            .advise_if(
                rate.is_some(),
                format!(
                    "take longer steps, and shorter ones at the end: --set learning_rate={} --set \
                     final_learning_rate=0.1",
                    rounded(3.0 * rate.unwrap_or_default()).min(1.0)
                ),
            )
            .advise(longer(run)),
    )
}

/// Whether the learning rate stays where the warm-up brought it.
pub(super) fn is_flat(run: &Record) -> bool {
    let rates = since(run.train("learning_rate"), run.warm());
    let highest = rates.iter().map(|point| point.value).fold(0.0, f64::max);
    match median(lately(rates)) {
        Some(now) => now >= FLAT * highest,
        None => run
            .number("final_learning_rate")
            .is_some_and(|end| end >= FLAT),
    }
}

/// The advice to take twice as long.
pub(super) fn longer(run: &Record) -> String {
    match run.budget() {
        Some(steps) => format!(
            "go on for as long again: --set steps={}",
            steps.max(run.log.step).saturating_mul(2)
        ),
        None => {
            let minutes = run.number("minutes").unwrap_or(30.0);
            format!(
                "go on for as long again: --set minutes={}",
                rounded(2.0 * minutes)
            )
        }
    }
}
