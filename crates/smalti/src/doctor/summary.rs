//! What a run is, what became of it, and whether its files are whole.

use super::curve::{Point, at, lately, lowest, median};
use super::finding::{Finding, Severity, number, percent};
use super::prior::constant;
use super::record::{Kind, Record};

/// Fewer steps or lines than these show nothing yet.
const STEPS: u64 = 100;
const LINES: usize = 10;

/// What the run is: always said.
pub(super) fn about(run: &Record) -> Finding {
    let stage = match run.kind {
        Kind::Tokenizer => "Stage 1, a tokenizer",
        Kind::Prior => "Stage 2, a prior",
    };
    let title = match run.budget() {
        Some(steps) => format!("{stage}: step {} of {steps}", run.log.step),
        None => format!("{stage}: step {}", run.log.step),
    };
    let evidence = match lowest(&run.validation_loss()) {
        Some(best) => format!(
            "best validation at step {}: {}",
            best.step,
            figures(run, best)
        ),
        None => match median(lately(run.train_loss())) {
            Some(loss) => format!("training loss {}; no validation was logged", number(loss)),
            None => "no training step was logged yet".into(),
        },
    };
    Finding::new(Severity::Info, "about", title, evidence)
}

/// The figures of the validation split at a step.
fn figures(run: &Record, best: Point) -> String {
    if run.kind == Kind::Prior {
        return format!("{} nats per code", number(best.value));
    }
    let mut parts = vec![format!("loss {}", number(best.value))];
    let of = |name| at(run.validation(name), best.step);
    if let Some(pixels) = of("pixel_loss") {
        parts.push(format!("pixel loss {}", number(pixels)));
    }
    if let Some(psnr) = of("psnr") {
        parts.push(format!("PSNR {psnr:.2} dB"));
    }
    if let Some(lpips) = of("p_loss") {
        parts.push(format!("LPIPS {}", number(lpips)));
    }
    if let Some(usage) = of("usage_validation") {
        parts.push(format!("{} of the codes in use", percent(usage)));
    }
    parts.join(", ")
}

/// What there is to say where no rule found anything wrong.
pub(super) fn healthy(run: &Record, findings: &[Finding]) -> Option<Finding> {
    let wrong = |finding: &Finding| finding.severity <= Severity::Warn;
    if findings.iter().any(wrong) {
        return None;
    }
    if run.log.step < STEPS || run.train_loss().len() < LINES {
        return Some(Finding::new(
            Severity::Info,
            "too-early",
            "Too early to tell",
            format!(
                "{} steps and {} lines of the training are in the log; from {STEPS} and {LINES} on it says something",
                run.log.step,
                run.train_loss().len()
            ),
        ));
    }
    Some(Finding::new(
        Severity::Good,
        "healthy",
        "Nothing is wrong",
        signs(run).join(", "),
    ))
}

/// The newest figures by which health is judged.
fn signs(run: &Record) -> Vec<String> {
    let now = |name| median(lately(run.train(name)));
    let mut signs = Vec::new();
    if let Some(loss) = now(run.loss_name()) {
        signs.push(format!("{} {}", run.loss_name(), number(loss)));
    }
    if let Some(loss) = run.validation_loss().last() {
        signs.push(format!("on held-back pictures {}", number(loss.value)));
    }
    if let Some(usage) = now("usage_65536") {
        signs.push(format!("{} of the codes in use", percent(usage)));
    }
    if let Some(perplexity) = now("perplexity_65536") {
        signs.push(format!("perplexity {}", number(perplexity)));
    }
    if let Some(loss) = now("disc_loss") {
        signs.push(format!("disc_loss {}", number(loss)));
    }
    if let Some(unigram) = constant(run, "unigram_entropy") {
        signs.push(format!("the codes' frequencies give {}", number(unigram)));
    }
    if let Some(nothing) = constant(run, "log_codebook_size") {
        signs.push(format!("knowing nothing {}", number(nothing)));
    }
    signs
}

/// Lines of the log that could not be read.
pub(super) fn damaged(run: &Record) -> Option<Finding> {
    let log = &run.log;
    if log.damaged == 0 {
        return None;
    }
    let numbers: Vec<String> = log.damaged_lines.iter().map(u64::to_string).collect();
    let more = match log.damaged > numbers.len() as u64 {
        true => ", …",
        false => "",
    };
    Some(Finding::new(
        Severity::Info,
        "damaged-log",
        format!("{} line(s) of metrics.jsonl are damaged", log.damaged),
        format!("line {}{more}: left out", numbers.join(", ")),
    ))
}

/// A last line that ends in the middle.
pub(super) fn cut_off(run: &Record) -> Option<Finding> {
    run.log.cut_off.then(|| {
        Finding::new(
            Severity::Info,
            "cut-off-log",
            "The last line of metrics.jsonl ends in the middle",
            "the run is writing it, or was killed while it did; it was left out",
        )
    })
}

/// Steps that go back.
pub(super) fn went_back(run: &Record) -> Option<Finding> {
    let times = run.log.went_back;
    (times > 0).then(|| {
        Finding::new(
            Severity::Info,
            "went-back",
            "The run went back to an earlier checkpoint",
            format!(
                "the steps of metrics.jsonl go back {times} time(s); what was logged later counts"
            ),
        )
    })
}
