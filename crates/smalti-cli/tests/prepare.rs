//! `smalti prepare` as a person uses it: every method once, what is there already, and what goes wrong.

mod common;

use common::*;
use std::fs;
use std::path::Path;
use tempfile::tempdir;

fn white(path: &Path) -> usize {
    let image = image::open(path).unwrap().into_luma8();
    image.pixels().filter(|pixel| pixel.0 == [255]).count()
}

#[test]
fn edges_of_a_folder() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 2, 48);
    let out = folder.path().join("edges");
    let base = ["prepare", "edges", text(&data), "--out", text(&out)];
    let report = json(&[&base[..], &["--low", "20", "--high", "40"]].concat());
    assert_eq!(report["written"], 4);
    assert_eq!(report["failed"], serde_json::json!([]));
    let first = out.join("circle/0.png");
    assert!(white(&first) > 10);
    let dataset = smalti::data::Dataset::open(&data).unwrap();
    let found = smalti::data::companions(&dataset, &data, &out).unwrap();
    assert_eq!(found.len(), 4);

    let before = fs::read(&first).unwrap();
    let few = [&base[..], &["--low", "900", "--high", "1900"]].concat();
    let report = json(&few);
    assert_eq!(report["written"], 0);
    assert_eq!(report["already_there"], 4);
    assert_eq!(fs::read(&first).unwrap(), before);
    let report = json(&[&few[..], &["--overwrite"]].concat());
    assert_eq!(report["written"], 4);
    assert_ne!(fs::read(&first).unwrap(), before);

    let authors = folder.path().join("authors");
    let said = succeeds(&[
        "prepare",
        "edges",
        text(&data),
        "--method",
        "authors",
        "--size",
        "24",
        "--out",
        text(&authors),
    ]);
    assert!(said.contains("4 made, 0 already there"), "{said}");
    assert_eq!(
        image::image_dimensions(authors.join("cross/1.png")).unwrap(),
        (24, 24)
    );
}

#[test]
fn a_bad_picture_is_named_and_stops_no_other() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 2, 16);
    fs::write(data.join("circle/bad.jpg"), "no picture").unwrap();
    let out = folder.path().join("edges");
    let arguments = ["prepare", "edges", text(&data), "--out", text(&out)];
    fails(
        &arguments,
        &[
            "1 of 3 pictures could not be used",
            "bad.jpg: not a picture",
        ],
    );
    assert!(out.join("circle/0.png").is_file() && out.join("circle/1.png").is_file());
    assert!(!out.join("circle/bad.png").exists());
    fails(&arguments, &["1 of 3 pictures"]);
}

#[test]
fn wrong_commands_write_nothing() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 1, 16);
    let inside = data.join("edges");
    let edges = ["prepare", "edges", text(&data), "--out"];
    fails(
        &[&edges[..], &[text(&inside)]].concat(),
        &["lie in one another"],
    );
    let out = folder.path().join("edges");
    let with = |more: &[&str], words: &[&str]| {
        fails(&[&edges[..], &[text(&out)], more].concat(), words);
    };
    with(&["--low", "9", "--high", "3"], &["thresholds 9 and 3"]);
    with(
        &["--method", "authors", "--low", "9"],
        &["--low belongs to --method canny"],
    );
    with(&["--weights", "x"], &["--weights belongs to --method hed"]);
    with(
        &["--method", "hed", "--weights", "nowhere.pth"],
        &["nowhere.pth"],
    );
    let lowres = [
        "prepare",
        "lowres",
        text(&data),
        "--out",
        text(&out),
        "--factor",
        "1",
    ];
    fails(&lowres, &["2 or more"]);
    let nowhere = folder.path().join("nowhere");
    fails(
        &["prepare", "edges", text(&nowhere), "--out", text(&out)],
        &["no such file or folder"],
    );
    assert!(!out.exists() && !inside.exists());
}

#[test]
fn less_resolution() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 1, 32);
    let out = folder.path().join("lowres");
    let base = [
        "prepare",
        "lowres",
        text(&data),
        "--factor",
        "4",
        "--out",
        text(&out),
    ];
    let size = || image::image_dimensions(out.join("circle/0.png")).unwrap();
    succeeds(&base);
    assert_eq!(size(), (32, 32));
    let small = ["--up", "none", "--down", "area", "--overwrite"];
    succeeds(&[&base[..], &small].concat());
    assert_eq!(size(), (8, 8));
}

#[test]
fn poses_from_key_points() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 2, 32);
    let mut keypoints = vec![0; 51];
    // Both shoulders.
    keypoints[15..21].copy_from_slice(&[8, 8, 2, 24, 8, 2]);
    let contents = serde_json::json!({
        "images": [
            {"id": 1, "file_name": "0.jpg", "width": 32, "height": 32},
            {"id": 2, "file_name": "1.jpg", "width": 32, "height": 32},
        ],
        "annotations": [{"image_id": 1, "keypoints": keypoints, "area": 100, "iscrowd": 0}],
    });
    let file = folder.path().join("people.json");
    fs::write(&file, contents.to_string()).unwrap();
    let out = folder.path().join("poses");
    succeeds(&[
        "prepare",
        "pose",
        text(&data),
        "--keypoints",
        text(&file),
        "--out",
        text(&out),
    ]);
    let color = |name: &str, x, y| {
        let image = image::open(out.join("circle").join(name))
            .unwrap()
            .into_rgb8();
        image.get_pixel(x, y).0
    };
    assert_ne!(color("0.png", 16, 8), [0; 3]);
    assert_eq!(color("0.png", 16, 16), [0; 3]);
    assert_eq!(color("1.png", 16, 8), [0; 3]);
}

#[test]
fn depth_in_every_form() {
    let folder = tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let data = place("depth");
    fs::create_dir(&data).unwrap();
    let map = image::GrayImage::from_fn(6, 4, |x, y| image::Luma([(10 + x * y) as u8]));
    map.save(data.join("a.png")).unwrap();
    let convert = |from: &Path, to: &str, out: &Path| {
        let report = json(&[
            "prepare",
            "depth",
            text(from),
            "--to",
            to,
            "--out",
            text(out),
        ]);
        assert_eq!(report["written"], 1);
    };
    let (tiff, packed, grey) = (place("tiff"), place("packed"), place("grey"));
    convert(&data, "tiff", &tiff);
    convert(&tiff, "packed", &packed);
    convert(&packed, "grey", &grey);
    assert!(tiff.join("a.tif").is_file());
    let back = image::open(grey.join("a.png")).unwrap().into_luma16();
    let values = back.as_raw().iter().copied();
    assert!(values.eq(map.as_raw().iter().map(|&byte| u16::from(byte))));

    let report = json(&["prepare", "depth", text(&packed)]);
    let seen = &report["maps"][0];
    assert_eq!(seen["width"], 6);
    assert_eq!(seen["height"], 4);
    assert_eq!(seen["smallest"], 10.0);
    assert_eq!(seen["largest"], 25.0);
    assert_eq!(seen["flat"], false);
    let said = succeeds(&["prepare", "depth", text(&tiff)]);
    assert!(said.contains("6×4, 10 to 25"), "{said}");
    fs::write(data.join("b.png"), "no depth").unwrap();
    fails(
        &["prepare", "depth", text(&data)],
        &["1 of 2 pictures", "b.png"],
    );
}
