//! Do tokenizer and discriminator help each other? Rules about the adversarial part of stage 1.

use super::curve::{Point, at_first, lately, median, steps};
use super::finding::{Finding, Severity, number, percent, rounded};
use super::joining::worse_since;
use super::record::Record;
use std::f64::consts::LN_2;

/// A discriminator this young cannot see anything yet: in our runs the first hundred steps show nothing but its start.
const YOUNG: u64 = 200;
/// Within this share of the loss of guessing, and with logits this close together, it guesses. A hinge loss of 0.97
/// is a mean difference of 0.06 between the logits of real and reconstructed pictures.
const GUESSING: f64 = 0.03;
const SAME_LOGITS: f64 = 0.1;
/// If this share of the logits is on the right side, it does see something.
const SEEING: f64 = 0.6;
/// Below this share of the loss of guessing, next to every logit is right by more than the margin.
const WINNING: f64 = 0.15;
/// From this share of logits on the right side on, next to none is wrong.
const ALWAYS_RIGHT: f64 = 0.98;
/// A twentieth of a short run's steps, and so many lines of the log, are worth a note where it cannot grow up.
const PARTS_OF_RUN: u64 = 20;
const LINES: usize = 5;
/// LeCAM's weight in `robust`; what is advised where there is none.
const LECAM: f64 = 0.001;
/// R1's usual weight (StyleGAN2).
const R1: f64 = 10.0;
/// It is late to join when three quarters of the run are over.
const LATE: f64 = 0.75;

/// What the discriminator's loss is while it guesses: the losses of taming/modules/losses/vqperceptual.py, which halve
/// the sum over real and reconstructed pictures, and StyleGAN's, which does not.
fn guessing(run: &Record) -> f64 {
    if run.is("adversarial_loss", "vanilla") {
        LN_2
    } else if run.is("adversarial_loss", "non-saturating") {
        2.0 * LN_2
    } else {
        1.0
    }
}

/// Whether the discriminator moves the tokenizer at the newest step; a continued run may have left it behind.
pub(super) fn takes_part(run: &Record) -> bool {
    let now = run.train_loss().last().map_or(0, |point| point.step);
    let last = run.train("g_loss").last();
    last.is_some_and(|last| now.saturating_sub(last.step) <= YOUNG)
}

/// The newest losses of a discriminator that takes part and has had time to learn.
fn grown_up(run: &Record) -> Option<&[Point]> {
    aged(run, YOUNG)
}

/// The newest losses of a discriminator that takes part and has learned for so many steps.
fn aged(run: &Record, least: u64) -> Option<&[Point]> {
    let points = run.train("disc_loss");
    let age = points.last()?.step - points.first()?.step;
    let old = points.len() >= LINES && age >= least;
    (old && takes_part(run)).then(|| lately(points))
}

/// The newest mean logits of real and of reconstructed pictures.
fn logits(run: &Record) -> Option<[f64; 2]> {
    let real = median(lately(run.train("logits_real")))?;
    let fake = median(lately(run.train("logits_fake")))?;
    Some([real, fake])
}

/// A tenth of the run's steps.
pub(super) fn while_longer(run: &Record) -> u64 {
    let steps = run.budget().unwrap_or(run.log.step);
    (steps / 10).clamp(100, 10_000)
}

/// A cap on λ that holds where the present one does not.
pub(super) fn lower_cap(run: &Record) -> f64 {
    match run.number("lambda_max") {
        Some(cap) if cap <= 1.0 => rounded(cap / 2.0),
        _ => 1.0,
    }
}

/// The discriminator takes part, but sees no difference.
pub(super) fn blind(run: &Record) -> Option<Finding> {
    let points = grown_up(run)?;
    let (loss, chance) = (median(points)?, guessing(run));
    let [real, fake] = logits(run)?;
    let accuracy = median(lately(run.train("disc_accuracy")));
    let guesses = (loss / chance - 1.0).abs() < GUESSING && (real - fake).abs() < SAME_LOGITS;
    if !guesses || accuracy.is_some_and(|share| share > SEEING) {
        return None;
    }
    let mut evidence = format!(
        "disc_loss {} where guessing gives {}; mean logits {} for real and {} for reconstructed pictures",
        number(loss),
        number(chance),
        number(real),
        number(fake)
    );
    if let Some(share) = accuracy {
        evidence += &format!(", {} of them on the right side", percent(share));
    }
    evidence += &format!(" ({})", steps(points));
    let finding = Finding::new(
        Severity::Warn,
        "blind-discriminator",
        "The discriminator cannot tell reconstructions from pictures",
        evidence,
    );
    let wait = while_longer(run);
    Some(
        finding
            .advise(format!(
                "its gradient is noise, and λ makes it as strong as the reconstruction's; hold it down: --set \
                 lambda_max={}",
                lower_cap(run)
            ))
            .advise(format!(
                "in a new run, let it learn alone before it counts: --set discriminator_warmup={wait} --set \
                 discriminator_ramp={wait}"
            ))
            .advise("if reconstructions are good enough, go on without it: --set discriminator_weight=0"),
    )
}

/// The discriminator always wins, so that the tokenizer learns nothing from it.
pub(super) fn too_strong(run: &Record) -> Option<Finding> {
    let points = grown_up(run)?;
    let loss = median(points)?;
    let wins = loss < WINNING * guessing(run);
    if !wins {
        return None;
    }
    let mut evidence = format!(
        "disc_loss {} where guessing gives {} ({})",
        number(loss),
        number(guessing(run)),
        steps(points)
    );
    let generator = run.train("g_loss");
    if let (Some(then), Some(now)) = (median(at_first(generator)), median(lately(generator))) {
        evidence += &format!("; g_loss from {} to {}", number(then), number(now));
    }
    let severity = match worse_since(run) {
        Some(change) => {
            evidence += &format!("; {}", change.evidence);
            Severity::Bad
        }
        None => Severity::Warn,
    };
    let finding = Finding::new(
        severity,
        "strong-discriminator",
        "The discriminator is too strong",
        evidence,
    );
    Some(hold_back(run, finding))
}

/// What makes a discriminator weaker than it is in this run.
fn hold_back(run: &Record, finding: Finding) -> Finding {
    let weight = run.number("discriminator_weight").unwrap_or(0.8);
    let channels = run.number("discriminator_channels").unwrap_or(64.0);
    let start = run.number("discriminator_start");
    let lecam = stronger(run, "lecam_weight", LECAM);
    let r1 = stronger(run, "r1_weight", R1);
    finding
        .advise(format!("regularise it: --set lecam_weight={lecam}"))
        .advise(format!(
            "or penalise its gradient on real pictures: --set r1_weight={r1}"
        ))
        .advise(format!(
            "give it less weight: --set discriminator_weight={}",
            rounded(weight / 2.0)
        ))
        .advise_if(
            channels >= 32.0,
            format!(
                "in a new run, make it smaller: --set discriminator_channels={}",
                (channels / 2.0) as u64
            ),
        )
        .advise_if(
            start.is_some_and(|start| start < LATE),
            format!(
                "in a new run, let it join when reconstructions are better and harder to tell: --set \
                 discriminator_start={LATE}"
            ),
        )
}

/// The usual weight of a regulariser where there is none, or ten times what there is.
fn stronger(run: &Record, key: &str, usual: f64) -> f64 {
    match run.number(key) {
        Some(weight) if weight > 0.0 && weight < 1e5 => rounded(10.0 * weight),
        _ => usual,
    }
}

/// The discriminator sees every difference, before it can be said whether that does harm.
pub(super) fn sees_everything(run: &Record) -> Option<Finding> {
    let steps_of_run = run.budget().unwrap_or(run.log.step);
    let points = aged(run, (steps_of_run / PARTS_OF_RUN).min(YOUNG))?;
    let loss = median(points)?;
    let accuracy = median(lately(run.train("disc_accuracy")))?;
    let wins = loss < WINNING * guessing(run) && accuracy >= ALWAYS_RIGHT;
    if !wins || grown_up(run).is_some() {
        return None;
    }
    let evidence = format!(
        "{} of its logits on the right side, disc_loss {} where guessing gives {} ({})",
        percent(accuracy),
        number(loss),
        number(guessing(run)),
        steps(points)
    );
    let finding = Finding::new(
        Severity::Info,
        "seeing-discriminator",
        "The discriminator sees every difference",
        evidence,
    );
    Some(finding.advise(format!(
        "reconstructions are still easy to tell from pictures, as they are in a short run; if the run goes on for more \
         than {YOUNG} steps and this stays, look at LPIPS and at the pictures, and see strong-discriminator"
    )))
}

/// The discriminator is to join after the run's end.
pub(super) fn absent(run: &Record) -> Option<Finding> {
    let start = run.number("discriminator_start")?;
    let steps = run.budget()?;
    let wanted = run
        .number("discriminator_weight")
        .is_some_and(|weight| weight > 0.0);
    let never = start >= 1.0 && start >= steps as f64;
    if !wanted || !never || !run.train("disc_loss").is_empty() {
        return None;
    }
    Some(
        Finding::new(
            Severity::Warn,
            "absent-discriminator",
            "The discriminator never joins",
            format!("it is to join at step {start}; the run has {steps}"),
        )
        .advise("let it join half-way: --set discriminator_start=0.5")
        .advise("or train without it: --set discriminator_weight=0"),
    )
}
