//! `smalti eval samples`: what is compared with what, and the samples of a model under its conditions.

mod common;

use common::*;
use serde_json::Value;
use smalti::checkpoint::{HostTensor, TensorMap, write_plain_tensors};
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::tempdir;

/// Pseudo-random numbers from -1 to 1 (splitmix64).
fn noise(index: u64) -> f32 {
    let mut bits = index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ (bits >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// `count` rows of 4 numbers, the first of which is moved by `shift`.
fn features(path: &Path, count: usize, seed: u64, shift: f32) {
    let value = |place: usize| {
        let moved = if place.is_multiple_of(4) { shift } else { 0.0 };
        noise(seed * 1_000_000 + place as u64 + 1) + moved
    };
    let values = (0..4 * count).map(value).collect();
    let tensors = TensorMap::from([("features".to_string(), HostTensor::f32([count, 4], values))]);
    write_plain_tensors(path, &tensors).unwrap();
}

#[test]
fn features_of_ones_own_are_compared() {
    let folder = tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let [real, near, far] =
        ["real", "near", "far"].map(|name| place(&format!("{name}.safetensors")));
    features(&real, 200, 1, 0.0);
    features(&near, 150, 2, 0.0);
    features(&far, 150, 2, 3.0);
    let measure = |samples: &Path, more: &[&str]| {
        let base = [
            "eval",
            "samples",
            "--features-file",
            text(samples),
            "--reference",
            text(&real),
        ];
        json(&[&base[..], more].concat())
    };
    let one = measure(&near, &[]);
    let frechet = &one["figures"]["frechet"];
    assert_eq!(
        frechet["name"], "FD-own",
        "only Inception's features make it FID"
    );
    assert_eq!(frechet["pictures"], 150);
    assert_eq!(frechet["reference_pictures"], 200);
    assert_eq!(one["figures"]["kernel"]["subset_size"], 150);
    assert!(one["figures"]["score"].is_null());
    let distance = |report: &Value| report["figures"]["frechet"]["distance"].as_f64().unwrap();
    let two = measure(&far, &[]);
    // The means are 3 apart, and the samples are otherwise the same.
    assert!((distance(&two) - distance(&one) - 9.0).abs() < 1.0);
    let interval = &two["figures"]["frechet"]["interval"];
    assert!(interval["low"].as_f64() < interval["high"].as_f64());
    assert!(
        two["figures"]["manifold"]["recall"].as_f64()
            < one["figures"]["manifold"]["recall"].as_f64()
    );
    assert_eq!(measure(&far, &[]), two, "everything follows from the seed");
    let bounded = measure(
        &near,
        &["--manifold-pictures", "20", "--frechet-resamples", "0"],
    );
    assert_eq!(bounded["figures"]["manifold"]["real_pictures"], 20);
    assert_eq!(bounded["protocol"]["reference_kept_pictures"], 20);
    assert!(bounded["figures"]["frechet"]["interval"].is_null());
    assert!(
        (distance(&bounded) - distance(&one)).abs() < 1e-9,
        "all pictures count"
    );

    // Statistics of the reference give the same distance, and nothing else.
    let statistics = place("statistics.safetensors");
    json(&[
        "eval",
        "samples",
        "--features-file",
        text(&real),
        "--save-statistics",
        text(&statistics),
    ]);
    let by_statistics = json(&[
        "eval",
        "samples",
        "--features-file",
        text(&near),
        "--reference",
        text(&statistics),
    ]);
    assert!((distance(&by_statistics) - distance(&one)).abs() < 1e-9);
    assert!(by_statistics["figures"]["kernel"].is_null());
    assert!(by_statistics["figures"]["manifold"].is_null());
}

#[track_caller]
fn distance_of(report: &Value) -> f64 {
    report["figures"]["frechet"]["distance"].as_f64().unwrap()
}

/// Whether one of the warnings has these words.
fn warns(report: &Value, words: &str) -> bool {
    let mut warnings = report["warnings"].as_array().unwrap().iter();
    warnings.any(|warning| warning.as_str().unwrap().contains(words))
}

#[test]
fn published_statistics_are_a_reference() {
    let folder = tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let [real, near] = ["real", "near"].map(|name| place(&format!("{name}.safetensors")));
    features(&real, 200, 1, 0.0);
    features(&near, 150, 2, 0.0);
    let (npz, page_file) = (place("real.npz"), place("page.html"));
    json(&[
        "eval",
        "samples",
        "--features-file",
        text(&real),
        "--save-statistics",
        text(&npz),
    ]);
    let against = |reference: &Path, more: &[&str]| {
        let base = ["eval", "samples", "--features-file", text(&near)];
        let reference = ["--reference", text(reference)];
        json(&[&base[..], &reference, more].concat())
    };
    let by_features = against(&real, &[]);
    let published = against(&npz, &["--report", text(&page_file)]);
    assert!((distance_of(&published) - distance_of(&by_features)).abs() < 1e-9);
    let figures = &published["figures"];
    assert!(figures["kernel"].is_null() && figures["manifold"].is_null());
    assert!(figures["frechet"]["reference_pictures"].is_null());
    assert!(figures["frechet"]["interval"]["low"].is_number());
    let said = published["protocol"]["reference"].as_str().unwrap();
    assert!(said.starts_with("statistics of "), "{said}");
    assert!(said.contains("real.npz (sha256 "), "{said}");
    assert!(
        said.contains("network assumed: that of --features-file"),
        "{said}"
    );
    assert!(warns(&published, "are left out") && warns(&published, "does not say how"));
    assert!(page(&page_file).contains("network assumed"));

    let refused = |samples: &Path, reference: &Path, more: &[&str], words: &[&str]| {
        let base = ["eval", "samples", "--features-file", text(samples)];
        let reference = ["--reference", text(reference)];
        fails(&[&base[..], &reference, more].concat(), words)
    };
    let wide = place("wide.safetensors");
    let tensor = HostTensor::f32([10, 5], vec![0.5; 50]);
    let tensors = TensorMap::from([("features".to_string(), tensor)]);
    write_plain_tensors(&wide, &tensors).unwrap();
    refused(&wide, &npz, &[], &["5 on", "different networks"]);
    let network = ["--reference-network", "inception-fid"];
    refused(&near, &npz, &network, &["--features-file"]);
    refused(&near, &real, &network, &["--reference-network", ".npz"]);
    let bytes = std::fs::read(&npz).unwrap();
    std::fs::write(&npz, &bytes[..bytes.len() / 2]).unwrap();
    refused(&near, &npz, &[], &["real.npz", "numpy.savez"]);
}

/// With a network that nobody trained.
#[test]
fn pictures_of_a_reference_that_cannot_be_read_are_skipped_and_counted() {
    let folder = tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let data = pictures(folder.path(), 1, 6, 16);
    let samples = pictures(&place("drawn"), 1, 4, 16);
    let broken = data.join("circle/broken.png");
    std::fs::write(&broken, "no picture").unwrap();
    let network = place("network.safetensors");
    untrained_classifier(&network, 1);
    let base = [
        "eval",
        "samples",
        "--features",
        text(&network),
        "--frechet-resamples",
        "0",
    ];
    let with = |samples: &Path, more: &[&str]| -> Vec<String> {
        let all = [&base[..], &["--samples", text(samples)], more].concat();
        all.into_iter().map(String::from).collect()
    };
    let measured = |more: &[&str]| {
        let arguments = with(&samples, more);
        json(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let refused = |samples: &Path, more: &[&str], words: &[&str]| {
        let arguments = with(samples, more);
        fails(
            &arguments.iter().map(String::as_str).collect::<Vec<_>>(),
            words,
        )
    };

    let against_data = ["--reference", text(&data)];
    let report = measured(&against_data);
    assert_eq!(report["protocol"]["reference_pictures"], 6);
    assert_eq!(report["protocol"]["reference_skipped_pictures"], 1);
    assert!(warns(
        &report,
        "1 of 7 pictures of the reference could not be read"
    ));
    let arguments = with(&samples, &against_data);
    let output = smalti(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors.contains("skipped ") && errors.contains("broken.png"),
        "{errors}"
    );
    // What is measured must be whole, and something must be left.
    refused(&data, &["--reference", text(&samples)], &["broken.png"]);
    let nothing = place("nothing");
    std::fs::create_dir(&nothing).unwrap();
    std::fs::write(nothing.join("a.png"), "no picture").unwrap();
    let against_nothing = ["--reference", text(&nothing)];
    refused(
        &samples,
        &against_nothing,
        &["the only picture could not be read", "a.png"],
    );

    // The same as published statistics, once somebody says of which network they are.
    std::fs::remove_file(&broken).unwrap();
    let npz = place("data.npz");
    let save = with(&data, &["--save-statistics", text(&npz)]);
    json(&save.iter().map(String::as_str).collect::<Vec<_>>());
    let published = ["--reference", text(&npz)];
    let words = ["inception-fid", "--reference-network efficientnet-lite0"];
    refused(&samples, &published, &words);
    let said = ["--reference-network", "efficientnet-lite0"];
    let by_statistics = measured(&[published, said].concat());
    let (one, other) = (distance_of(&by_statistics), distance_of(&report));
    assert!((one - other).abs() <= 1e-3 * other, "{one}, not {other}");
    let name = by_statistics["protocol"]["reference"].as_str().unwrap();
    assert!(
        name.contains("network assumed: efficientnet-lite0"),
        "{name}"
    );
    assert!(by_statistics["protocol"]["reference_skipped_pictures"].is_null());
}

#[test]
fn too_few_pictures_are_warned_of() {
    let folder = tempdir().unwrap();
    let [real, few] = ["real", "few"].map(|name| folder.path().join(format!("{name}.safetensors")));
    features(&real, 50, 1, 0.0);
    features(&few, 4, 2, 0.0);
    let html = folder.path().join("page.html");
    let arguments = [
        "eval",
        "samples",
        "--features-file",
        text(&few),
        "--reference",
        text(&real),
        "--report",
        text(&html),
    ];
    let table = succeeds(&arguments);
    assert!(
        table.contains("4 pictures are too few for 4 features"),
        "{table}"
    );
    assert!(
        table.contains("come from the number of pictures alone"),
        "{table}"
    );
    assert!(page(&html).contains("too few for 4 features"));
}

#[test]
fn features_that_do_not_go_together_are_refused() {
    let folder = tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let (real, broken, wide) = (
        place("real.safetensors"),
        place("broken.safetensors"),
        place("wide.safetensors"),
    );
    features(&real, 10, 1, 0.0);
    features(&broken, 10, 1, f32::NAN);
    let tensor = HostTensor::f32([10, 5], vec![0.5; 50]);
    let tensors = TensorMap::from([("features".to_string(), tensor)]);
    write_plain_tensors(&wide, &tensors).unwrap();
    let refused = |samples: &Path, more: &[&str], words: &[&str]| {
        let base = ["eval", "samples", "--features-file", text(samples)];
        fails(&[&base[..], more].concat(), words)
    };
    refused(
        &broken,
        &["--reference", text(&real)],
        &["broken.safetensors", "picture 0", "NaN"],
    );
    refused(
        &wide,
        &["--reference", text(&real)],
        &["5 on", "different networks"],
    );
    refused(&real, &[], &["--reference", "--save-statistics"]);
    let nowhere = place("nowhere.safetensors");
    refused(&real, &["--reference", text(&nowhere)], &["nowhere"]);
    fails(
        &[
            "eval",
            "samples",
            "--samples",
            text(folder.path()),
            "--reference",
            text(&real),
        ],
        &["--features", "--features-file"],
    );
    fails(
        &[
            "eval",
            "samples",
            "--samples",
            text(folder.path()),
            "--reference",
            text(&real),
            "--features",
            "inception",
        ],
        &["inception-fid", "efficientnet-lite0"],
    );
}

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
    let distance = |report: &Value| report["figures"]["frechet"]["distance"].as_f64().unwrap();
    // Decoded one by one, a value may round to the next of 256 levels.
    assert!((distance(&again) / distance(&report) - 1.0).abs() < 0.02);

    // Statistics stand for the pictures, unless they were made in another way.
    let real = ["eval", "samples", "--samples", text(&data)];
    let save = ["--save-statistics", text(&statistics)];
    json(&[&real[..], &network, &save].concat());
    let known = ["--reference", text(&statistics)];
    let by_statistics = json(&[&files[..], &network, &known].concat());
    assert!((distance(&by_statistics) - distance(&again)).abs() < 1e-6 * distance(&again));
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
    let distance = |report: &Value| report["figures"]["frechet"]["distance"].as_f64().unwrap();
    // Decoded one by one, a value may round to the next of 256 levels.
    assert!((distance(&of_files) / distance(&of_model) - 1.0).abs() < 0.02);
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
