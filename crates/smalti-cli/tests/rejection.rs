//! Classifiers, rejection sampling and sweeps through the command line, with a network of random weights.

mod common;

use common::*;
use image::RgbImage;
use smalti::data::{drawn, read_image, write_png};
use smalti::metrics::{Classifier, FeatureNetwork};
use std::path::{Path, PathBuf};
use tempfile::{TempDir, tempdir};

/// A prior with two classes, what it has seen, a network, and a classifier of the same classes.
struct Trained {
    folder: TempDir,
    data: PathBuf,
    tokenizer: PathBuf,
    prior: PathBuf,
    network: PathBuf,
    classifier: PathBuf,
}

fn trained() -> Trained {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 6, 16);
    let place = |name: &str| folder.path().join(name);
    let (tokenizer, prior) = (place("tokenizer"), place("prior"));
    train_tokenizer(&data, &tokenizer, "3", &[]);
    train_prior(&data, &tokenizer, &prior, "3", &["--condition", "class"]);
    let (network, classifier) = (place("network.safetensors"), place("own.classifier"));
    untrained_classifier(&network, 1);
    train_classifier(&data, &network, &classifier, &[]);
    Trained {
        folder,
        data,
        tokenizer,
        prior,
        network,
        classifier,
    }
}

fn train_classifier(data: &Path, network: &Path, out: &Path, more: &[&str]) -> serde_json::Value {
    let base = [
        "train",
        "classifier",
        "--data",
        text(data),
        "--features",
        text(network),
        "--out",
        text(out),
    ];
    json(&[&base[..], more].concat())
}

/// The arguments of `sample` with a classifier.
fn rejecting<'a>(trained: &'a Trained, out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let base = [
        "sample",
        "--model",
        text(&trained.prior),
        "--classifier",
        text(&trained.classifier),
        "--classifier-network",
        text(&trained.network),
        "--out",
        text(out),
    ];
    [&base[..], more].concat()
}

#[test]
fn the_best_of_what_is_drawn_stay() {
    let trained = trained();
    let all = trained.folder.path().join("all");
    succeeds(&[
        "sample",
        "--model",
        text(&trained.prior),
        "-n",
        "16",
        "--out",
        text(&all),
    ]);
    let pictures: Vec<RgbImage> = (0..16)
        .map(|index| read_image(&all.join(format!("{index:06}.png")), [0; 3]).unwrap())
        .collect();
    let classifier = Classifier::load(&trained.classifier, |_| {
        FeatureNetwork::open(&trained.network, &smalti::Device::flex())
    });
    let classifier = classifier.unwrap();
    let probabilities = classifier.probabilities(&pictures).unwrap();
    let of = |index: usize| probabilities[index * 2 + index % 2];
    for row in probabilities.chunks_exact(2) {
        assert!((row[0] + row[1] - 1.0).abs() < 1e-12);
    }

    for batch in ["3", "16"] {
        let out = trained.folder.path().join(format!("kept-{batch}"));
        let more = ["-n", "4", "--accept", "0.25", "--batch", batch];
        let report = json(&rejecting(&trained, &out, &more));
        let rejection = &report["rejection"];
        assert_eq!(rejection["drawn"], 16);
        assert_eq!(rejection["classifier"]["network"], "efficientnet-lite0");
        let ratings = rejection["pictures"].as_array().unwrap();
        assert_eq!(ratings.len(), 4);
        for (index, rating) in ratings.iter().enumerate() {
            let number = |key: &str| rating[key].as_u64().unwrap() as usize;
            assert_eq!((number("class"), number("rank")), (index % 2, index / 2));
            let drawn = number("candidate") * 2 + number("class");
            let names = [
                out.join(format!("{index:06}.png")),
                all.join(format!("{drawn:06}.png")),
            ];
            let [kept, same] = names.map(|name| std::fs::read(name).unwrap());
            assert_eq!(kept, same, "picture {index} is candidate {drawn}");
            let probability = rating["probability"].as_f64().unwrap();
            assert!((probability - of(drawn)).abs() < 1e-4);
            // As many are better as its rank says.
            let rivals = (index % 2..16).step_by(2);
            let better = rivals.filter(|&rival| of(rival) > of(drawn) + 1e-4).count();
            assert!(better <= number("rank"), "{better} are better than {drawn}");
        }
    }

    // One class, and everything is kept.
    let out = trained.folder.path().join("one-class");
    let more = ["-n", "2", "--accept", "1", "--class", "cross"];
    let report = json(&rejecting(&trained, &out, &more));
    let ratings = report["rejection"]["pictures"].as_array().unwrap();
    assert!(ratings.iter().all(|rating| rating["class"] == 1));
}

#[test]
fn a_classifier_says_what_it_is_worth() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 6, 16);
    write_png(&data.join("loose.png"), &drawn::draw(0, 9, 16)).unwrap();
    std::fs::write(data.join("circle/broken.png"), "no picture").unwrap();
    let network = folder.path().join("network.safetensors");
    untrained_classifier(&network, 1);
    let out = folder.path().join("own.classifier");
    let more = ["--validation", "0.34", "--size", "8"];
    let report = train_classifier(&data, &network, &out, &more);
    let info = &report["classifier"];
    assert_eq!(info["classes"], serde_json::json!(["circle", "cross"]));
    assert_eq!(info["size"], 8);
    let count = |key: &str| info[key].as_u64().unwrap();
    assert_eq!(count("pictures") + count("held_back"), 12);
    assert!(count("held_back") >= 3);
    let accuracy = info["accuracy"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&accuracy));
    let bytes = std::fs::read(&out).unwrap();
    train_classifier(
        &data,
        &network,
        &out,
        &[&more[..], &["--overwrite"]].concat(),
    );
    assert_eq!(std::fs::read(&out).unwrap(), bytes, "the same bytes");

    let refused = |data: &Path, more: &[&str], words: &[&str]| {
        let new = folder.path().join("new.classifier");
        let base = [
            "train",
            "classifier",
            "--data",
            text(data),
            "--features",
            text(&network),
            "--out",
            text(&new),
        ];
        fails(&[&base[..], more].concat(), words);
        assert!(!new.exists());
    };
    refused(&data.join("cross"), &[], &["two classes"]);
    refused(&data, &["--validation", "1"], &["held back"]);
    refused(&data, &["--penalty", "0"], &["--penalty"]);
}

#[test]
fn what_cannot_be_ranked_is_refused() {
    let trained = trained();
    let place = |name: &str| trained.folder.path().join(name);
    let out = place("refused");
    let refused = |arguments: &[&str], words: &[&str]| {
        fails(arguments, words);
        assert!(!out.exists());
    };
    for accept in ["0", "1.5", "nan"] {
        let arguments = rejecting(&trained, &out, &["--accept", accept]);
        refused(&arguments, &["--accept is"]);
    }

    // A classifier of other classes.
    let other = place("other");
    for name in ["circle", "cats"] {
        std::fs::create_dir_all(other.join(name)).unwrap();
        write_png(&other.join(name).join("a.png"), &drawn::draw(0, 1, 16)).unwrap();
    }
    let classifier = place("other.classifier");
    train_classifier(&other, &trained.network, &classifier, &[]);
    let of = |model: &Path, classifier: &Path, network: &Path| {
        [
            "sample",
            "--accept",
            "0.5",
            "--model",
            text(model),
            "--classifier",
            text(classifier),
            "--classifier-network",
            text(network),
            "--out",
            text(&out),
        ]
        .map(str::to_string)
    };
    let refuses = |arguments: [String; 11], words: &[&str]| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        refused(&arguments, words);
    };
    let (prior, own, network_file) = (&trained.prior, &trained.classifier, &trained.network);
    refuses(
        of(prior, &classifier, network_file),
        &["cross", "train classifier"],
    );
    let random = trained.folder.path().join("random.safetensors");
    untrained_classifier(&random, 2);
    refuses(of(prior, own, &random), &["checksum"]);
    refuses(of(prior, network_file, network_file), &["no classifier"]);
    let unconditional = place("unconditional");
    let condition = ["--condition", "none"];
    train_prior(
        &trained.data,
        &trained.tokenizer,
        &unconditional,
        "3",
        &condition,
    );
    refuses(of(&unconditional, own, network_file), &["none"]);
    // One without the other is wrong usage.
    let alone = ["sample", "--model", "m", "--out", "o", "--accept", "0.5"];
    assert_eq!(smalti(&alone).status.code(), Some(2));
}

#[test]
fn a_sweep_is_measured_once() {
    let trained = trained();
    let place = |name: &str| trained.folder.path().join(name);
    let (out, page) = (place("sweep"), place("sweep.html"));
    let broken = trained.data.join("circle/broken.png");
    std::fs::write(&broken, "no picture").unwrap();
    let sweep = |more: &[&str]| {
        let base = [
            "eval",
            "sweep",
            "--model",
            text(&trained.prior),
            "--reference",
            text(&trained.data),
            "--features",
            text(&trained.network),
            "--classifier",
            text(&trained.classifier),
            "--classifier-network",
            text(&trained.network),
            "--out",
            text(&out),
            "-n",
            "8",
        ];
        json(&[&base[..], more].concat())
    };
    let first = sweep(&["--accept", "1,0.5", "--top-k", "0,4"]);
    check_cells(&first);
    let file = out.join("results.jsonl");
    let lines = std::fs::read_to_string(&file).unwrap();
    assert_eq!(lines.lines().count(), 3);

    // Another value is measured, the others are not; a plot needs two values of an axis.
    let more = ["--accept", "1,0.5,0.25", "--report", text(&page)];
    let second = sweep(&more);
    assert_eq!(second["results"][0]["cell"], first["results"][0]["cell"]);
    let longer = std::fs::read_to_string(&file).unwrap();
    assert!(longer.starts_with(&lines) && longer.lines().count() == 4);
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(html.contains("<svg") && html.contains("acceptance rate"));
    assert!(html.contains("FD-lite0"));

    // All are drawn from the same candidates, so that alone they come out the same.
    std::fs::remove_file(&file).unwrap();
    let alone = sweep(&["--accept", "0.5", "--batch", "5"]);
    let (alone, together) = (
        distance(&alone["results"][0]),
        distance(&second["results"][1]),
    );
    assert!(
        (alone - together).abs() <= 1e-3 * together.max(1.0),
        "{alone}, not {together}"
    );

    std::fs::remove_file(&broken).unwrap();
    check_published(&trained, distance(&first["results"][0]));
}

fn distance(result: &serde_json::Value) -> f64 {
    let distance = &result["figures"]["frechet"]["distance"];
    distance.as_f64().unwrap()
}

/// Every cell of a sweep has all figures.
fn check_cells(report: &serde_json::Value) {
    let results = report["results"].as_array().unwrap();
    assert_eq!(results.len(), 3);
    for result in results {
        let figures = &result["figures"];
        assert!(distance(result) >= 0.0);
        assert_eq!(figures["frechet"]["pictures"], 8);
        assert_eq!(figures["frechet"]["reference_pictures"], 12);
        assert_eq!(result["reference_skipped"], 1);
        assert_eq!(figures["manifold"]["generated_pictures"], 8);
        assert!(figures["score"]["mean"].as_f64().unwrap() > 0.99);
    }
    assert_eq!(report["protocol"]["reference_skipped_pictures"], 1);
}

/// The same reference, as others would publish it, is at the same distance.
fn check_published(trained: &Trained, same: f64) {
    let place = |name: &str| trained.folder.path().join(name);
    let (npz, other) = (place("data.npz"), place("published"));
    let network = ["--features", text(&trained.network)];
    let save = [
        "eval",
        "samples",
        "--samples",
        text(&trained.data),
        "--save-statistics",
        text(&npz),
    ];
    json(&[&save[..], &network].concat());
    let base = [
        "eval",
        "sweep",
        "--model",
        text(&trained.prior),
        "--reference",
        text(&npz),
        "--out",
        text(&other),
        "-n",
        "8",
    ];
    let said = ["--reference-network", "efficientnet-lite0"];
    let published = json(&[&base[..], &network, &said].concat());
    let name = published["protocol"]["reference"].as_str().unwrap();
    assert!(name.contains("sha256") && name.contains("network assumed"));
    let result = &published["results"][0];
    assert!(result["figures"]["kernel"].is_null() && result["reference_skipped"].is_null());
    let one = distance(result);
    assert!((one - same).abs() <= 1e-3 * same, "{one}, not {same}");
    fails(
        &[&base[..], &network].concat(),
        &["inception-fid", "--reference-network"],
    );
}
