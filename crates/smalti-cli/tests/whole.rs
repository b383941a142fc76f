//! `smalti train` without a stage: what it chooses, what it leaves behind, and that it goes on where it was.

mod common;

use common::*;
use std::fs;
use std::path::Path;
use tempfile::tempdir;

/// Networks so small that a step takes milliseconds.
const SMALL: [&str; 22] = [
    "--perceptual",
    "none",
    "--set",
    "tokenizer.channels=32",
    "--set",
    "tokenizer.channel_multipliers=[1, 1, 1]",
    "--set",
    "tokenizer.codebook_size=32",
    "--set",
    "tokenizer.batch=4",
    "--set",
    "tokenizer.kmeans_step=0",
    "--set",
    "tokenizer.steps=3",
    "--set",
    "prior.layers=1",
    "--set",
    "prior.heads=2",
    "--set",
    "prior.width=32",
    "--set",
    "prior.steps=3",
];

#[track_caller]
fn train(data: &Path, out: &Path) -> serde_json::Value {
    let arguments = ["--json", "train", "--data", text(data), "--out", text(out)];
    let printed = succeeds(&[&arguments[..], &SMALL].concat());
    serde_json::from_str(&printed).unwrap()
}

#[test]
fn choices_are_said_and_nothing_is_made() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 10, 16);
    let out = folder.path().join("out");
    let arguments = [
        "train",
        "--data",
        text(&data),
        "--out",
        text(&out),
        "--dry-run",
    ];
    let printed = succeeds(&arguments);
    for words in ["16 × 16 pixels", "class (2)", "so few pictures"] {
        assert!(printed.contains(words), "no `{words}` in {printed}");
    }
    assert!(!out.exists());
}

#[test]
fn both_stages_are_trained_and_shown() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 10, 16);
    let out = folder.path().join("out");
    let report = train(&data, &out);
    assert_eq!(report["stopped"], false);
    assert!(report["choices"].as_array().unwrap().len() > 10);
    let whole = fs::read(out.join("model.safetensors")).unwrap();
    assert!(out.join("samples/grid.png").is_file() && out.join("samples/000015.png").is_file());
    assert!(model(&out.join("tokenizer"), 3).is_file() && model(&out.join("prior"), 3).is_file());
    let info = succeeds(&["--json", "info", text(&out.join("model.safetensors"))]);
    assert!(info.contains("class-conditional prior"), "{info}");

    // A folder that holds something is not overwritten.
    let again = ["train", "--data", text(&data), "--out", text(&out)];
    fails(&again, &["not empty", "--resume"]);

    // What was interrupted before the second stage ends with the same model.
    fs::remove_dir_all(out.join("prior")).unwrap();
    fs::remove_file(out.join("model.safetensors")).unwrap();
    succeeds(&["train", "--resume", text(&out)]);
    assert!(whole == fs::read(out.join("model.safetensors")).unwrap());
    // What would be ignored is refused: by now the tokenizer belongs to the prior.
    let late = |more: &[&'static str]| [&["train", "--resume", text(&out)][..], more].concat();
    fails(
        &late(&["--set", "tokenizer.steps=4"]),
        &["tokenizer.steps", "too late"],
    );
    fails(
        &late(&["--perceptual", "none"]),
        &["--perceptual", "too late"],
    );
    // And what was finished stays.
    succeeds(&["train", "--resume", text(&out)]);
    assert!(whole == fs::read(out.join("model.safetensors")).unwrap());
}

#[test]
fn what_cannot_be_trained_is_said_and_leaves_nothing() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 3, 16);
    let out = folder.path().join("out");
    fails(&["train"], &["--data"]);
    let train = ["train", "--data", text(&data), "--out", text(&out)];
    let with = |more: &[&'static str]| [&train[..], more].concat();
    fails(&with(&["--set", "batch=4"]), &["tokenizer.key=value"]);
    fails(&with(&["--set", "tokenizer.bach=4"]), &["bach", "batch"]);
    fails(
        &with(&["--set", "prior.tokenizer=elsewhere"]),
        &["prior.tokenizer", "train prior --tokenizer"],
    );
    fails(&with(&["--size", "30"]), &["multiple of 4"]);
    fails(&with(&["--minutes", "0"]), &["--minutes"]);
    fails(&with(&["--perceptual", "nowhere.pth"]), &["perceptual"]);
    assert!(!out.exists());
    fails(&["train", "--resume", text(&data)], &["tokenizer.yaml"]);
}

#[test]
fn shells_and_manuals_are_written() {
    let folder = tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = succeeds(&["completions", shell]);
        assert!(script.contains("reconstruct"), "{shell}");
    }
    let pages = folder.path().join("man1");
    succeeds(&["man", text(&pages)]);
    for page in [
        "smalti.1",
        "smalti-train.1",
        "smalti-train-prior.1",
        "smalti-weights-list.1",
    ] {
        assert!(
            fs::read_to_string(pages.join(page))
                .unwrap()
                .contains(".TH"),
            "{page}"
        );
    }
    fails(&["man", text(&pages)], &["exists", "--overwrite"]);
    assert!(succeeds(&["man"]).contains(".TH smalti 1"));
}
