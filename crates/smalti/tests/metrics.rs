//! Metrics against what other programs make of the same features and pictures (see `metrics/make.py`).

use serde_json::Value;
use smalti::checkpoint::{TensorMap, foreign};
use smalti::metrics::{
    FeatureRows, FeatureStatistics, InceptionScoreMeter, ManifoldSettings, SsimWindow,
    frechet_distance, manifold_figures, ms_ssim, squared_discrepancy, ssim,
};
use std::path::PathBuf;

/// Sets of features in the fixture.
const PAIRS: [&str; 4] = ["plain", "few", "graded", "aligned"];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/metrics")
}

fn expected() -> Value {
    let text = std::fs::read_to_string(folder().join("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn tensors() -> TensorMap {
    foreign::read(&folder().join("features.safetensors"))
        .unwrap()
        .tensors
}

fn rows<'a>(tensors: &'a TensorMap, name: &str) -> FeatureRows<'a> {
    let tensor = &tensors[name];
    FeatureRows::new(tensor.as_f32().unwrap(), tensor.shape[1], 0).unwrap()
}

/// Real and generated features.
fn pair<'a>(tensors: &'a TensorMap, name: &str) -> [FeatureRows<'a>; 2] {
    ["real", "generated"].map(|side| rows(tensors, &format!("{name}.{side}")))
}

/// Added in batches of 50.
fn statistics(rows: &FeatureRows<'_>) -> FeatureStatistics {
    let mut statistics = FeatureStatistics::new(rows.dimensions());
    let pictures: Vec<usize> = (0..rows.count()).collect();
    for batch in pictures.chunks(50) {
        let features: Vec<f32> = batch
            .iter()
            .flat_map(|&row| rows.row(row))
            .copied()
            .collect();
        statistics.add(&features).unwrap();
    }
    statistics
}

#[track_caller]
fn assert_relative(what: &str, found: f64, expected: &Value, tolerance: f64) {
    let expected = expected.as_f64().unwrap();
    let off = (found / expected - 1.0).abs();
    println!("{what}: {found}, off by {off:.1e}");
    assert!(
        off <= tolerance,
        "{what}: {found}, not {expected}: off by {off:e}, more than {tolerance:e}"
    );
}

/// scipy's `sqrtm` itself is right to 6e-8 here.
#[test]
fn frechet_distances() {
    let (tensors, expected) = (tensors(), expected());
    for name in PAIRS {
        let [real, generated] = pair(&tensors, name).map(|rows| statistics(&rows));
        for (one, other) in [(&real, &generated), (&generated, &real)] {
            let found = frechet_distance(one, other).unwrap().distance;
            assert_relative(name, found, &expected["frechet"][name], 1e-6);
            let exact = &expected["frechet_of_features"][name];
            assert_relative(name, found, exact, 1e-9);
        }
        let none = frechet_distance(&real, &real).unwrap().distance;
        assert!(none < 1e-10, "{name}: {none} from itself");
    }
}

#[test]
fn few_pictures_are_warned_of() {
    let tensors = tensors();
    let warning = |name: &str| {
        let [real, generated] = pair(&tensors, name).map(|rows| statistics(&rows));
        frechet_distance(&real, &generated).unwrap().warning(None)
    };
    assert_eq!(warning("plain"), None);
    let few = warning("few").unwrap();
    assert!(
        few.contains("24 pictures are too few for 40 features"),
        "{few}"
    );
}

#[test]
fn kernel_distances() {
    let (tensors, expected) = (tensors(), expected());
    for name in PAIRS {
        let [real, generated] = pair(&tensors, name);
        let found = squared_discrepancy(real, generated).unwrap();
        assert_relative(name, found, &expected["kernel_distance"][name], 1e-6);
    }
}

#[test]
fn precision_recall_density_and_coverage() {
    let (tensors, expected) = (tensors(), expected());
    for name in PAIRS {
        let [real, generated] = pair(&tensors, name);
        let found = manifold_figures(real, generated, &ManifoldSettings::default()).unwrap();
        let figures = [
            ("precision", found.precision),
            ("recall", found.recall),
            ("density", found.density),
            ("coverage", found.coverage),
        ];
        for (what, figure) in figures {
            let what_of = format!("{what} of {name}");
            assert_relative(&what_of, figure, &expected["manifold"][name][what], 1e-6);
        }
    }
}

#[test]
fn inception_scores() {
    let (tensors, expected) = (tensors(), expected());
    let logits = rows(&tensors, "logits");
    let mut meter = InceptionScoreMeter::new(logits.dimensions(), 5).unwrap();
    for row in 0..logits.count() {
        meter.add(logits.row(row)).unwrap();
    }
    let found = meter.score().unwrap();
    let expected = &expected["inception_score"];
    assert_relative("mean", found.mean, &expected["mean"], 1e-6);
    let deviation = found.standard_deviation;
    assert_relative(
        "deviation",
        deviation,
        &expected["standard_deviation"],
        1e-6,
    );
}

/// The pictures of `make.py`, `[height, width, channels]`.
fn pictures([height, width, channels]: [usize; 3]) -> [Vec<f32>; 2] {
    let bytes = |place: usize| -> [usize; 2] {
        let channel = place % channels;
        let (row, column) = (place / channels / width, place / channels % width);
        let left = (row * column / 8 + 37 * channel + 5 * (row % 16) + 3 * (column % 24)) % 256;
        let blocks = 40 * ((row / 23 + column / 19 + channel) % 3);
        let noise = (31 * row + 17 * column + 7 * channel) % 41;
        let right = (left * 3 / 4 + blocks + noise).saturating_sub(20).min(255);
        [left, right]
    };
    [0, 1].map(|side: usize| {
        let pixels = (0..height * width * channels).map(|place| bytes(place)[side]);
        pixels.map(|byte| byte as f32 / 127.5 - 1.0).collect()
    })
}

fn shape(case: &Value) -> [usize; 3] {
    [0, 1, 2].map(|axis: usize| case["shape"][axis].as_u64().unwrap() as usize)
}

#[test]
fn structural_similarity() {
    for case in expected()["ssim"].as_array().unwrap() {
        let shape = shape(case);
        let [left, right] = pictures(shape);
        for (window, name) in [
            (SsimWindow::Gaussian, "gaussian"),
            (SsimWindow::Uniform, "uniform"),
        ] {
            let found = ssim(&left, &right, shape, window).unwrap();
            assert_relative(name, found, &case[name], 1e-6);
        }
    }
}

#[test]
fn structural_similarity_at_several_scales() {
    for case in expected()["ms_ssim"].as_array().unwrap() {
        let shape = shape(case);
        let [left, right] = pictures(shape);
        let found = ms_ssim(&left, &right, shape).unwrap();
        assert_relative("MS-SSIM", found, &case["ms_ssim"], 1e-6);
    }
}
