//! Every command once, as the README uses it, and its JSON.

mod common;

use common::*;
use image::RgbImage;
use std::path::{Path, PathBuf};
use tempfile::tempdir;

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

#[test]
fn from_pictures_to_samples() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 8, 16);
    let place = |name: &str| folder.path().join(name);
    let (tokenizer, prior) = (place("tokenizer"), place("prior"));
    train_tokenizer(&data, &tokenizer, "4", &[]);
    train_prior(&data, &tokenizer, &prior, "4", &["--condition", "class"]);

    let (first, second) = (data.join("circle/0.png"), data.join("cross/1.png"));
    let odd = place("odd.png");
    smalti::data::write_png(
        &odd,
        &RgbImage::from_pixel(21, 35, image::Rgb([9, 99, 200])),
    )
    .unwrap();
    let reconstructed = reconstruct_both(&tokenizer, folder.path(), &first, &odd);
    check_codes(&tokenizer, folder.path(), [&first, &second], &reconstructed);
    fails(
        &[
            "encode",
            "--model",
            text(&tokenizer),
            text(&first),
            text(&odd),
            "--out",
            text(&place("x")),
        ],
        &["odd.png", "--size"],
    );

    let report = json(&[
        "nll",
        "--model",
        text(&prior),
        text(&first),
        "--class",
        "circle",
    ]);
    let nats = report["pictures"][0]["nats_per_code"].as_f64().unwrap();
    let bits = report["pictures"][0]["bits_per_code"].as_f64().unwrap();
    assert!((bits * std::f64::consts::LN_2 - nats).abs() < 1e-9);

    let report = json(&["info", text(&prior)]);
    assert_eq!(report["kind"], "tokenizer and class-conditional prior");
    assert!(succeeds(&["info", text(&prior)]).contains("circle, cross"));
    assert!(succeeds(&["weights", "list"]).contains("lpips-vgg"));
    check_sampling(&prior, folder.path());
}

/// Reconstructs a picture, and one whose sides are no multiples of f; returns what becomes of the first.
fn reconstruct_both(tokenizer: &Path, folder: &Path, first: &Path, odd: &Path) -> RgbImage {
    let out = folder.join("reconstructed");
    let report = json(&[
        "reconstruct",
        "--model",
        text(tokenizer),
        text(first),
        text(odd),
        "--out",
        text(&out),
    ]);
    assert!(report["pictures"][0]["psnr"].is_number());
    let size = image::image_dimensions(out.join("odd.png")).unwrap();
    assert_eq!(size, (21, 35), "a picture of any size keeps it");
    fails(
        &[
            "reconstruct",
            "--model",
            text(tokenizer),
            text(first),
            "--out",
            text(&out),
        ],
        &["exists", "--overwrite"],
    );
    image::open(out.join("0.png")).unwrap().to_rgb8()
}

/// Codes of two pictures, decoded, are their reconstructions.
fn check_codes(tokenizer: &Path, folder: &Path, [first, second]: [&Path; 2], truth: &RgbImage) {
    let codes = folder.join("codes.safetensors");
    let encode = [
        "encode",
        "--model",
        text(tokenizer),
        text(first),
        text(second),
        "--out",
        text(&codes),
    ];
    assert_eq!(json(&encode)["rows"], 4);
    let decoded = folder.join("decoded");
    json(&[
        "decode",
        "--model",
        text(tokenizer),
        text(&codes),
        "--out",
        text(&decoded),
    ]);
    assert_eq!(files(&decoded).len(), 3);
    let again = image::open(decoded.join("000000.png")).unwrap().to_rgb8();
    assert_eq!(again, *truth);
}

fn check_sampling(prior: &Path, folder: &Path) {
    let sample = |name: &str, seed: &str| {
        let out = folder.join(name);
        succeeds(&[
            "sample",
            "--model",
            text(prior),
            "-n",
            "5",
            "--seed",
            seed,
            "--out",
            text(&out),
            "--batch",
            "2",
        ]);
        files(&out)
            .iter()
            .map(|file| std::fs::read(file).unwrap())
            .collect::<Vec<_>>()
    };
    let first = sample("samples-1", "1");
    assert_eq!(first.len(), 6);
    assert_eq!(
        first,
        sample("samples-2", "1"),
        "the same seed gives the same files"
    );
    assert_ne!(first, sample("samples-3", "2"));
}

#[test]
fn tiles_change_nothing_but_the_memory() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 4, 16);
    let place = |name: &str| folder.path().join(name);
    let run = place("run");
    train_tokenizer(&data, &run, "2", &[]);
    let picture = place("picture.png");
    smalti::data::write_png(&picture, &smalti::data::drawn::draw(0, 7, 53)).unwrap();
    let codes = encode_in_tiles(&run, folder.path(), &picture);
    let whole = reconstruct_in_tiles(&run, folder.path(), &picture);

    let out = place("decoded");
    let decode = [
        "decode",
        "--model",
        text(&run),
        text(&codes),
        "--out",
        text(&out),
        "--tile",
        "16",
    ];
    json(&decode);
    // The codes stand for whole multiples of f.
    let decoded = image::open(out.join("000000.png")).unwrap().to_rgb8();
    assert_eq!(decoded.dimensions(), (56, 56));
    assert_alike(
        &image::imageops::crop_imm(&decoded, 0, 0, 53, 53).to_image(),
        &whole,
    );

    let wrong = smalti(&[
        "decode",
        "--model",
        text(&run),
        text(&codes),
        "--out",
        "x",
        "--tile",
        "0",
    ]);
    assert_eq!(wrong.status.code(), Some(2));
}

/// Encodes a picture at once and in tiles; returns the file of its codes.
fn encode_in_tiles(run: &Path, folder: &Path, picture: &Path) -> PathBuf {
    let codes = |name: &str, tile: &[&str]| {
        let out = folder.join(name);
        let arguments = [
            "encode",
            "--model",
            text(run),
            text(picture),
            "--out",
            text(&out),
        ];
        assert_eq!(json(&[&arguments[..], tile].concat())["rows"], 14);
        out
    };
    let (whole, tiled) = (
        codes("whole.safetensors", &["--tile", "off"]),
        codes("tiled.safetensors", &["--tile", "9"]),
    );
    assert_eq!(
        std::fs::read(&whole).unwrap(),
        std::fs::read(tiled).unwrap()
    );
    whole
}

/// Reconstructs a picture at once and in tiles; returns what becomes of it at once.
fn reconstruct_in_tiles(run: &Path, folder: &Path, picture: &Path) -> RgbImage {
    let reconstructed = |name: &str, tile: &[&str]| {
        let out = folder.join(name);
        let arguments = [
            "reconstruct",
            "--model",
            text(run),
            text(picture),
            "--out",
            text(&out),
        ];
        let report = json(&[&arguments[..], tile].concat());
        let image = image::open(out.join("picture.png")).unwrap().to_rgb8();
        (image, report["pictures"][0]["tiles"].clone())
    };
    let (whole, tiles) = reconstructed("r-auto", &[]);
    assert_eq!(
        tiles,
        serde_json::json!([1, 1]),
        "a small picture runs at once"
    );
    for (name, more) in [
        ("r-tiled", &["--tile", "9"][..]),
        ("r-exact", &["--tile", "24", "--exact"][..]),
    ] {
        let (tiled, tiles) = reconstructed(name, more);
        assert!(
            tiles[0].as_u64() > Some(1) && tiles[1].as_u64() > Some(1),
            "{tiles}"
        );
        assert_alike(&tiled, &whole);
    }
    whole
}

/// Rounding may move a value to the next of 256 levels.
fn assert_alike(ours: &RgbImage, truth: &RgbImage) {
    assert_eq!(ours.dimensions(), truth.dimensions());
    let differences = ours.as_raw().iter().zip(truth.as_raw());
    assert!(differences.map(|(a, b)| a.abs_diff(*b)).max() <= Some(1));
}

#[test]
fn the_demonstration_runs_and_shows() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("demo");
    let report = json(&["demo", "--minutes", "0.1", "--out", text(&out)]);
    for picture in ["reconstructed.png", "completed.png", "sampled.png"] {
        assert!(out.join(picture).is_file(), "{picture}");
    }
    assert_eq!(report["pictures"].as_array().unwrap().len(), 3);
    // Unseen pictures above what the tokenizer makes of them: even seconds of training show the colours.
    let grid = smalti::data::read_image(&out.join("reconstructed.png"), [255; 3]).unwrap();
    let half = grid.height() / 2;
    let part = |top| image::imageops::crop_imm(&grid, 0, top, grid.width(), half).to_image();
    let psnr = smalti::tokenizer::picture::psnr(&part(0), &part(grid.height() - half));
    assert!(psnr > 9.0, "PSNR {psnr}");
    fails(&["demo", "--out", text(&out)], &["exists"]);
}

#[test]
fn weights_are_not_written_over_a_file() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("weights.safetensors");
    std::fs::write(&file, "mine").unwrap();
    fails(
        &["weights", "import", text(&file), "--out", text(&file)],
        &["exists", "--overwrite"],
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
}

#[test]
fn a_bad_picture_leaves_no_reconstructions() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 3, 16);
    let (run, out) = (folder.path().join("run"), folder.path().join("out"));
    train_tokenizer(&data, &run, "1", &[]);
    let bad = folder.path().join("bad.png");
    std::fs::write(&bad, "no picture").unwrap();
    let good = data.join("circle/0.png");
    fails(
        &[
            "reconstruct",
            "--model",
            text(&run),
            text(&good),
            text(&bad),
            "--out",
            text(&out),
        ],
        &["bad.png"],
    );
    assert!(!out.exists());
    // A picture called like the grid does not take its place.
    let grid = folder.path().join("grid.png");
    std::fs::copy(&good, &grid).unwrap();
    succeeds(&[
        "reconstruct",
        "--model",
        text(&run),
        text(&grid),
        "--out",
        text(&out),
    ]);
    assert_eq!(files(&out).len(), 2);
}

#[test]
fn without_network_and_weights_one_error_names_the_ways() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 3, 32);
    let output = command(&[
        "train",
        "tokenizer",
        "--data",
        text(&data),
        "--set",
        "size=32",
        "--out",
        text(&folder.path().join("run")),
    ])
    .current_dir(folder.path())
    .env("SMALTI_CACHE", folder.path().join("cache"))
    .env("SMALTI_WEIGHTS_MIRROR", "http://127.0.0.1:9")
    .env_remove("SMALTI_ASSETS")
    .output()
    .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    for way in ["weights fetch", "weights import", "--perceptual none"] {
        assert!(errors.contains(way), "no `{way}` in {errors}");
    }
    assert!(!folder.path().join("run").exists());
}
