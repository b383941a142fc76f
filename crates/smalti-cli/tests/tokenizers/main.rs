//! Tokenizers of every kind through the command line: quantisers, presets, label maps, depth, starting from a model, and
//! their figures.

mod beginning;
#[path = "../common/mod.rs"]
mod common;
mod figures;
mod maps;
mod presets;
mod quantizers;
mod remap;

use common::*;
use std::fs;
use std::path::Path;
use tempfile::tempdir;

/// A picture of `data`.
fn one_picture(data: &Path) -> String {
    let class = fs::read_dir(data).unwrap().next().unwrap().unwrap().path();
    let picture = fs::read_dir(class).unwrap().next().unwrap().unwrap().path();
    text(&picture).to_string()
}

fn codes(model: &Path, picture: &str, out: &Path) -> Vec<u8> {
    succeeds(&[
        "encode",
        "--model",
        text(model),
        picture,
        "--out",
        text(out),
    ]);
    fs::read(out).unwrap()
}

/// Picture to codes to picture is the same as straight through.
#[track_caller]
fn codes_are_the_picture(run: &Path, picture: &str) {
    let folder = tempdir().unwrap();
    let [straight, decoded] = ["straight", "decoded"].map(|name| folder.path().join(name));
    succeeds(&[
        "reconstruct",
        "--model",
        text(run),
        picture,
        "--out",
        text(&straight),
    ]);
    let file = folder.path().join("codes.safetensors");
    codes(run, picture, &file);
    succeeds(&[
        "decode",
        "--model",
        text(run),
        text(&file),
        "--out",
        text(&decoded),
    ]);
    let first = |folder: &Path| {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        names.retain(|path| !path.ends_with("grid.png"));
        fs::read(&names[0]).unwrap()
    };
    assert!(first(&straight) == first(&decoded), "{}", run.display());
}
