//! Fewer codes: pictures stay as they are, and the codes that are used get new numbers.

use crate::common::*;
use crate::{codes, one_picture};
use std::fs;
use tempfile::tempdir;

#[test]
fn used_codes_get_new_numbers() {
    let folder = tempdir().unwrap();
    let data = pictures(folder.path(), 2, 6, 16);
    let run = folder.path().join("run");
    train_tokenizer(&data, &run, "3", &[]);
    let fewer = folder.path().join("fewer.safetensors");
    let report = json(&[
        "remap",
        "--model",
        text(&run),
        "--data",
        text(&data),
        "--out",
        text(&fewer),
    ]);
    let used = report["codes"].as_u64().unwrap();
    assert!((1..=32).contains(&used), "{report}");
    assert_eq!(
        json(&["info", text(&fewer)])["tokenizer"]["used_codes"],
        used
    );
    // Pictures look as before, and their codes are below the new number of codes.
    let picture = one_picture(&data);
    let file = folder.path().join("codes.safetensors");
    codes(&fewer, &picture, &file);
    let (tensors, _) = smalti::checkpoint::read_tensors(&file).unwrap();
    let numbers = tensors["codes"].as_i64().unwrap();
    assert!(numbers.iter().all(|&number| (number as u64) < used));
    let [before, after] = [&run, &fewer].map(|model| {
        let out = folder.path().join("reconstructed");
        let _ = fs::remove_dir_all(&out);
        succeeds(&[
            "reconstruct",
            "--model",
            text(model),
            &picture,
            "--out",
            text(&out),
        ]);
        fs::read(out.join("grid.png")).unwrap()
    });
    assert!(before == after);
    let prior = folder.path().join("prior");
    train_prior(&data, &fewer, &prior, "2", &[]);
    assert_eq!(
        json(&["info", text(&prior)])["prior"]["vocabulary_size"],
        used
    );
    let other = run.join("x");
    let again = [
        "remap",
        "--model",
        text(&fewer),
        "--data",
        text(&data),
        "--out",
        text(&other),
    ];
    fails(&again, &["own numbers"]);
}
