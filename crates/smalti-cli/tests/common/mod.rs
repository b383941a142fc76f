//! What the tests of the command line share: running the binary, drawn pictures, small models.

#![allow(dead_code)]

use smalti::checkpoint::{HostTensor, TensorMap, write_plain_tensors};
use smalti::data::drawn::{SHAPES, draw};
use smalti::data::write_png;
use smalti::weights::classifier::Classifier;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The binary with arguments, not started yet.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smalti"));
    command.args(arguments);
    command
}

pub fn smalti(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

/// Runs the binary, which must succeed; returns what it printed.
#[track_caller]
pub fn succeeds(arguments: &[&str]) -> String {
    let output = smalti(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "smalti {}: {errors}",
        arguments.join(" ")
    );
    String::from_utf8(output.stdout).unwrap()
}

/// What the binary prints with `--json`.
#[track_caller]
pub fn json(arguments: &[&str]) -> serde_json::Value {
    serde_json::from_str(&succeeds(&[&["--json"], arguments].concat())).unwrap()
}

/// Runs the binary, which must fail with exit code 1 (or 2 for wrong usage) and one line that contains every one of `words`.
#[track_caller]
pub fn fails(arguments: &[&str], words: &[&str]) -> String {
    let output = smalti(arguments);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        matches!(output.status.code(), Some(1 | 2)),
        "smalti {}: {errors}",
        arguments.join(" ")
    );
    let message = errors.lines().last().unwrap_or_default().to_string();
    assert!(message.starts_with("smalti: "), "{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    for word in words {
        assert!(message.contains(word), "no `{word}` in: {message}");
    }
    message
}

/// What is in a page, which nothing is missing from and that loads nothing.
#[track_caller]
pub fn page(path: &Path) -> String {
    let html = std::fs::read_to_string(path).unwrap();
    assert!(html.starts_with("<!doctype html>") && html.trim_end().ends_with("</html>"));
    assert!(html.contains("How this was measured"));
    for loaded in ["<script", "<link", "url(", "src=\"http"] {
        assert!(!html.contains(loaded), "{loaded}");
    }
    html
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A folder of drawn pictures, `count` of each of the first `classes` shapes.
pub fn pictures(folder: &Path, classes: usize, count: u64, size: u32) -> PathBuf {
    let data = folder.join("pictures");
    for (shape, name) in SHAPES.iter().enumerate().take(classes) {
        std::fs::create_dir_all(data.join(name)).unwrap();
        for index in 0..count {
            write_png(
                &data.join(name).join(format!("{index}.png")),
                &draw(shape, index, size),
            )
            .unwrap();
        }
    }
    data
}

/// Settings of a tokenizer so small that a step takes milliseconds: 16 pixels to 4 × 4 codes.
pub const TINY: [&str; 22] = [
    "--set",
    "size=16",
    "--set",
    "resolution=16",
    "--set",
    "channels=32",
    "--set",
    "channel_multipliers=[1, 1, 1]",
    "--set",
    "z_channels=32",
    "--set",
    "codebook_size=32",
    "--set",
    "batch=4",
    "--set",
    "perceptual=none",
    "--set",
    "discriminator_layers=1",
    "--set",
    "kmeans_step=0",
    "--set",
    "discriminator_ramp=0",
];
/// Settings of a tokenizer of three labels.
pub const OF_LABELS: [&str; 10] = [
    "--set",
    "data_kind=labels",
    "--set",
    "classes=3",
    "--set",
    "in_channels=3",
    "--set",
    "out_channels=3",
    "--set",
    "discriminator_weight=0",
];
/// Settings of a prior just as small.
pub const TINY_PRIOR: [&str; 8] = [
    "--set", "layers=1", "--set", "heads=2", "--set", "width=32", "--set", "batch=4",
];

/// Trains a tiny tokenizer for `steps` steps into `out`.
#[track_caller]
pub fn train_tokenizer(data: &Path, out: &Path, steps: &str, more: &[&str]) -> String {
    let base = [
        "train",
        "tokenizer",
        "--data",
        text(data),
        "--out",
        text(out),
        "--steps",
        steps,
    ];
    succeeds(&[&base[..], &TINY, more].concat())
}

/// Trains a tiny prior for `steps` steps into `out`.
#[track_caller]
pub fn train_prior(
    data: &Path,
    tokenizer: &Path,
    out: &Path,
    steps: &str,
    more: &[&str],
) -> String {
    let base = [
        "train",
        "prior",
        "--data",
        text(data),
        "--tokenizer",
        text(tokenizer),
        "--out",
        text(out),
        "--steps",
        steps,
    ];
    succeeds(&[&base[..], &TINY_PRIOR, more].concat())
}

/// The model file of a checkpoint.
pub fn model(run: &Path, step: u64) -> PathBuf {
    run.join(format!("checkpoints/{step:08}/model.safetensors"))
}

/// Writes weights of EfficientNet-lite0 that nobody trained: kernels by chance, normalisations that leave everything as it is.
pub fn untrained_classifier(path: &Path, seed: u64) {
    let mut state = seed;
    let mut uniform = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
    };
    let tensors: TensorMap = Classifier::EfficientNetLite0
        .tensors()
        .into_iter()
        .map(|(key, shape)| {
            let count: usize = shape.iter().product();
            let inputs: usize = shape.iter().skip(1).product();
            let spread = (6.0 / inputs as f32).sqrt();
            let values: Vec<f32> = match shape.len() {
                1 if key.ends_with("running_var") || key.ends_with("weight") => vec![1.0; count],
                1 => vec![0.0; count],
                _ => (0..count).map(|_| spread * uniform()).collect(),
            };
            (key, HostTensor::f32(shape, values))
        })
        .collect();
    write_plain_tensors(path, &tensors).unwrap();
}
