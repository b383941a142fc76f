//! What samples are compared with: published statistics, and pictures of which some cannot be read.

use crate::common::*;
use crate::{distance_of, features, warns};
use smalti::checkpoint::{HostTensor, TensorMap, write_plain_tensors};
use std::path::Path;
use tempfile::tempdir;

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
    let refused = |samples: &Path, more: &[&str], words: &[&str]| {
        fails(&comparing(&network, samples, more), words)
    };

    let against_data = ["--reference", text(&data)];
    let report = json(&comparing(&network, &samples, &against_data));
    assert_eq!(report["protocol"]["reference_pictures"], 6);
    assert_eq!(report["protocol"]["reference_skipped_pictures"], 1);
    assert!(warns(
        &report,
        "1 of 7 pictures of the reference could not be read"
    ));
    let output = smalti(&comparing(&network, &samples, &against_data));
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

    std::fs::remove_file(&broken).unwrap();
    let npz = place("data.npz");
    let save = ["--save-statistics", text(&npz)];
    json(&comparing(&network, &data, &save));
    check_published(&network, &samples, &npz, distance_of(&report));
}

/// The arguments that measure samples with a network.
fn comparing<'a>(network: &'a Path, samples: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let base = [
        "eval",
        "samples",
        "--features",
        text(network),
        "--frechet-resamples",
        "0",
    ];
    [&base[..], &["--samples", text(samples)], more].concat()
}

/// The same as published statistics, once somebody says of which network they are.
fn check_published(network: &Path, samples: &Path, npz: &Path, other: f64) {
    let published = ["--reference", text(npz)];
    let words = ["inception-fid", "--reference-network efficientnet-lite0"];
    fails(&comparing(network, samples, &published), &words);
    let said = ["--reference-network", "efficientnet-lite0"];
    let by_statistics = json(&comparing(network, samples, &[published, said].concat()));
    let one = distance_of(&by_statistics);
    assert!((one - other).abs() <= 1e-3 * other, "{one}, not {other}");
    let name = by_statistics["protocol"]["reference"].as_str().unwrap();
    assert!(
        name.contains("network assumed: efficientnet-lite0"),
        "{name}"
    );
    assert!(by_statistics["protocol"]["reference_skipped_pictures"].is_null());
}
