//! Features of one's own, in files.

use crate::common::*;
use crate::features;
use serde_json::Value;
use smalti::checkpoint::{HostTensor, TensorMap, write_plain_tensors};
use std::path::Path;
use tempfile::tempdir;

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
