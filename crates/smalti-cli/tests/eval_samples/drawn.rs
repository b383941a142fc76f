//! Samples that are drawn from a model for the comparison.

use crate::common::*;
use crate::{distance_of, features};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::tempdir;

/// The weights of EfficientNet-lite0 as `scripts/fetch-assets` prepares them, or `None` after saying aloud that the test
/// is skipped.
fn efficientnet() -> Option<PathBuf> {
    let name = "efficientnet-lite0";
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let asset = repository.join(format!("assets/weights/{name}.safetensors"));
    let cached = smalti::weights::cache::cached(name).unwrap_or_default();
    let found = [asset, cached].into_iter().find(|path| path.is_file());
    if found.is_none() {
        assert!(
            std::env::var_os("SMALTI_NO_SKIPS").is_none(),
            "{name} is not here"
        );
        // Not through `eprintln!`, which the test harness swallows.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: {name}.safetensors (scripts/fetch-assets weights efficientnet) is not here"
        );
    }
    found
}

#[test]
fn samples_are_drawn_and_compared_with_pictures() {
    let Some(weights) = efficientnet() else {
        return;
    };
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 8, 16);
    let place = |name: &str| folder.path().join(name);
    let (tokenizer, prior) = (place("tokenizer"), place("prior"));
    train_tokenizer(&data, &tokenizer, "3", &[]);
    train_prior(&data, &tokenizer, &prior, "3", &["--condition", "class"]);
    let html = place("samples.html");
    let statistics = place("statistics.safetensors");
    let network = ["--features", text(&weights), "--frechet-resamples", "0"];
    let drawn = ["eval", "samples", "--model", text(&prior), "-n", "12"];
    let extras = [
        "--reference",
        text(&data),
        "--neighbours",
        text(&data),
        "--report",
        text(&html),
    ];
    let report = json(&[&drawn[..], &network, &extras].concat());
    check_figures(&report);
    let shown = page(&html);
    assert!(shown.contains("the first 12, not chosen") && shown.contains("nearest training"));

    // Written to files by `sample`, the same pictures have the same distance.
    let out = place("samples");
    succeeds(&[
        "sample",
        "--model",
        text(&prior),
        "-n",
        "12",
        "--out",
        text(&out),
    ]);
    std::fs::remove_file(out.join("grid.png")).unwrap();
    let files = ["eval", "samples", "--samples", text(&out)];
    let reference = ["--reference", text(&data)];
    let again = json(&[&files[..], &network, &reference].concat());
    // Decoded one by one, a value may round to the next of 256 levels.
    assert!((distance_of(&again) / distance_of(&report) - 1.0).abs() < 0.02);

    // Statistics stand for the pictures, unless they were made in another way.
    let real = ["eval", "samples", "--samples", text(&data)];
    let save = ["--save-statistics", text(&statistics)];
    json(&[&real[..], &network, &save].concat());
    let known = ["--reference", text(&statistics)];
    let by_statistics = json(&[&files[..], &network, &known].concat());
    let off = distance_of(&by_statistics) - distance_of(&again);
    assert!(off.abs() < 1e-6 * distance_of(&again));
    fails(
        &[&files[..], &network, &known, &["--size", "8"]].concat(),
        &["picture size", "16", "8"],
    );
    let own = place("own.safetensors");
    features(&own, 20, 1, 0.0);
    fails(
        &[
            "eval",
            "samples",
            "--features-file",
            text(&own),
            "--reference",
            text(&statistics),
        ],
        &["the network", "efficientnet-lite0"],
    );

    // A picture of another size is named.
    let odd = out.join("odd.png");
    smalti::data::write_png(&odd, &image::RgbImage::new(20, 16)).unwrap();
    fails(
        &[&files[..], &network, &reference].concat(),
        &["odd.png", "20×16", "16×16", "--size"],
    );
}

/// The figures and warnings of twelve samples, beside pictures.
fn check_figures(report: &Value) {
    let figures = &report["figures"];
    assert_eq!(figures["frechet"]["name"], "FD-lite0");
    assert_eq!(figures["frechet"]["dimensions"], 1280);
    assert!(figures["frechet"]["extrapolation"]["bias"].is_number());
    assert_eq!(figures["manifold"]["generated_pictures"], 12);
    assert!(figures["score"]["mean"].as_f64() >= Some(1.0));
    assert_eq!(figures["neighbours"].as_array().unwrap().len(), 12);
    assert!(
        report["warnings"][0]
            .as_str()
            .unwrap()
            .contains("12 pictures are too few")
    );
    assert_eq!(report["protocol"]["samples"]["class"], "all in turn");
}

#[test]
fn samples_under_pictures_are_those_of_sample() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 6, 16);
    let place = |name: &str| folder.path().join(name);
    let (tokenizer, prior, out) = (place("tokenizer"), place("prior"), place("samples"));
    train_tokenizer(&data, &tokenizer, "2", &[]);
    let coarse = [
        "--condition",
        "lowres",
        "--set",
        "lowres_factor=2",
        "--set",
        "resize=24",
        "--set",
        "enlarge=true",
    ];
    train_prior(&data, &tokenizer, &prior, "2", &coarse);
    let network = place("network.safetensors");
    untrained_classifier(&network, 1);
    let condition = data.join("circle");
    let drawn = [
        "--model",
        text(&prior),
        "-n",
        "8",
        "--condition",
        text(&condition),
    ];
    let to_files = ["sample", "--out", text(&out)];
    succeeds(&[&to_files[..], &drawn].concat());
    std::fs::remove_file(out.join("grid.png")).unwrap();
    let measured = |samples: &[&str]| {
        let against = [
            "--reference",
            text(&data),
            "--features",
            text(&network),
            "--frechet-resamples",
            "0",
        ];
        json(&[&["eval", "samples"][..], samples, &against].concat())
    };
    let of_model = measured(&drawn);
    let protocol = &of_model["protocol"]["samples"];
    assert_eq!(protocol["files"], text(&condition));
    assert!(protocol["class"].is_null() && protocol["texts"].is_null());
    let of_files = measured(&["--samples", text(&out)]);
    // Decoded one by one, a value may round to the next of 256 levels.
    assert!((distance_of(&of_files) / distance_of(&of_model) - 1.0).abs() < 0.02);
    fails(
        &[
            &["eval", "samples"][..],
            &[
                "--model",
                text(&prior),
                "--reference",
                text(&data),
                "--features",
                text(&network),
            ],
        ]
        .concat(),
        &["lowres", "--condition"],
    );
}
