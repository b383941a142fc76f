//! Tokenizers of label maps and of depth.

use crate::common::*;
use serde_json::Value;
use std::fs;
use std::path::Path;
use tempfile::tempdir;

/// Label maps: stripes of three labels.
fn label_maps(folder: &Path) -> std::path::PathBuf {
    let data = folder.join("labels");
    fs::create_dir_all(&data).unwrap();
    for index in 0..8u32 {
        let map = image::GrayImage::from_fn(16, 16, |x, y| {
            image::Luma([((x + y + index) / 4 % 3) as u8])
        });
        map.save(data.join(format!("{index}.png"))).unwrap();
    }
    data
}

/// What `smalti reconstruct` says of one file.
fn reconstructed(run: &Path, map: &Path, out: &Path) -> Value {
    json(&[
        "reconstruct",
        "--model",
        text(run),
        text(map),
        "--out",
        text(out),
    ])
}

#[test]
fn label_maps_are_learned_by_cross_entropy() {
    let folder = tempdir().unwrap();
    let data = label_maps(folder.path());
    let run = folder.path().join("run");
    let more = ["--set", "validation=0.25", "--set", "learning_rate=0.002"];
    train_tokenizer(&data, &run, "60", &[&OF_LABELS[..], &more].concat());
    let lines = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let validations: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["split"] == "validation")
        .collect();
    let accuracy = |line: &Value| line["pixel_accuracy"].as_f64().unwrap();
    let (first, last) = (
        accuracy(&validations[0]),
        accuracy(validations.last().unwrap()),
    );
    assert!(last > first && last > 0.6, "{first} to {last}");
    let report = reconstructed(&run, &data.join("0.png"), &folder.path().join("out"));
    assert!(
        report["pictures"][0]["pixel_accuracy"].is_number(),
        "{report}"
    );
    let wrong = [
        "train",
        "tokenizer",
        "--data",
        text(&data),
        "--set",
        "data_kind=labels",
        "--set",
        "classes=3",
    ];
    fails(&wrong, &["perceptual", "discriminator_weight"]);
}

#[test]
fn depth_has_one_channel() {
    let folder = tempdir().unwrap();
    let data = folder.path().join("depth");
    fs::create_dir_all(&data).unwrap();
    for index in 0..6u16 {
        let map: image::ImageBuffer<image::Luma<u16>, Vec<u16>> =
            image::ImageBuffer::from_fn(16, 16, |x, y| {
                image::Luma([(x * 300 + y * 900) as u16 + 7 * index])
            });
        map.save(data.join(format!("{index}.png"))).unwrap();
    }
    let run = folder.path().join("run");
    let settings = [
        "--set",
        "data_kind=depth",
        "--set",
        "in_channels=1",
        "--set",
        "out_channels=1",
    ];
    train_tokenizer(&data, &run, "3", &settings);
    let report = reconstructed(&run, &data.join("0.png"), &folder.path().join("out"));
    assert!(report["pictures"][0]["psnr"].is_number(), "{report}");
    let wrong = [
        "train",
        "tokenizer",
        "--data",
        text(&data),
        "--set",
        "data_kind=depth",
        "--set",
        "perceptual=none",
    ];
    fails(&wrong, &["in_channels", "1"]);
}
