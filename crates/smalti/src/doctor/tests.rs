//! Every rule on a made-up run that it is about, and on one that is nearly so.

mod advice;
mod cases;
mod records;

use super::made::Made;
use super::*;
use cases::cases;

/// A rule, a run that it is about, how bad that is, and one that is nearly so.
struct Case(&'static str, Severity, Made, Made);

fn find(made: &Made, rule: &str) -> Option<Finding> {
    let mut findings = diagnose(&made.record());
    let place = findings.iter().position(|finding| finding.rule == rule)?;
    Some(findings.swap_remove(place))
}

#[test]
fn every_rule_finds_what_it_is_about_and_nothing_less() {
    for (index, Case(rule, severity, ill, nearly)) in cases().iter().enumerate() {
        let found = find(ill, rule);
        let severity_found = found.as_ref().map(|finding| finding.severity);
        assert_eq!(
            severity_found,
            Some(*severity),
            "case {index}, {rule}: {found:?}"
        );
        assert!(found.is_some_and(|finding| !finding.evidence.is_empty()));
        let found = find(nearly, rule);
        assert!(found.is_none(), "case {index}, not {rule}: {found:?}");
    }
}

/// A run that is short as a whole ends with the note, not with a clean bill of health alone.
#[test]
fn a_short_run_hears_what_its_discriminator_sees() {
    let short = Made::adversarial()
        .set("steps", 600)
        .late("logits_real", |_| 3.0)
        .late("logits_fake", |_| -3.0)
        .late("disc_loss", |_| 0.001)
        .late("disc_accuracy", |_| 1.0)
        .until(600);
    let found = find(&short, "seeing-discriminator").unwrap();
    assert!(found.evidence.contains("100.0 %"), "{found:?}");
    assert!(find(&short, "strong-discriminator").is_none());
}

#[test]
fn healthy_runs_are_told_so() {
    for made in [Made::tokenizer(), Made::adversarial(), Made::prior()] {
        let findings = diagnose(&made.record());
        let rules: Vec<&str> = findings.iter().map(|finding| finding.rule).collect();
        assert_eq!(rules, ["healthy", "about"], "{findings:?}");
        assert!(findings[0].advice.is_empty());
    }
    let about = find(&Made::tokenizer(), "about").unwrap();
    assert_eq!(about.title, "Stage 1, a tokenizer: step 1000 of 1000");
    assert!(
        about
            .evidence
            .starts_with("best validation at step 1000: loss 0.21"),
        "{about:?}"
    );
}

#[test]
fn a_run_that_has_hardly_begun_is_not_judged() {
    for made in [Made::tokenizer(), Made::prior()] {
        for last in [0, 10, 40] {
            let findings = diagnose(&made.clone().until(last).record());
            let rules: Vec<&str> = findings.iter().map(|finding| finding.rule).collect();
            assert_eq!(rules, ["about", "too-early"], "{findings:?}");
        }
    }
}
