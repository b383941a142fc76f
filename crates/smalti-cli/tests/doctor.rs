//! `smalti doctor` on small run folders, written by hand or by a training.

mod common;

use common::*;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::tempdir;

/// Settings of a tokenizer's run of 400 steps.
const CONFIG: &str = "codebook_size: 256\nembed_dim: 8\nquantizer: l2\nchannel_multipliers: [1, 2, 2]\nsize: 64\n\
                      batch: 16\nsteps: 400\nminutes: 0.0\nlearning_rate: 0.0004\ncodebook_weight: 1.0\n\
                      validation: 0.05\nvalidate_every: 100\n";

/// The log of a run whose codebook is used to this extent.
fn log(usage: f64) -> String {
    let train = (1..=40).map(|line| {
        let loss = 0.2 + 0.8 * (-0.2 * f64::from(line)).exp();
        json!({"split": "train", "step": 10 * line, "nll_loss": loss, "quant_loss": 0.03,
            "usage_65536": usage, "perplexity_65536": 150.0 * usage})
    });
    let validation = (1..=4).map(|line| {
        let loss = 0.21 + 0.8 * (-2.0 * f64::from(line)).exp();
        json!({"split": "validation", "step": 100 * line, "pixel_loss": loss, "psnr": 20.0,
            "usage_validation": usage})
    });
    let mut lines: Vec<Value> = train.chain(validation).collect();
    lines.sort_by_key(|line| line["step"].as_u64());
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Writes a run folder.
fn run(folder: &Path, config: &str, metrics: &str) -> PathBuf {
    let run = folder.join("run");
    fs::create_dir_all(&run).unwrap();
    fs::write(run.join("config.yaml"), config).unwrap();
    fs::write(run.join("metrics.jsonl"), metrics).unwrap();
    run
}

fn report(run: &Path) -> Value {
    serde_json::from_str(&succeeds(&["doctor", text(run), "--json"])).unwrap()
}

fn rules(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().unwrap();
    findings
        .iter()
        .map(|finding| finding["rule"].as_str().unwrap())
        .collect()
}

#[test]
fn a_healthy_run() {
    let folder = tempdir().unwrap();
    let run = run(folder.path(), CONFIG, &log(0.9));
    let report = report(&run);
    assert_eq!(report["run"], text(&run));
    assert_eq!(report["stage"], "tokenizer");
    assert_eq!(report["step"], 400);
    assert_eq!(rules(&report), ["healthy", "about"], "{report:#}");
    let words = succeeds(&["doctor", text(&run)]);
    assert!(words.contains("Nothing is wrong"), "{words}");
    assert!(words.contains("best validation at step 400"), "{words}");
    assert!(!words.contains("--set"), "{words}");
}

#[test]
fn a_dead_codebook_is_found_and_the_exit_code_is_0() {
    let folder = tempdir().unwrap();
    let run = run(folder.path(), CONFIG, &log(0.05));
    let report = report(&run);
    let first = &report["findings"][0];
    assert_eq!(first["rule"], "dead-codebook");
    assert_eq!(first["severity"], "bad");
    assert!(first["evidence"].as_str().unwrap().contains("5.0 %"));
    assert!(!first["advice"].as_array().unwrap().is_empty());
    let words = succeeds(&["doctor", text(&run)]);
    assert!(
        words.starts_with("bad\n  The codebook is dead\n"),
        "{words}"
    );
    let resume = format!("smalti train tokenizer --resume {} --set", text(&run));
    assert!(words.contains(&resume), "{words}");
}

#[test]
fn a_prior_beside_its_entropies() {
    let folder = tempdir().unwrap();
    let lines: String = (1..=40)
        .map(|line| {
            let nats = json!({"split": "train", "step": 10 * line, "nats_per_code": 5.5,
                "unigram_entropy": 5.5, "log_codebook_size": 6.93});
            format!("{nats}\n")
        })
        .collect();
    let run = run(folder.path(), "pkeep: 1.0\nsteps: 400\n", &lines);
    let report = report(&run);
    assert_eq!(report["stage"], "prior");
    assert!(rules(&report).contains(&"not-learning"), "{report:#}");
}

#[test]
fn damaged_logs_are_read_as_far_as_they_go() {
    let folder = tempdir().unwrap();
    let whole = log(0.9);
    let metrics = format!("{whole}\u{0}\u{1}garbage\n{whole}{{\"split\":\"train\",\"step\":4");
    let run_folder = run(folder.path(), CONFIG, &metrics);
    let report_of = report(&run_folder);
    let found = rules(&report_of);
    for rule in ["damaged-log", "cut-off-log", "went-back", "healthy"] {
        assert!(found.contains(&rule), "no {rule} in {found:?}");
    }
    for metrics in [
        "",
        "\n\n",
        "{",
        "null",
        "\u{feff}",
        "[[[[[[",
        "{\"split\":\"train\",\"step\":1}\n",
    ] {
        let report = report(&run(folder.path(), CONFIG, metrics));
        assert!(
            rules(&report).contains(&"too-early"),
            "{metrics:?}: {report:#}"
        );
    }
    let bytes = [0xff_u8, 0xfe, b'\n', 0x80].repeat(1000);
    fs::write(run_folder.join("metrics.jsonl"), bytes).unwrap();
    assert!(rules(&report(&run_folder)).contains(&"damaged-log"));
}

#[test]
fn what_is_no_run_says_what_to_name() {
    let folder = tempdir().unwrap();
    let run = run(folder.path(), CONFIG, &log(0.9));
    fails(
        &["doctor", text(&folder.path().join("nowhere"))],
        &["no such folder"],
    );
    fails(
        &["doctor", text(folder.path())],
        &["not a run folder", "config.yaml"],
    );
    let model = folder.path().join("model.safetensors");
    fs::write(&model, "weights").unwrap();
    fails(
        &["doctor", text(&model)],
        &["name a run folder", "smalti info"],
    );
    let checkpoint = run.join("checkpoints/00000010");
    fs::create_dir_all(&checkpoint).unwrap();
    let advice = format!("smalti doctor {}", text(&run));
    fails(&["doctor", text(&checkpoint)], &["part of a run", &advice]);
    fs::write(checkpoint.join("model.safetensors"), "weights").unwrap();
    fails(
        &["doctor", text(&checkpoint.join("model.safetensors"))],
        &[&advice],
    );

    fs::write(run.join("config.yaml"), "- just\n- a list").unwrap();
    fails(&["doctor", text(&run)], &["config.yaml"]);
    fs::write(run.join("config.yaml"), [0xff_u8, 0xfe]).unwrap();
    fails(&["doctor", text(&run)], &["config.yaml", "not text"]);
    fs::write(run.join("config.yaml"), "colour: blue").unwrap();
    fs::write(run.join("metrics.jsonl"), "").unwrap();
    fails(&["doctor", text(&run)], &["config.yaml", "training"]);
    fs::write(run.join("config.yaml"), CONFIG).unwrap();
    fs::remove_file(run.join("metrics.jsonl")).unwrap();
    let message = fails(&["doctor", text(&run)], &["metrics.jsonl"]);
    let output = smalti(&["doctor", text(&run)]);
    assert_eq!(output.status.code(), Some(1), "{message}");
}

#[test]
fn real_trainings_of_both_stages_can_be_examined() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 4, 16);
    let (tokenizer, prior) = (folder.path().join("tokenizer"), folder.path().join("prior"));
    train_tokenizer(&data, &tokenizer, "3", &[]);
    train_prior(&data, &tokenizer, &prior, "3", &["--condition", "class"]);
    let listed = |run: &Path| {
        let mut files: Vec<PathBuf> = fs::read_dir(run.join("checkpoints"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        files
    };
    // What a training that still runs is just writing must not be cleared away.
    fs::create_dir(tokenizer.join("checkpoints/.unfinished-1")).unwrap();
    for (run, stage) in [(&tokenizer, "tokenizer"), (&prior, "prior")] {
        let before = listed(run);
        let report = report(run);
        assert_eq!(report["stage"], stage);
        assert_eq!(report["step"], 3);
        assert!(rules(&report).contains(&"about"), "{report:#}");
        assert_eq!(listed(run), before);
    }
}
