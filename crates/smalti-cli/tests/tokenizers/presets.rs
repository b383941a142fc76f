//! Presets: those of other tokenizers, and how they are named and combined.

use crate::common::*;
use crate::{codes_are_the_picture, one_picture};
use tempfile::tempdir;

/// Those of the tokenizers that the paper compares with: no other network is loaded, and a prior learns their codes.
#[test]
fn tokenizers_to_compare_with_train_and_have_priors() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 6, 16);
    let picture = one_picture(&data);
    let colours = ["--set", "channel_multipliers=[1]", "--set", "kmeans_step=2"];
    let presets: [(&str, &[&str], [u64; 2], u64); 4] = [
        ("vqvae", &[], [4, 4], 32),
        ("dvae", &[], [4, 4], 32),
        ("vqvae2", &[], [4, 20], 64),
        ("colours", &colours, [16, 16], 32),
    ];
    for (preset, more, [rows, columns], vocabulary) in presets {
        let [run, prior, out] =
            ["run", "prior", "out"].map(|name| folder.path().join(format!("{preset}-{name}")));
        train_tokenizer(
            &data,
            &run,
            "12",
            &[&["--preset", preset][..], more].concat(),
        );
        codes_are_the_picture(&run, &picture);
        let report = json(&[
            "eval",
            "reconstruction",
            "--model",
            text(&run),
            "--data",
            text(&data),
            "--size",
            "16",
            "--perceptual",
            "none",
        ]);
        let codes = report["figures"]["codes"].as_u64().unwrap();
        assert_eq!(codes, 12 * rows * columns, "{preset}");
        train_prior(&data, &run, &prior, "2", &[]);
        let report = &json(&["info", text(&prior)])["prior"];
        assert_eq!(report["rows"], rows, "{preset}");
        assert_eq!(report["columns"], columns, "{preset}");
        assert_eq!(report["vocabulary_size"], vocabulary, "{preset}");
        succeeds(&[
            "sample",
            "--model",
            text(&prior),
            "-n",
            "1",
            "--out",
            text(&out),
        ]);
        let sides = image::image_dimensions(out.join("000000.png")).unwrap();
        assert_eq!(sides, (16, 16), "{preset}");
    }
}

#[test]
fn presets_are_named_and_laid_over_each_other() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 1, 4, 32);
    let run = folder.path().join("run");
    succeeds(&[
        "train",
        "tokenizer",
        "--data",
        text(&data),
        "--out",
        text(&run),
        "--preset",
        "simvq,tiny,f8",
        "--steps",
        "1",
        "--set",
        "size=32",
        "--set",
        "batch=2",
        "--set",
        "perceptual=none",
    ]);
    let tokenizer = &json(&["info", text(&run)])["tokenizer"];
    assert_eq!(tokenizer["quantizer"], "simvq");
    assert_eq!(tokenizer["channels"], 32);
    assert_eq!(
        tokenizer["channel_multipliers"].as_array().unwrap().len(),
        4
    );
    // Attention levels are counted from the size of the training pictures.
    assert_eq!(tokenizer["resolution"], 32);
    let wrong = [
        "train",
        "tokenizer",
        "--data",
        text(&data),
        "--preset",
        "robst",
    ];
    fails(&wrong, &["robst", "classic", "robust", "f16"]);
}
