//! The paper's comparisons with networks so small that each takes seconds: what they leave behind, that they go on where
//! they were, and that they do not mix results of other settings.

mod common;

use common::*;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::{TempDir, tempdir};

/// Networks so small that a step takes milliseconds; a checkpoint and a measurement at every step.
const SMALL: [&str; 34] = [
    "--steps",
    "2",
    "--size",
    "32",
    "--perceptual",
    "none",
    "-n",
    "6",
    "--set",
    "tokenizer.channels=32",
    "--set",
    "tokenizer.z_channels=32",
    "--set",
    "tokenizer.codebook_size=32",
    "--set",
    "tokenizer.batch=4",
    "--set",
    "tokenizer.kmeans_step=0",
    "--set",
    "tokenizer.validation=0.25",
    "--set",
    "prior.validation=0.25",
    "--set",
    "prior.layers=1",
    "--set",
    "prior.heads=2",
    "--set",
    "prior.width=32",
    "--set",
    "prior.batch=4",
    "--set",
    "prior.checkpoint_every=1",
    "--set",
    "prior.patience=0",
];

/// Pictures of two classes, and a network that nobody trained.
struct Fixture {
    folder: TempDir,
    data: PathBuf,
    network: PathBuf,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempdir().unwrap();
        let data = pictures(folder.path(), 2, 6, 32);
        let network = folder.path().join("network.safetensors");
        untrained_classifier(&network, 1);
        Self {
            folder,
            data,
            network,
        }
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn arguments<'a>(&'a self, name: &'a str, out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
        let base = [
            "--json",
            "reproduce",
            name,
            "--data",
            text(&self.data),
            "--out",
            text(out),
        ];
        [&base[..], &SMALL, more].concat()
    }

    #[track_caller]
    fn run(&self, name: &str, more: &[&str]) -> Value {
        let out = self.out();
        let printed = succeeds(&self.arguments(name, &out, more));
        serde_json::from_str(&printed).unwrap()
    }
}

/// The outcomes of a report, by their cells.
fn outcome<'a>(report: &'a Value, cell: &str) -> &'a Value {
    let mut records = report["results"].as_array().unwrap().iter();
    let found = records.find(|record| record["cell"] == cell);
    &found.unwrap_or_else(|| panic!("no {cell} in {report}"))["outcome"]
}

fn row_count(report: &Value) -> usize {
    report["table"]["rows"].as_array().unwrap().len()
}

#[test]
fn a_transformer_is_compared_with_a_pixelsnail() {
    let fixture = Fixture::new();
    let page = fixture.folder.path().join("table1.html");
    let report = fixture.run("table1", &["--features", "none", "--report", text(&page)]);
    assert_eq!(report["stopped"], false);
    assert_eq!(row_count(&report), 2);
    let parameters = ["trained transformer", "trained pixelsnail"]
        .map(|cell| outcome(&report, cell)["parameters"].as_f64().unwrap());
    let ratio = parameters[1] / parameters[0];
    assert!((0.9..1.1).contains(&ratio), "{ratio}");
    for row in report["table"]["rows"].as_array().unwrap() {
        for column in [4, 5, 6] {
            let nats: f64 = row[column].as_str().unwrap().parse().unwrap();
            assert!((1.0..8.0).contains(&nats), "{row}");
        }
    }
    let html = fs::read_to_string(&page).unwrap();
    assert!(html.contains("S-FLCKR") && html.contains("PixelSNAIL"));
}

#[test]
fn what_was_interrupted_goes_on_and_what_is_finished_stays() {
    let fixture = Fixture::new();
    let none = ["--features", "none"];
    let first = fixture.run("table1", &none);
    let (out, lines) = (fixture.out(), fixture.out().join("results.jsonl"));
    let prior = |name: &str| out.join("runs").join(name);
    let written = fs::read_to_string(&lines).unwrap();
    assert_eq!(written.lines().count(), 3);
    let bytes = |name: &str| fs::read(model(&prior(name), 2)).unwrap();
    let before = ["tokenizer", "transformer", "pixelsnail"].map(bytes);

    // As if it had been killed when the PixelSNAIL had taken one of its two steps.
    let kept: Vec<&str> = written.lines().take(2).collect();
    fs::write(&lines, kept.join("\n") + "\n").unwrap();
    fs::remove_dir_all(prior("pixelsnail").join("checkpoints/00000002")).unwrap();
    assert!(model(&prior("pixelsnail"), 1).is_file());
    let transformer = model(&prior("transformer"), 2);
    let modified = fs::metadata(&transformer).unwrap().modified().unwrap();
    let second = fixture.run("table1", &none);
    assert!(before == ["tokenizer", "transformer", "pixelsnail"].map(bytes));
    let untouched = fs::metadata(&transformer).unwrap().modified().unwrap();
    assert_eq!(modified, untouched);
    // Equal time is another after the interruption; all else is not.
    for column in 0..6 {
        let cell = |report: &Value| report["table"]["rows"][0][column].clone();
        assert_eq!(cell(&second), cell(&first));
    }
    let again = fs::read_to_string(&lines).unwrap();
    assert!(again.starts_with(&(kept.join("\n") + "\n")) && again.lines().count() == 3);

    // Finished, nothing is done any more.
    fixture.run("table1", &none);
    assert_eq!(fs::read_to_string(&lines).unwrap(), again);
}

#[test]
fn other_settings_are_not_mixed() {
    let fixture = Fixture::new();
    let out = fixture.out();
    let with = |name: &'static str, more: &[&'static str]| {
        let all = fixture.arguments(name, &out, &[&["--features", "none"][..], more].concat());
        all.into_iter().map(String::from).collect::<Vec<_>>()
    };
    let refused = |name: &'static str, more: &[&'static str], words: &[&str]| {
        let all = with(name, more);
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        fails(&all, words);
    };
    // What cannot be done leaves nothing behind.
    refused("table1", &["--set", "batch=4"], &["tokenizer.key=value"]);
    refused("table1", &["--set", "prior.bach=4"], &["bach", "batch"]);
    refused("table1", &["--model", "M"], &["--model"]);
    refused("sampling", &[], &["--features none"]);
    assert!(!out.exists());

    // What holds something else is left alone.
    fs::create_dir_all(&out).unwrap();
    fs::write(out.join("photo.png"), "").unwrap();
    refused("table1", &[], &["not empty"]);
    fs::remove_file(out.join("photo.png")).unwrap();
    fixture.run("table1", &["--features", "none"]);
    refused("table1", &["--seed", "1"], &["another seed"]);
    refused("table1", &["--set", "prior.pkeep=0.9"], &["another set"]);
    refused("table5", &[], &["another comparison"]);
    // No result has changed.
    fixture.run("table1", &["--features", "none"]);
}

#[test]
fn pixels_are_compared_with_codes() {
    let fixture = Fixture::new();
    let report = fixture.run("figure7", &["--features", text(&fixture.network)]);
    assert_eq!(row_count(&report), 4);
    let rows = &report["table"]["rows"];
    // 32 pixels are more than 16 codes of one pixel, and fewer of the others.
    for (place, context) in ["16 × 16", "16 × 16", "4 × 4", "2 × 2"].iter().enumerate() {
        assert_eq!(rows[place][1], *context);
    }
    for cell in ["f1", "f2", "f8", "f16"] {
        let measured = outcome(&report, &format!("measured {cell}"));
        assert!(measured["nats_per_code"].as_f64().unwrap() > 0.0);
        assert_eq!(measured["figures"]["frechet"]["pictures"], 6);
        let sheet = fixture.out().join(format!("samples/{cell}.png"));
        assert!(sheet.is_file());
    }
}

#[test]
fn reconstructions_are_compared() {
    let fixture = Fixture::new();
    let report = fixture.run("table5", &["--features", text(&fixture.network)]);
    assert_eq!(row_count(&report), 6);
    for (cell, codes) in [("vqvae", 64), ("dvae", 64), ("vqgan-256", 64)] {
        let measured = outcome(&report, &format!("measured {cell}"));
        assert_eq!(measured["codes_per_picture"], codes, "{cell}");
        assert_eq!(measured["pictures"], 3);
        assert!(measured["psnr"].as_f64().unwrap() > 0.0);
        assert!(measured["ssim"].is_number() && measured["lpips"].is_null());
        assert!(measured["frechet"].as_f64().unwrap() >= 0.0);
    }
    let two_levels = outcome(&report, "measured vqvae2");
    assert_eq!(two_levels["codes_per_picture"], 64 * 5);
    let codebooks: Vec<&str> = (2..5)
        .map(|row| report["table"]["rows"][row][2].as_str().unwrap())
        .collect();
    assert_eq!(codebooks, ["256", "1024", "4096"]);
}

#[test]
fn samples_are_swept_and_rejected() {
    let fixture = Fixture::new();
    let network = text(&fixture.network);
    let report = fixture.run(
        "sampling",
        &["--features", network, "--top-k", "0,4", "--top-p", "1,0.9"],
    );
    let results = report["table"]["results"].as_array().unwrap();
    assert_eq!(results.len(), 3);
    let prior = fixture.out().join("runs/prior");
    assert!(model(&prior, 2).is_file());

    // The classes of the pictures are learned, and a classifier of them chooses.
    let out = fixture.folder.path().join("rejection");
    let more = ["--features", network, "--accept", "1,0.5"];
    let printed = succeeds(&fixture.arguments("rejection", &out, &more));
    let report: Value = serde_json::from_str(&printed).unwrap();
    let results = report["table"]["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    assert_eq!(results[1]["cell"]["accept"], 0.5);
    assert_eq!(
        outcome(&report, "trained classifier")["classes"][1],
        "cross"
    );
    assert!(out.join("classifier.safetensors").is_file());
    let lines = fs::read_to_string(out.join("sweep/results.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 2);

    // A prior that is there is not trained.
    let given = fixture.folder.path().join("given");
    let trained = out.join("runs/prior");
    let more = [&more[..], &["--model", text(&trained)]].concat();
    succeeds(&fixture.arguments("rejection", &given, &more));
    assert!(!given.join("runs").exists());
}

#[cfg(unix)]
#[test]
fn an_interrupt_saves_and_says_how_to_go_on() {
    let fixture = Fixture::new();
    let out = fixture.out();
    let more = [
        "--features",
        "none",
        "--set",
        "tokenizer.steps=1000000",
        "--quiet",
    ];
    let child = command(&fixture.arguments("table1", &out, &more))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let log = out.join("runs/tokenizer/metrics.jsonl");
    let started = std::time::Instant::now();
    while fs::read_to_string(&log).map_or(0, |text| text.lines().count()) < 2 {
        assert!(started.elapsed().as_secs() < 120, "it does not start");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let id = child.id().to_string();
    let kill = std::process::Command::new("kill")
        .args(["-INT", &id])
        .status();
    assert!(kill.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["stopped"], true);
    assert!(!out.join("results.jsonl").exists());
    assert!(out.join("runs/tokenizer/checkpoints").is_dir());
}
