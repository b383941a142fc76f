//! What is advised: settings that exist, that the run has not got yet, and that the documents explain.

use super::*;
use crate::prior::PriorRecipe;
use crate::tokenizer::TokenizerRecipe;
use crate::training::settings::set_from_argument;

/// What a run has already is no advice.
#[test]
fn a_strong_discriminator_is_held_back_by_more_than_there_is() {
    let strong = || {
        Made::adversarial()
            .late("logits_real", |_| 2.0)
            .late("logits_fake", |_| -2.0)
            .late("disc_loss", |_| 0.02)
    };
    let advice = |made: Made| {
        find(&made, "strong-discriminator")
            .unwrap()
            .advice
            .join(" ")
    };
    let without = advice(strong());
    assert!(without.contains("lecam_weight=0.001"), "{without}");
    assert!(without.contains("r1_weight=10"), "{without}");
    assert!(without.contains("discriminator_start=0.75"), "{without}");
    let robust = advice(
        strong()
            .set("lecam_weight", 0.001)
            .set("r1_weight", 10.0)
            .set("discriminator_start", 0.75),
    );
    assert!(robust.contains("lecam_weight=0.01"), "{robust}");
    assert!(robust.contains("r1_weight=100"), "{robust}");
    assert!(!robust.contains("discriminator_start"), "{robust}");
}

/// What a recipe would refuse is not advised.
#[test]
fn only_codes_with_places_of_their_own_are_moved() {
    for (quantizer, moved) in [("l2", true), ("simvq", false), ("ibq", false)] {
        let run = Made::tokenizer()
            .set("quantizer", quantizer)
            .train("usage_65536", |_| 0.06);
        let finding = find(&run, "dead-codebook").unwrap();
        let advice = finding.advice.join(" ");
        assert_eq!(advice.contains("restart_below"), moved, "{advice}");
        assert!(advice.contains("--preset robust") || moved, "{advice}");
    }
}

/// Whoever follows an advice must not be told that there is no such setting, or that its value is of the wrong kind.
#[test]
fn every_advised_setting_exists() {
    let mut advised = 0;
    for Case(_, _, ill, _) in cases() {
        let record = ill.record();
        for finding in diagnose(&record) {
            for advice in &finding.advice {
                let words: Vec<&str> = advice.split_whitespace().collect();
                for pair in words.windows(2).filter(|pair| pair[0] == "--set") {
                    let (mut tokenizer, mut prior) =
                        (TokenizerRecipe::default(), PriorRecipe::default());
                    let set = match record.kind {
                        Kind::Tokenizer => set_from_argument(
                            &mut [&mut tokenizer.network, &mut tokenizer.training],
                            pair[1],
                        ),
                        Kind::Prior => set_from_argument(
                            &mut [&mut prior.network, &mut prior.training],
                            pair[1],
                        ),
                    };
                    assert!(set.is_ok(), "{advice}: {set:?}");
                    let checked = tokenizer.check().and_then(|()| prior.check());
                    assert!(checked.is_ok(), "{advice}: {checked:?}");
                    advised += 1;
                }
            }
        }
    }
    assert!(advised > 50);
}

#[test]
fn every_finding_is_explained_in_the_documents() {
    let document = include_str!("../../../../../docs/troubleshooting.md");
    let headings: Vec<&str> = document
        .lines()
        .filter_map(|line| line.strip_prefix("### `")?.split('`').next())
        .collect();
    let mut rules: Vec<&str> = cases().iter().map(|case| case.0).collect();
    rules.extend([
        "about",
        "healthy",
        "too-early",
        "damaged-log",
        "cut-off-log",
        "went-back",
    ]);
    for rule in &rules {
        assert!(headings.contains(rule), "{rule} is not in the documents");
    }
    for heading in &headings {
        assert!(rules.contains(heading), "no case finds {heading}");
    }
}
