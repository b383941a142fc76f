//! The authors' checkpoint through the command line: import, encode, nll, greedy sampling.

mod common;

use common::*;
use smalti::checkpoint::{TensorMap, foreign};
use smalti::data::{to_image, write_png};
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::tempdir;

/// A golden folder: carried along, or in the folder that SMALTI_SHARED names or `shared` beside this repository. `None`
/// after saying aloud that the test is skipped.
fn golden(name: &str) -> Option<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let carried = manifest.join("../smalti/tests/golden").join(name);
    let shared = std::env::var_os("SMALTI_SHARED")
        .map_or_else(|| manifest.join("../../../shared"), PathBuf::from);
    let place = [carried, shared.join("golden").join(name)]
        .into_iter()
        .find(|place| place.join("last.ckpt").is_file());
    if place.is_none() {
        assert!(
            std::env::var_os("SMALTI_NO_SKIPS").is_none(),
            "the golden folder {name} is not here"
        );
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: the golden folder {name} is not here"
        );
    }
    place
}

/// The golden's pictures as PNG files.
fn write_pictures(io: &TensorMap, folder: &Path) -> Vec<PathBuf> {
    let tensor = &io["x"];
    let [count, channels, height, width] = tensor.shape[..] else {
        panic!("pictures have four axes")
    };
    let values = tensor.as_f32().unwrap();
    let place = |picture: usize, pixel: usize, channel: usize| {
        (picture * channels + channel) * height * width + pixel
    };
    (0..count)
        .map(|picture| {
            let pixels: Vec<f32> = (0..height * width)
                .flat_map(|pixel| (0..channels).map(move |channel| (pixel, channel)))
                .map(|(pixel, channel)| values[place(picture, pixel, channel)])
                .collect();
            let path = folder.join(format!("{picture}.png"));
            write_png(&path, &to_image(&pixels, height, width)).unwrap();
            path
        })
        .collect()
}

fn codes(path: &Path) -> Vec<i64> {
    foreign::read(path).unwrap().tensors["codes"]
        .as_i64()
        .unwrap()
        .to_vec()
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

fn check(name: &str) {
    let Some(golden) = golden(name) else { return };
    let io = foreign::read(&golden.join("io.safetensors"))
        .unwrap()
        .tensors;
    let classes = io
        .get("c")
        .and_then(|classes| classes.as_i64())
        .map(<[i64]>::to_vec);
    let folder = tempdir().unwrap();
    let model = folder.path().join("model.safetensors");
    check_import(&golden, &model);

    let pictures = write_pictures(&io, folder.path());
    let encoded = folder.path().join("codes.safetensors");
    let pictures: Vec<&str> = pictures.iter().map(|path| text(path)).collect();
    succeeds(
        &[
            &["encode", "--model", text(&model), "--out", text(&encoded)],
            &pictures[..],
        ]
        .concat(),
    );
    assert_eq!(codes(&encoded), io["z_indices"].as_i64().unwrap());
    let class = |index: usize| -> Option<String> {
        let classes = classes.as_ref()?;
        Some(classes[index].to_string())
    };
    let loss = f64::from(io["loss"].as_f32().unwrap()[0]);
    check_likelihood(&model, &pictures, class, loss);

    let greedy = io["greedy"].as_i64().unwrap();
    for (index, expected) in greedy.chunks(greedy.len() / pictures.len()).enumerate() {
        let out = folder.path().join(format!("samples-{index}"));
        check_greedy_sample(&model, &out, class(index), expected);
    }
}

/// A checkpoint is imported once, and not over what is there.
fn check_import(golden: &Path, model: &Path) {
    let (checkpoint, config) = (golden.join("last.ckpt"), golden.join("project.yaml"));
    succeeds(&[
        "import",
        text(&checkpoint),
        "--config",
        text(&config),
        "--out",
        text(model),
    ]);
    fails(
        &[
            "import",
            text(&checkpoint),
            "--config",
            text(&config),
            "--out",
            text(model),
        ],
        &["exists"],
    );
}

/// The pictures' mean nats per code are the authors' loss.
fn check_likelihood(
    model: &Path,
    pictures: &[&str],
    class: impl Fn(usize) -> Option<String>,
    loss: f64,
) {
    let mut nats = 0.0;
    for (index, picture) in pictures.iter().enumerate() {
        let class = class(index);
        let mut arguments = vec!["--json", "nll", "--model", text(model), picture];
        if let Some(class) = &class {
            arguments.extend(["--class", class]);
        }
        let report = json(&succeeds(&arguments));
        nats += report["mean"]["nats_per_code"].as_f64().unwrap() / pictures.len() as f64;
    }
    assert!(
        (nats - loss).abs() < 1e-3,
        "{nats} nats per code for {loss}"
    );
}

/// The greedy sample of a class, if there are any, consists of these codes.
fn check_greedy_sample(model: &Path, out: &Path, class: Option<String>, expected: &[i64]) {
    let file = out.with_extension("safetensors");
    let mut arguments = vec![
        "sample",
        "--model",
        text(model),
        "-n",
        "1",
        "--top-k",
        "1",
        "--codes",
        text(&file),
        "--out",
        text(out),
    ];
    if let Some(class) = &class {
        arguments.extend(["--class", class]);
    }
    succeeds(&arguments);
    assert_eq!(codes(&file), expected);
    assert!(out.join("000000.png").is_file() && out.join("grid.png").is_file());
}

#[test]
fn class_conditional() {
    check("transformer-class-tiny");
}

#[test]
fn unconditional() {
    check("transformer-uncond-tiny");
}

#[test]
fn a_vqgan_alone() {
    let Some(golden) = golden("vqgan-f4-tiny") else {
        return;
    };
    let folder = tempdir().unwrap();
    let model = folder.path().join("model.safetensors");
    let (checkpoint, config) = (golden.join("last.ckpt"), golden.join("project.yaml"));
    succeeds(&[
        "import",
        text(&checkpoint),
        "--config",
        text(&config),
        "--out",
        text(&model),
    ]);
    let report = json(&succeeds(&["--json", "info", text(&model)]));
    assert_eq!(report["kind"], "tokenizer");
    assert_eq!(report["tokenizer"]["codebook_size"], 256);
    assert_eq!(report["tokenizer"]["legacy_beta"], true);
}
