//! `sample` and `complete` through the command line: pictures of any size, masks, previews, neighbours.

mod common;

use common::*;
use image::{Rgb, RgbImage};
use smalti::data::{drawn, read_image, write_png};
use std::path::{Path, PathBuf};
use tempfile::{TempDir, tempdir};

/// An unconditional prior over 4 × 4 codes of 16 × 16 pixels, and the pictures it has seen.
fn trained(folder: &TempDir) -> (PathBuf, PathBuf) {
    let data = pictures(folder.path(), 1, 6, 16);
    let (tokenizer, prior) = (folder.path().join("tokenizer"), folder.path().join("prior"));
    train_tokenizer(&data, &tokenizer, "3", &[]);
    train_prior(&data, &tokenizer, &prior, "3", &["--condition", "none"]);
    (prior, data)
}

/// Runs `sample` into `out` with more arguments; returns its report.
fn sample(prior: &Path, out: &Path, more: &[&str]) -> serde_json::Value {
    let base = ["sample", "--model", text(prior), "--out", text(out)];
    json(&[&base[..], more].concat())
}

fn complete(prior: &Path, image: &Path, out: &Path, more: &[&str]) -> serde_json::Value {
    let base = [
        "complete",
        "--model",
        text(prior),
        text(image),
        "--out",
        text(out),
    ];
    json(&[&base[..], more].concat())
}

#[test]
fn the_batch_changes_no_file() {
    let folder = tempdir().unwrap();
    let (prior, _) = trained(&folder);
    for window in ["exact", "blocks"] {
        let draw = |batch: &str| {
            let out = folder.path().join(format!("{window}-{batch}"));
            let more = [
                "-n", "3", "--size", "37x24", "--seed", "5", "--window", window, "--batch", batch,
            ];
            sample(&prior, &out, &more);
            let files = ["000000.png", "000001.png", "000002.png", "grid.png"];
            files.map(|file| std::fs::read(out.join(file)).unwrap())
        };
        assert_eq!(draw("1"), draw("8"), "{window}");
    }
    // Whole codes: 37 pixels are rounded up.
    let size = image::image_dimensions(folder.path().join("exact-1/000000.png")).unwrap();
    assert_eq!(size, (40, 24));
}

#[test]
fn samples_come_with_what_was_asked_for() {
    let folder = tempdir().unwrap();
    let (prior, data) = trained(&folder);
    let out = folder.path().join("samples");
    let more = [
        "-n",
        "2",
        "--nats",
        "--preview",
        "2",
        "--min-p",
        "0.05",
        "--neighbours",
        text(&data),
    ];
    let report = sample(&prior, &out, &more);
    assert_eq!(report["nats_per_code"].as_array().unwrap().len(), 2);
    let neighbours = &report["neighbours"];
    assert_eq!(neighbours["among"], 6);
    let nearest = neighbours["samples"][1]["nearest"].as_array().unwrap();
    assert_eq!(nearest.len(), 5);
    let distance = |index: usize| nearest[index]["distance"].as_f64().unwrap();
    assert!((1..5).all(|index| distance(index - 1) <= distance(index)));
    let shown = image::image_dimensions(out.join("neighbours.png")).unwrap();
    // A sample, its five nearest pictures, and the one with the most equal codes.
    assert_eq!(shown, (7 * 18 + 2, 2 * 18 + 2));
    assert_eq!(
        image::image_dimensions(out.join("preview.png")).unwrap(),
        (16, 16)
    );

    // A file of codes will do as well.
    let codes = folder.path().join("codes.safetensors");
    let first = data.join("circle/0.png");
    let encode = [
        "encode",
        "--model",
        text(&prior),
        text(&first),
        "--out",
        text(&codes),
    ];
    succeeds(&encode);
    let out = folder.path().join("of-codes");
    let report = sample(&prior, &out, &["-n", "1", "--neighbours", text(&codes)]);
    assert_eq!(report["neighbours"]["among"], 1);
}

#[test]
fn pictures_of_any_size_are_completed() {
    let folder = tempdir().unwrap();
    let (prior, _) = trained(&folder);
    let image = folder.path().join("picture.png");
    write_png(&image, &drawn::draw(0, 3, 35)).unwrap();
    let out = folder.path().join("top");
    let report = complete(&prior, &image, &out, &["-n", "2", "--keep", "top"]);
    // 9 × 9 codes, of which the upper four rows stay.
    assert_eq!(report["codes"], 81);
    assert_eq!(report["drawn"], 45);
    for file in ["000000.png", "000001.png"] {
        assert_eq!(image::image_dimensions(out.join(file)).unwrap(), (35, 35));
    }
    assert_eq!(
        image::image_dimensions(out.join("grid.png")).unwrap(),
        (4 * 37 + 2, 39)
    );
    let shown = read_image(&out.join("grid.png"), [0; 3]).unwrap();
    let masked = |x: u32, y: u32| shown.get_pixel(2 + 37 + x, 2 + y).0;
    assert_eq!(masked(34, 16), [128; 3]);
    let original = read_image(&image, [0; 3]).unwrap();
    assert_eq!(masked(34, 15), original.get_pixel(34, 15).0);

    let half = complete(&prior, &image, &folder.path().join("half"), &["-n", "1"]);
    assert_eq!(half["drawn"], 41, "the authors' half is rounded down");

    let mask = folder.path().join("mask.png");
    let mut white = RgbImage::new(35, 35);
    white.put_pixel(8, 11, Rgb([255; 3]));
    write_png(&mask, &white).unwrap();
    let out = folder.path().join("masked");
    let report = complete(&prior, &image, &out, &["-n", "1", "--mask", text(&mask)]);
    assert_eq!(report["drawn"], 1);
}

#[test]
fn completions_that_cannot_be_are_refused() {
    let folder = tempdir().unwrap();
    let (prior, _) = trained(&folder);
    let image = folder.path().join("picture.png");
    write_png(&image, &drawn::draw(0, 3, 35)).unwrap();
    let nothing = folder.path().join("nothing.png");
    write_png(&nothing, &RgbImage::new(35, 35)).unwrap();
    let small = folder.path().join("small.png");
    write_png(&small, &RgbImage::new(12, 16)).unwrap();
    let refused = |image: &Path, more: &[&str], words: &[&str]| {
        let out = folder.path().join("refused");
        let base = [
            "complete",
            "--model",
            text(&prior),
            text(image),
            "--out",
            text(&out),
        ];
        fails(&[&base[..], more].concat(), words);
        assert!(!out.exists());
    };
    refused(
        &image,
        &["--mask", text(&nothing)],
        &["nothing.png", "white"],
    );
    refused(&image, &["--mask", text(&small)], &["12×16", "35×35"]);
    refused(&small, &[], &["small.png", "12×16", "at least 16×16"]);
    refused(&image, &["--guidance", "2"], &["--guidance"]);
    refused(&image, &["--guidance=-1"], &["--guidance is -1"]);
    refused(&image, &["--min-p", "2"], &["--min-p is 2"]);
    refused(&image, &["-n", "0"], &["-n is 0"]);
    let base = [
        "complete",
        "--model",
        text(&prior),
        text(&image),
        "--out",
        "x",
    ];
    for wrong in [
        &["--keep", "right"][..],
        &["--keep", "top", "--mask", text(&nothing)],
        &["--window", "some"],
    ] {
        let output = smalti(&[&base[..], wrong].concat());
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
    }
}
