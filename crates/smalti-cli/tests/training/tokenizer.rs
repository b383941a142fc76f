//! Stage 1: what a run leaves behind, and that one which was cut off ends with the same model.

use crate::common::*;
use crate::{EVERY, assert_resumes_exactly, last, lines};
use std::fs;
use std::path::Path;
use tempfile::tempdir;

#[test]
fn a_tokenizer_run_folder_is_complete() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 10, 16);
    let run = folder.path().join("run");
    train_tokenizer(
        &data,
        &run,
        "6",
        &["--set", "log_every=1", "--set", "discriminator_start=0.5"],
    );
    let lines = lines(&run);
    let train: Vec<_> = lines
        .iter()
        .filter(|line| line["split"] == "train")
        .collect();
    assert_eq!(train.len(), 6);
    for line in &train {
        for name in [
            "nll_loss",
            "quant_loss",
            "usage_batch",
            "perplexity_batch",
            "usage_65536",
            "perplexity_65536",
        ] {
            assert!(line[name].is_number(), "{name} in {line}");
        }
    }
    assert!(train[2]["d_weight"].is_null());
    for name in [
        "d_weight",
        "g_loss",
        "disc_loss",
        "logits_real",
        "logits_fake",
    ] {
        assert!(train[3][name].is_number(), "{name} in {}", train[3]);
    }
    let validation = last(&lines, "validation");
    assert!(validation["usage_validation"].is_number() && validation["psnr"].is_number());
    assert!(run.join("images/reconstruction-00000006.png").is_file());
    let events = fs::read_dir(run.join("tensorboard"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    assert!(events.file_name().to_str().unwrap().contains("tfevents"));
    assert!(model(&run, 6).is_file());
    // The configuration is complete: a run made from it has the same one.
    let again = folder.path().join("again");
    let config = run.join("config.yaml");
    succeeds(&[
        "train",
        "tokenizer",
        "--data",
        text(&data),
        "--out",
        text(&again),
        "--config",
        text(&config),
        "--steps",
        "6",
    ]);
    assert_eq!(
        fs::read_to_string(&config).unwrap(),
        fs::read_to_string(again.join("config.yaml")).unwrap()
    );
    assert_eq!(
        fs::read(model(&run, 6)).unwrap(),
        fs::read(model(&again, 6)).unwrap(),
        "the same seed, the same model"
    );
}

#[test]
fn the_authors_two_passes_train_too() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 6, 16);
    let run = folder.path().join("run");
    train_tokenizer(
        &data,
        &run,
        "3",
        &["--set", "discriminator_start=0", "--set", "two_passes=true"],
    );
    assert!(last(&lines(&run), "train")["disc_loss"].is_number());
}

#[test]
fn a_continued_tokenizer_is_the_same_tokenizer() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 6, 16);
    let run = folder.path().join("run");
    train_tokenizer(
        &data,
        &run,
        "6",
        &[&EVERY[..], &["--set", "discriminator_start=0.3"]].concat(),
    );
    assert_resumes_exactly(
        folder.path(),
        &run,
        &["train", "tokenizer", "--data", text(&data)],
    );
}

#[test]
fn checkpoints_follow_the_clock_as_well() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 6, 16);
    let run = folder.path().join("run");
    let settings = [
        "--set",
        "checkpoint_every=0",
        "--set",
        "checkpoint_minutes=0.00000001",
        "--set",
        "keep=6",
        "--set",
        "log_every=1",
    ];
    train_tokenizer(&data, &run, "6", &settings);
    for step in 1..=6 {
        assert!(model(&run, step).is_file(), "no checkpoint of step {step}");
    }
    assert_resumes_exactly(folder.path(), &run, &["train", "tokenizer"]);
    let without = folder.path().join("without");
    let settings = ["--set", "checkpoint_every=0"];
    train_tokenizer(&data, &without, "6", &settings);
    assert!(model(&without, 6).is_file());
    assert_eq!(
        fs::read_dir(without.join("checkpoints")).unwrap().count(),
        1
    );
    let tensors = |run: &Path| smalti::checkpoint::read_tensors(&model(run, 6)).unwrap().0;
    assert!(
        tensors(&run) == tensors(&without),
        "only when it is saved differs"
    );
}
