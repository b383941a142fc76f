//! Does the prior know more than frequencies? Rules of stage 2 alone.

use super::curve::{lately, median, newest};
use super::finding::{Finding, Severity, number, percent};
use super::learning::slower;
use super::record::Record;

/// A prior that learns is soon below the codes' frequencies; the emoji prior was at 0.79 of them at step 250.
const EARLY: u64 = 200;
const NO_BETTER: f64 = 0.98;
/// Uninformed guessing costs log K; a little more is what fresh weights cost.
const WORSE: f64 = 1.02;
/// The frequencies' perplexity over the codebook's size: 14 % in a demonstration run whose tokenizer used half of its
/// codes.
const FEW: f64 = 0.1;

/// The newest nats per code: of the validation split, else of the training.
fn nats(run: &Record) -> Option<f64> {
    let measured = median(newest(run.validation("nats_per_code"), 1));
    measured.or_else(|| median(lately(run.train("nats_per_code"))))
}

/// The newest of a figure that is logged with every line.
pub(super) fn constant(run: &Record, name: &str) -> Option<f64> {
    let (train, validation) = (run.train(name), run.validation(name));
    Some(train.last().or(validation.last())?.value)
}

/// It predicts no better than counting the codes does.
pub(super) fn not_learning(run: &Record) -> Option<Finding> {
    let nats = nats(run)?;
    let unigram = constant(run, "unigram_entropy")?;
    let nothing = constant(run, "log_codebook_size").unwrap_or(f64::INFINITY);
    let counts = nats >= NO_BETTER * unigram;
    if !counts || run.log.step < EARLY.max(run.warm().saturating_mul(2)) {
        return None;
    }
    let title = match nats > WORSE * nothing {
        true => "The prior predicts worse than guessing",
        false => "The prior predicts no better than counting codes",
    };
    let evidence = format!(
        "{} nats per code at step {}; the codes' frequencies give {}, knowing nothing {}",
        number(nats),
        run.log.step,
        number(unigram),
        number(nothing)
    );
    let finding = Finding::new(Severity::Bad, "not-learning", title, evidence);
    Some(
        finding
            .advise("check that --tokenizer is the one whose reconstructions you looked at")
            .advise(slower(run))
            .advise("warm up longer: --set warmup_steps=500")
            .advise_if(
                run.number("pkeep").is_some_and(|keep| keep < 0.5),
                "keep the input codes: --set pkeep=0.9",
            ),
    )
}

/// The tokenizer beneath uses few of its codes.
pub(super) fn few_codes(run: &Record) -> Option<Finding> {
    let unigram = constant(run, "unigram_entropy")?;
    let nothing = constant(run, "log_codebook_size")?;
    let share = (unigram - nothing).exp();
    let few = share < FEW;
    if !few {
        return None;
    }
    let evidence = format!(
        "the codes' frequencies have {} nats of {}: as many as {:.0} equally frequent codes, {} of the codebook",
        number(unigram),
        number(nothing),
        unigram.exp(),
        percent(share)
    );
    Some(
        Finding::new(
            Severity::Warn,
            "few-codes",
            "The tokenizer uses few of its codes",
            evidence,
        )
        .advise("see what ails the tokenizer: smalti doctor, with its run folder"),
    )
}
