//! Conditions through the command line: layouts from annotations, files of other sizes, and what does not fit.

mod common;

use common::*;
use image::{GrayImage, Luma};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tempfile::tempdir;

fn image(id: usize) -> Value {
    json!({"id": id, "file_name": format!("{id}.png"), "width": 16, "height": 16})
}

/// An object of each of the two categories.
fn objects(id: usize) -> [Value; 2] {
    [1, 2].map(|category| {
        let area = [id, 8 * (category - 1), 4, 8];
        json!({"image_id": id, "category_id": category, "bbox": area})
    })
}

/// Annotations of all circles in COCO's form: two objects in each picture, in places of its own.
fn annotations(file: &Path, count: usize) {
    let contents = json!({
        "images": (0..count).map(image).collect::<Vec<_>>(),
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "tree"}],
        "annotations": (0..count).flat_map(objects).collect::<Vec<_>>(),
    });
    std::fs::write(file, contents.to_string()).unwrap();
}

/// Label maps of three classes for all circles; `width` says how wide that of each is.
fn label_maps(folder: &Path, count: u64, width: impl Fn(u64) -> u32) {
    std::fs::create_dir_all(folder).unwrap();
    for index in 0..count {
        let map = GrayImage::from_fn(width(index), 16, |x, y| {
            Luma([((x / 5 + y / (3 + index as u32)) % 3) as u8])
        });
        map.save(folder.join(format!("{index}.png"))).unwrap();
    }
}

#[test]
fn layouts_come_from_the_annotations_of_the_training() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 6, 16).join("circle");
    let place = |name: &str| folder.path().join(name);
    let (tokenizer, prior) = (place("tokenizer"), place("prior"));
    let folder_of_objects = place("objects");
    std::fs::create_dir(&folder_of_objects).unwrap();
    let file = folder_of_objects.join("stuff.json");
    annotations(&file, 6);
    train_tokenizer(&data, &tokenizer, "2", &[]);
    let more = [
        "--condition",
        "layout",
        "--condition-data",
        text(&folder_of_objects),
        "--set",
        "layout_objects=2",
    ];
    train_prior(&data, &tokenizer, &prior, "2", &more);
    let draw = |condition: &Path, name: &str, more: &[&str]| {
        let out = place(name);
        let base = [
            "sample",
            "--model",
            text(&prior),
            "--condition",
            text(condition),
            "--out",
            text(&out),
        ];
        let report = json(&[&base[..], more].concat());
        let shown = std::fs::read(out.join("grid.png")).unwrap();
        (report["count"].as_u64().unwrap(), shown)
    };
    let (count, of_folder) = draw(&folder_of_objects, "of-folder", &["-n", "5"]);
    assert_eq!(count, 5);
    assert_eq!(draw(&file, "of-file", &["-n", "5"]).1, of_folder);
    let other = draw(&file, "other", &["-n", "5", "--seed", "1"]).1;
    assert_ne!(other, of_folder);
    // Annotations have no end to them, as a folder has none.
    assert_eq!(draw(&file, "default", &[]).0, 16);
    // The layout of one picture is what it was.
    let layout = place("layout.json");
    std::fs::write(
        &layout,
        r#"{"objects": [{"category": "tree", "box": [0, 0, 0.5, 1]}]}"#,
    )
    .unwrap();
    assert_eq!(draw(&layout, "layout", &[]).0, 1);
    let unknown = place("unknown.json");
    let renamed = std::fs::read_to_string(&file)
        .unwrap()
        .replace("tree", "cat");
    std::fs::write(&unknown, renamed).unwrap();
    let base = ["sample", "--model", text(&prior), "--out", "x"];
    fails(
        &[&base[..], &["--condition", text(&unknown)]].concat(),
        &["unknown.json", "no category \"cat\"", "dog, tree"],
    );
}

#[test]
fn conditions_that_do_not_fit_are_said_or_refused() {
    let folder = tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let (maps, wide, one) = (place("maps"), place("wide"), place("one"));
    label_maps(&maps, 6, |_| 16);
    label_maps(&wide, 6, |index| if index < 4 { 32 } else { 16 });
    label_maps(&one, 6, |index| if index < 1 { 32 } else { 16 });
    let prior = trained_on_maps(folder.path(), [&maps, &wide, &one]);
    check_fitting(&prior, folder.path(), &maps, &wide);

    // A label that the model does not have.
    let label = place("label.png");
    GrayImage::from_pixel(16, 16, Luma([200]))
        .save(&label)
        .unwrap();
    let base = [
        "sample",
        "--model",
        text(&prior),
        "--out",
        "x",
        "--condition",
    ];
    fails(
        &[&base[..], &[text(&label)]].concat(),
        &["label.png", "label 200", "model's 3 classes"],
    );
}

/// A prior under label maps, after trainings in which many of them are `wide`, or just one.
fn trained_on_maps(folder: &Path, [maps, wide, one]: [&Path; 3]) -> PathBuf {
    let data = pictures(folder, 1, 6, 16).join("circle");
    let place = |name: &str| folder.join(name);
    let (tokenizer, labels, prior) = (place("tokenizer"), place("labels"), place("prior"));
    train_tokenizer(&data, &tokenizer, "2", &[]);
    train_tokenizer(maps, &labels, "2", &OF_LABELS);
    let conditioned = [
        "--condition",
        "segmentation",
        "--condition-tokenizer",
        text(&labels),
        "--condition-data",
    ];
    // Four of six maps are too wide: quietly or not, that is not the training that was asked for.
    let refused = place("refused");
    let base = [
        "--quiet",
        "train",
        "prior",
        "--data",
        text(&data),
        "--steps",
        "2",
    ];
    let more = ["--tokenizer", text(&tokenizer), "--out", text(&refused)];
    fails(
        &[&base[..], &more, &conditioned, &[text(wide)]].concat(),
        &["more than half of", "32×16", ".png", "proportions"],
    );
    // A single one is skipped.
    let with = |maps: &Path, out: &Path| {
        let more = [&conditioned[..], &[text(maps)]].concat();
        train_prior(&data, &tokenizer, out, "2", &more);
    };
    with(one, &place("one-run"));
    with(maps, &prior);
    prior
}

/// Conditions of the prior's size are used in silence, others with a warning.
fn check_fitting(prior: &Path, folder: &Path, maps: &Path, wide: &Path) {
    let sample = |condition: &Path, name: &str| {
        let out = folder.join(name);
        let arguments = [
            "sample",
            "--model",
            text(prior),
            "--condition",
            text(condition),
            "--out",
            text(&out),
        ];
        let output = smalti(&arguments);
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let errors = sample(maps, "fits");
    assert!(!errors.contains("--condition"), "{errors}");
    let errors = sample(wide, "wide-samples");
    assert!(
        errors.contains("32×16 to 16×16") && errors.contains("middle"),
        "{errors}"
    );
    assert_eq!(errors.matches("--condition").count(), 1, "{errors}");
    let large = folder.join("large.png");
    GrayImage::new(32, 32).save(&large).unwrap();
    let errors = sample(&large, "large-samples");
    assert!(
        errors.contains("scaled") && errors.contains("32×32 to 16×16"),
        "{errors}"
    );
}

#[test]
fn a_class_prior_says_what_it_is_conditioned_on() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 4, 16);
    let place = |name: &str| folder.path().join(name);
    let (tokenizer, prior) = (place("tokenizer"), place("prior"));
    train_tokenizer(&data, &tokenizer, "2", &[]);
    train_prior(&data, &tokenizer, &prior, "2", &["--condition", "class"]);
    let base = ["sample", "--model", text(&prior), "--out", "x"];
    let picture = data.join("circle/0.png");
    fails(
        &[&base[..], &["--condition", text(&picture)]].concat(),
        &["a picture is given", "this prior is class", "--class"],
    );
    fails(
        &[&base[..], &["--text", "a circle"]].concat(),
        &["a text is given", "--class"],
    );
    let both = ["--class", "0", "--text", "a circle"];
    fails(&[&base[..], &both].concat(), &["give only one of"]);
    let output = smalti(&[&base[..], &["--size", "100000x100000"]].concat());
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        errors.contains("too large") && errors.contains("65536"),
        "{errors}"
    );
    let out = place("samples");
    let one = [
        "sample",
        "--model",
        text(&prior),
        "--out",
        text(&out),
        "-n",
        "1",
    ];
    assert!(succeeds(&one).starts_with("1 picture, "));
}
