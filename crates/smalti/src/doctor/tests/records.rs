//! Records that lack something, hold numbers of any size, or are damaged.

use super::*;
use crate::doctor::made::by_turns;

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
