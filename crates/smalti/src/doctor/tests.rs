//! Every rule on a made-up run that it is about, and on one that is nearly so.

use super::made::{Made, by_turns, every, falling};
use super::*;
use crate::prior::PriorRecipe;
use crate::tokenizer::TokenizerRecipe;
use crate::training::settings::set_from_argument;

/// A rule, a run that it is about, how bad that is, and one that is nearly so.
struct Case(&'static str, Severity, Made, Made);

fn codebook_cases() -> Vec<Case> {
    use Severity::{Bad, Warn};
    let run = Made::tokenizer;
    let usage = |share: f64| run().train("usage_65536", move |_| share);
    vec![
        Case(
            "dead-codebook",
            Bad,
            usage(0.06).train("perplexity_65536", |_| 40.0),
            usage(0.55),
        ),
        Case("dead-codebook", Warn, usage(0.4), usage(0.55)),
        Case(
            "falling-usage",
            Warn,
            run().train("usage_65536", |part| 0.98 - 0.4 * part),
            run().train("usage_65536", |part| 0.98 - 0.2 * part),
        ),
        Case(
            "uneven-codebook",
            Warn,
            run().train("perplexity_65536", |_| 100.0),
            run().train("perplexity_65536", |_| 300.0),
        ),
        Case(
            "restless-codebook",
            Warn,
            run().train("restarted", |_| 20.0),
            run().train("restarted", |part| 200.0 * falling(part)),
        ),
        Case(
            "commitment",
            Warn,
            run().train("quant_loss", |part| 0.03 * (1.0 + 4.0 * part)),
            run().train("quant_loss", |part| 0.03 * (1.0 + 0.5 * part)),
        ),
        Case(
            "commitment",
            Bad,
            run().train("quant_loss", |part| 0.001 * (10.0 * part).exp()),
            run().train("quant_loss", |part| 0.03 - 0.02 * falling(part)),
        ),
    ]
}

fn adversary_cases() -> Vec<Case> {
    use Severity::{Bad, Info, Warn};
    let run = Made::adversarial;
    let logits = |real: f64, fake: f64| {
        run()
            .late("logits_real", move |_| real)
            .late("logits_fake", move |_| fake)
    };
    let blind = || logits(0.01, 0.005).late("disc_loss", |_| 0.997);
    let strong = || {
        logits(2.0, -2.0)
            .late("disc_loss", |_| 0.02)
            .late("g_loss", |part| 2.0 * part)
    };
    // LPIPS after the discriminator has joined, as a multiple of what it would have been.
    let lpips = |run: Made, factor: f64| {
        run.validation("p_loss", move |part| {
            let without = 0.105 + 0.4 * falling(part);
            if part > 0.501 {
                factor * without
            } else {
                without
            }
        })
    };
    vec![
        Case(
            "blind-discriminator",
            Warn,
            blind(),
            logits(0.1, -0.1).late("disc_loss", |_| 0.9),
        ),
        Case(
            "blind-discriminator",
            Warn,
            blind()
                .set("adversarial_loss", "vanilla")
                .late("disc_loss", |_| 0.693),
            blind().late("disc_accuracy", |_| 0.7),
        ),
        Case(
            "strong-discriminator",
            Warn,
            strong(),
            strong().late("disc_loss", |_| 0.3),
        ),
        Case(
            "strong-discriminator",
            Bad,
            lpips(strong(), 1.2),
            lpips(run(), 1.2),
        ),
        Case(
            "seeing-discriminator",
            Info,
            strong().late("disc_accuracy", |_| 1.0).until(600),
            strong().late("disc_accuracy", |_| 0.9).until(600),
        ),
        // When it has grown up, it is judged.
        Case(
            "seeing-discriminator",
            Info,
            strong().late("disc_accuracy", |_| 1.0).until(600),
            strong().late("disc_accuracy", |_| 1.0),
        ),
        Case(
            "hurt-by-discriminator",
            Bad,
            lpips(run(), 1.6),
            lpips(run(), 1.05),
        ),
        Case(
            "hurt-by-discriminator",
            Warn,
            lpips(run(), 1.2),
            lpips(Made::tokenizer(), 1.2),
        ),
        Case(
            "hurt-by-discriminator",
            Warn,
            run().without_validation().late("nll_loss", |_| 0.28),
            run().without_validation().late("nll_loss", |_| 0.24),
        ),
        Case(
            "absent-discriminator",
            Warn,
            Made::tokenizer().set("discriminator_start", 30_001),
            Made::tokenizer().set("discriminator_start", 900),
        ),
    ]
}

fn lambda_cases() -> Vec<Case> {
    use Severity::{Bad, Warn};
    let run = Made::adversarial;
    vec![
        Case(
            "lambda-capped",
            Warn,
            run().late("lambda", |_| 1e5).late("lambda_capped", |_| 1.0),
            run()
                .late("lambda", |_| 2.0)
                .late("lambda_capped", |part| f64::from(every(3, part))),
        ),
        Case(
            "lambda-capped",
            Warn,
            run().late("d_weight", |_| 8000.0),
            run().late("d_weight", |_| 80.0),
        ),
        Case(
            "lambda-exploding",
            Bad,
            run().late("lambda", |part| 5000.0 * part),
            run().late("lambda", |part| 5.0 * part),
        ),
        Case(
            "lambda-exploding",
            Warn,
            run().late("lambda", |part| 1e4 * (part - 0.5).powi(4) + 0.1),
            run().late("lambda", |_| 500.0),
        ),
    ]
}

fn learning_cases() -> Vec<Case> {
    use Severity::{Bad, Info, Warn};
    let run = Made::tokenizer;
    let loss = |value: fn(f64) -> f64| run().train("nll_loss", value);
    let prior = |value: fn(f64) -> f64| Made::prior().train("nats_per_code", value);
    let gradient = |spike: f64| {
        run().train(
            "grad_norm",
            move |part| {
                if every(20, part) { spike } else { 1.0 }
            },
        )
    };
    let improving = || {
        run()
            .validation("pixel_loss", |part| 0.5 * (-1.2 * part).exp())
            .validation("p_loss", |part| 0.5 * (-1.2 * part).exp())
    };
    let flat = |run: Made| {
        run.train("learning_rate", |_| 4e-4)
            .set("final_learning_rate", 1.0)
    };
    vec![
        Case(
            "learning-rate-too-high",
            Bad,
            loss(|part| 0.3 + 0.5 * part),
            loss(|part| (0.2 + 0.8 * falling(part)) * (1.0 + 0.1 * by_turns(part))),
        ),
        Case(
            "learning-rate-too-high",
            Warn,
            loss(|part| 0.4 * (1.0 + 0.4 * by_turns(part))),
            // The discriminator's doing, not the learning rate's.
            Made::adversarial().late("nll_loss", |part| 0.3 + 0.5 * part),
        ),
        Case(
            "learning-rate-too-high",
            Bad,
            prior(|part| 4.5 + part),
            prior(|part| 4.2 + 0.2 * part),
        ),
        Case(
            "learning-rate-too-high",
            Warn,
            gradient(50.0),
            gradient(5.0),
        ),
        Case(
            "learning-rate-too-high",
            Bad,
            run().train("skipped_steps", |part| 50.0 * part),
            run().train("skipped_steps", |_| 3.0),
        ),
        Case(
            "learning-rate-too-low",
            Warn,
            flat(loss(|part| (-part).exp())),
            flat(run()),
        ),
        Case("not-converged", Warn, improving(), run()),
        Case(
            "not-converged",
            Warn,
            improving().set("minutes", 5.0).set("steps", 100_000),
            improving().set("steps", 100_000),
        ),
        Case(
            "not-converged",
            Warn,
            Made::prior().validation("nats_per_code", |part| 6.5 - 2.0 * part),
            Made::prior(),
        ),
        Case(
            "not-converged",
            Warn,
            loss(|part| (-2.0 * part).exp()).without_validation(),
            run().without_validation(),
        ),
        Case(
            "plateau",
            Info,
            run()
                .validation("pixel_loss", |part| 0.1 + 0.4 * falling(5.0 * part))
                .validation("p_loss", |part| 0.1 + 0.4 * falling(5.0 * part)),
            run(),
        ),
    ]
}

fn fitting_cases() -> Vec<Case> {
    use Severity::{Bad, Info, Warn};
    let run = Made::tokenizer;
    // Both parts of the validation loss turn half-way.
    let turning = |slope: f64| {
        let curve = move |part: f64| 0.105 + 0.4 * falling(part) + slope * (part - 0.5).max(0.0);
        run()
            .validation("pixel_loss", curve)
            .validation("p_loss", curve)
    };
    let apart = |gap: f64| {
        let curve = move |part: f64| 0.1 + 0.4 * falling(part) + gap;
        run()
            .validation("pixel_loss", curve)
            .validation("p_loss", curve)
    };
    let prior = |slope: f64| {
        Made::prior().validation("nats_per_code", move |part| {
            4.0 + 2.9 * falling(part) + slope * (part - 0.5).max(0.0)
        })
    };
    vec![
        Case("over-fitting", Bad, turning(0.2), turning(0.01)),
        Case("over-fitting", Warn, turning(0.04), turning(0.01)),
        // Training gets worse as well: not over-fitting.
        Case(
            "over-fitting",
            Bad,
            turning(0.2),
            turning(0.2).train("nll_loss", |part| 0.2 + part),
        ),
        Case("over-fitting", Bad, prior(1.0), prior(0.05)),
        Case("over-fitting", Warn, prior(0.3), prior(0.05)),
        Case("by-heart", Warn, apart(0.08), apart(0.02)),
        Case(
            "small-data",
            Warn,
            run().pictures(Some(20.0)),
            run().pictures(Some(40.0)),
        ),
        Case(
            "small-data",
            Warn,
            Made::prior().pictures(Some(40.0)),
            Made::prior().pictures(Some(60.0)),
        ),
        Case(
            "unmeasured",
            Info,
            run().without_validation().set("validation", 0.0),
            run().set("validate_every", 0),
        ),
        Case(
            "not-finite",
            Bad,
            run().train(
                "grad_norm",
                |part| {
                    if every(50, part) { f64::NAN } else { 1.0 }
                },
            ),
            run().train("grad_norm", |_| 1.0),
        ),
        Case(
            "not-finite",
            Warn,
            run().train("skipped_steps", |_| 3.0),
            run().train("skipped_steps", |_| 0.0),
        ),
    ]
}

fn prior_cases() -> Vec<Case> {
    use Severity::{Bad, Warn};
    let nats = |value: f64| {
        Made::prior()
            .train("nats_per_code", move |_| value)
            .validation("nats_per_code", move |_| value)
    };
    vec![
        Case("not-learning", Bad, nats(6.49), nats(6.2)),
        Case("not-learning", Bad, nats(7.2), nats(7.2).until(150)),
        Case(
            "few-codes",
            Warn,
            nats(2.5).train("unigram_entropy", |_| 3.0),
            nats(2.5).train("unigram_entropy", |_| 5.5),
        ),
    ]
}

fn cases() -> Vec<Case> {
    [
        codebook_cases(),
        adversary_cases(),
        lambda_cases(),
        learning_cases(),
        fitting_cases(),
        prior_cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

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

#[test]
fn older_runs_lack_settings_and_numbers() {
    let keys: Vec<String> = Made::tokenizer()
        .record()
        .settings
        .keys()
        .cloned()
        .collect();
    for Case(_, _, ill, _) in cases() {
        let bare = keys.iter().fold(ill.clone(), |made, key| made.unset(key));
        diagnose(&bare.pictures(None).record());
        diagnose(&ill.clone().until(20).record());
    }
}

#[test]
fn numbers_of_any_size_do_no_harm() {
    for value in [0.0, -1.0, 1e308, -1e308, 5e-324] {
        let run = |made: Made, names: &[&str]| {
            let made = names.iter().fold(made, |made, name| {
                made.late(name, move |_| value)
                    .train(name, move |part| value * by_turns(part))
                    .validation(name, move |part| value * part)
            });
            diagnose(&made.record());
        };
        let names = [
            "nll_loss",
            "pixel_loss",
            "p_loss",
            "psnr",
            "quant_loss",
            "usage_65536",
            "perplexity_65536",
            "disc_loss",
            "g_loss",
            "d_weight",
            "lambda",
            "lambda_capped",
            "restarted",
            "grad_norm",
            "skipped_steps",
            "learning_rate",
        ];
        run(Made::adversarial(), &names);
        run(
            Made::prior(),
            &["nats_per_code", "unigram_entropy", "log_codebook_size"],
        );
        for key in [
            "size",
            "batch",
            "codebook_size",
            "learning_rate",
            "minutes",
            "steps",
        ] {
            diagnose(&Made::adversarial().set(key, value).record());
        }
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
    let document = include_str!("../../../../docs/troubleshooting.md");
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

#[test]
fn a_damaged_log_is_said_with_the_lines() {
    let record = |text: &str| Record {
        log: Log::read(text.as_bytes()).unwrap(),
        ..Made::tokenizer().record()
    };
    let whole = Made::tokenizer().text();
    let run = record(&format!("rubbish\n{whole}{{\"split\":\"tr"));
    let findings = diagnose(&run);
    let evidence = |rule: &str| {
        let finding = findings.iter().find(|finding| finding.rule == rule);
        finding.map(|finding| finding.evidence.clone())
    };
    assert_eq!(evidence("damaged-log").as_deref(), Some("line 1: left out"));
    assert!(evidence("cut-off-log").is_some());
    assert!(evidence("healthy").is_some(), "the rest is read as ever");
    assert_eq!(evidence("went-back"), None);
    let twice = record(&format!("{whole}{whole}"));
    let findings = diagnose(&twice);
    assert!(findings.iter().any(|finding| finding.rule == "went-back"));
    assert_eq!(twice.train("nll_loss").len(), 100);
}
