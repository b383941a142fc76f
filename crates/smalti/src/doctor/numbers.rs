//! Did the run stay among the numbers? For both stages.

use super::finding::{Finding, Severity};
use super::learning::{CLIP, SKIPPED, slower};
use super::record::{Kind, Record};

/// Losses or gradients that were no numbers.
pub(super) fn not_finite(run: &Record) -> Option<Finding> {
    let skipped = run
        .train("skipped_steps")
        .last()
        .map_or(0.0, |last| last.value);
    let logged = run.log.not_finite;
    if skipped <= 0.0 && logged.is_none() {
        return None;
    }
    let many = logged.is_some() || skipped > SKIPPED * run.log.step as f64;
    let severity = match many {
        true => Severity::Bad,
        false => Severity::Warn,
    };
    let mut evidence = Vec::new();
    if let Some(first) = logged {
        evidence.push(format!(
            "{} was no number at step {}, and {} line(s) of the log have such a value",
            first.name, first.step, first.lines
        ));
    }
    if skipped > 0.0 {
        evidence.push(format!(
            "{skipped} of {} steps were skipped for it",
            run.log.step
        ));
    }
    let finding = Finding::new(
        severity,
        "not-finite",
        "Losses or gradients were no numbers",
        evidence.join("; "),
    );
    Some(
        finding
            .advise(slower(run))
            .advise_if(run.kind == Kind::Tokenizer, CLIP)
            .advise_if(
                run.is("precision", "bf16"),
                "compute with more digits: --set precision=f32",
            ),
    )
}
