//! Trainings that begin with a model.

use crate::common::*;
use crate::{codes, one_picture};
use std::fs;
use std::path::Path;
use tempfile::tempdir;

/// The default's upkeep of the codebook is for other quantisers; started from a model of such a kind, it is left out.
#[test]
fn a_model_without_rows_is_gone_on_from() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 6, 16);
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let simvq = ["--set", "quantizer=simvq"];
    let base = ["train", "tokenizer", "--data", text(&data), "--out"];
    let without = [&base[..], &[text(&first)], &TINY, &simvq].concat();
    fails(&without, &["restart_below 0.1", "simvq", "set both to 0"]);
    assert!(!first.exists());
    let settings = [&simvq[..], &["--set", "restart_below=0"]].concat();
    train_tokenizer(&data, &first, "2", &settings);
    let more = [
        text(&second),
        "--init-from",
        text(&first),
        "--steps",
        "2",
        "--set",
        "size=16",
        "--set",
        "batch=4",
        "--set",
        "perceptual=none",
        "--set",
        "discriminator_layers=1",
    ];
    succeeds(&[&base[..], &more].concat());
    let config = fs::read_to_string(second.join("config.yaml")).unwrap();
    assert!(config.contains("quantizer: simvq"), "{config}");
    // It has its weights now.
    let resume = ["train", "tokenizer", "--resume", text(&second)];
    let elsewhere = [&resume[..], &["--set", "init_from=elsewhere"]].concat();
    fails(&elsewhere, &["init_from is `elsewhere`", text(&first)]);
    succeeds(&[&resume[..], &["--steps", "3"]].concat());
    // Killed before its first checkpoint, it begins with the model again.
    let whole = fs::read(model(&second, 2)).unwrap();
    fs::remove_dir_all(second.join("checkpoints")).unwrap();
    succeeds(&[&resume[..], &["--steps", "2"]].concat());
    assert!(whole == fs::read(model(&second, 2)).unwrap());
}

#[test]
fn a_frozen_encoder_leaves_all_codes_as_they_are() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 6, 16);
    let picture = one_picture(&data);
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    train_tokenizer(&data, &first, "4", &[]);
    let base = [
        "train",
        "tokenizer",
        "--data",
        text(&data),
        "--out",
        text(&second),
        "--steps",
        "3",
    ];
    let more = [
        "--init-from",
        text(&first),
        "--set",
        "train=decoder",
        "--set",
        "perceptual=none",
    ];
    let rest = [
        "--set",
        "size=16",
        "--set",
        "batch=4",
        "--set",
        "discriminator_layers=1",
    ];
    succeeds(&[&base[..], &more, &rest].concat());
    let [before, after] = [(&first, "a"), (&second, "b")].map(|(model, name)| {
        let file = folder.path().join(name);
        codes(model, &picture, &file);
        smalti::checkpoint::read_tensors(&file).unwrap().0["codes"].clone()
    });
    assert_eq!(before, after);
    let hash = |run: &Path| json(&["info", text(run)])["tokenizer_hash"].clone();
    assert_ne!(hash(&first), hash(&second), "the decoder has learned");
    let alone = [
        "train",
        "tokenizer",
        "--data",
        text(&data),
        "--set",
        "train=decoder",
        "--set",
        "perceptual=none",
    ];
    fails(&alone, &["init_from"]);
}
