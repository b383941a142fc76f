//! What the golden tests share: where the files are, and how they are compared. The goldens were made with the authors'
//! own code; the small ones are carried along, the others are looked for in the folder that SMALTI_SHARED names, or in
//! `shared` beside this repository.

#![allow(dead_code)]

use burn::tensor::{Device, Int, Shape, Tensor, TensorData};
use smalti::checkpoint::{HostTensor, TensorMap, foreign};
use std::io::Write;
use std::path::{Path, PathBuf};

pub fn device() -> Device {
    Device::flex()
}

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file of a golden folder, or `None` after saying aloud that the test is skipped.
pub fn golden(path: &str) -> Option<PathBuf> {
    let carried = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(path);
    let shared = std::env::var_os("SMALTI_SHARED")
        .map_or_else(|| repository().join("../shared"), PathBuf::from);
    found(&[carried, shared.join("golden").join(path)], path)
}

/// The weights of a network as `scripts/fetch-assets` prepares them.
pub fn perceptual_weights(name: &str) -> Option<TensorMap> {
    let file = format!("{name}.safetensors");
    let asset = repository().join("assets/weights").join(&file);
    let cached = smalti::weights::cache::cached(name).unwrap_or_default();
    let path = found(
        &[asset, cached],
        &format!("{file} (scripts/fetch-assets weights hed)"),
    )?;
    Some(foreign::read(&path).unwrap().tensors)
}

/// The weights of the text encoder as `scripts/fetch-assets` prepares it, with its tokenizer beside them.
pub fn text_encoder() -> Option<PathBuf> {
    let weights = repository().join("assets/weights/text/l2_supercat_256.safetensors");
    found(&[weights], "the text encoder (scripts/fetch-assets text)")
}

/// Weights as their package has them; `hint` is the command that unpacks it.
pub fn unpacked_weights(file: &str, hint: &str) -> Option<PathBuf> {
    let asset = repository().join("assets/weights/raw").join(file);
    found(&[asset], &format!("{file} ({hint})"))
}

fn found(places: &[PathBuf], what: &str) -> Option<PathBuf> {
    let place = places.iter().find(|place| place.is_file()).cloned();
    if place.is_none() {
        assert!(
            std::env::var_os("SMALTI_NO_SKIPS").is_none(),
            "{what} is not here"
        );
        // Not through `eprintln!`, which the test harness swallows.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {what} is not here");
    }
    place
}

pub fn read(path: &Path) -> TensorMap {
    foreign::read(path).unwrap().tensors
}

/// A picture `[b, c, h, w]` of a golden file as `[b, h, w, c]`.
pub fn picture(tensor: &HostTensor, device: &Device) -> Tensor<4> {
    floats::<4>(tensor, device).permute([0, 2, 3, 1])
}

pub fn floats<const D: usize>(tensor: &HostTensor, device: &Device) -> Tensor<D> {
    let shape: [usize; D] = tensor.shape.clone().try_into().unwrap();
    let data = TensorData::new(tensor.as_f32().unwrap().to_vec(), Shape::from(shape));
    Tensor::from_data(data, device)
}

pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data_as::<f32>().try_into_vec().unwrap()
}

pub fn codes<const D: usize>(tensor: Tensor<D, Int>) -> Vec<i64> {
    tensor.into_data_as::<i64>().try_into_vec().unwrap()
}

/// The largest difference of two lists of one length.
pub fn difference(left: &[f32], right: &[f32]) -> f32 {
    assert_eq!(left.len(), right.len());
    left.iter()
        .zip(right)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

#[track_caller]
pub fn assert_near(what: &str, ours: &[f32], theirs: &[f32], tolerance: f32) {
    let worst = difference(ours, theirs);
    println!("{what}: off by {worst:.1e}, allowed {tolerance:.1e}");
    assert!(
        worst <= tolerance,
        "{what}: off by {worst:e}, more than {tolerance:e}"
    );
}
