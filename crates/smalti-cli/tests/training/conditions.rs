//! Priors under conditions that are made of pictures or of places in them.

use crate::common::*;
use crate::{EVERY, assert_resumes_exactly, last, lines};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::tempdir;

/// Label maps of pictures, under their names: dark, middling and light pixels.
fn label_maps(data: &Path, folder: &Path) -> PathBuf {
    let maps = folder.join("maps");
    for class in fs::read_dir(data).unwrap() {
        let class = class.unwrap();
        let into = maps.join(class.file_name());
        fs::create_dir_all(&into).unwrap();
        for picture in fs::read_dir(class.path()).unwrap() {
            let picture = picture.unwrap();
            let mut map = image::open(picture.path()).unwrap().to_luma8();
            map.pixels_mut().for_each(|pixel| pixel.0[0] /= 86);
            map.save(into.join(picture.file_name())).unwrap();
        }
    }
    maps
}

#[test]
fn a_prior_learns_under_label_maps_and_goes_on_exactly() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 6, 16);
    let maps = label_maps(&data, folder.path());
    let place = |name: &str| folder.path().join(name);
    let (tokenizer, labels, run) = (place("tokenizer"), place("labels"), place("prior"));
    train_tokenizer(&data, &tokenizer, "2", &[]);
    train_tokenizer(&maps, &labels, "2", &OF_LABELS);
    let without = [
        "train",
        "prior",
        "--data",
        text(&data),
        "--tokenizer",
        text(&tokenizer),
        "--condition",
        "segmentation",
        "--condition-data",
        text(&maps),
    ];
    fails(&without, &["label maps", "--condition-tokenizer"]);
    let more = [
        &EVERY[..],
        &[
            "--condition",
            "segmentation",
            "--condition-data",
            text(&maps),
            "--condition-tokenizer",
            text(&labels),
            "--set",
            "condition_dropout=0.3",
            "--set",
            "unmasked_condition=true",
            "--set",
            "order=spiral-out",
            "--set",
            "crops=2",
            "--set",
            "resize=20",
            "--set",
            "enlarge=true",
            "--set",
            "micro_batch=3",
            "--set",
            "weight_average=0.9",
            "--set",
            "gradient_clip=1",
        ],
    ]
    .concat();
    train_prior(&data, &tokenizer, &run, "6", &more);
    assert_resumes_exactly(folder.path(), &run, &["train", "prior"]);
    assert!(last(&lines(&run), "train")["grad_norm"].is_number());
    check_prior_of_maps(&run, &data, &maps);
}

/// What the run has of its label maps, and what is measured under them.
fn check_prior_of_maps(run: &Path, data: &Path, maps: &Path) {
    let codes = smalti::prior::CodeSet::load(&run.join("codes/train.safetensors")).unwrap();
    // Eleven pictures are left to train on: two squares of each, and each of these mirrored.
    assert_eq!(codes.len(), 44);
    assert_eq!(codes.condition.len(), codes.codes.len());
    let report = succeeds(&["--json", "info", text(run)]);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(
        report["kind"],
        "tokenizer and segmentation-conditional prior"
    );
    assert_eq!(report["prior"]["nothing_token"], 32);
    let picture = data.join("circle/0.png");
    let nll = ["nll", "--model", text(run), text(&picture)];
    fails(&nll, &["segmentation", "--condition-data"]);
    let circles = maps.join("circle");
    succeeds(&[&nll[..], &["--condition-data", text(&circles)]].concat());
}

#[test]
fn priors_learn_under_coordinates_and_coarse_pictures() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 6, 16);
    let tokenizer = folder.path().join("tokenizer");
    train_tokenizer(&data, &tokenizer, "2", &[]);
    let picture = data.join("circle/0.png");
    for (condition, more) in [("coord", "crops=3"), ("lowres", "lowres_factor=2")] {
        let run = folder.path().join(condition);
        let settings = [
            "--condition",
            condition,
            "--set",
            more,
            "--set",
            "resize=24",
            "--set",
            "enlarge=true",
        ];
        train_prior(&data, &tokenizer, &run, "2", &settings);
        assert!(run.join("images/samples-00000002.png").is_file());
        succeeds(&["nll", "--model", text(&run), text(&picture)]);
    }
}
