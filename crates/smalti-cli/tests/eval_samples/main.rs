//! `smalti eval samples`: what is compared with what, and the samples of a model under its conditions.

#[path = "../common/mod.rs"]
mod common;
mod drawn;
mod own_features;
mod references;

use serde_json::Value;
use smalti::checkpoint::{HostTensor, TensorMap, write_plain_tensors};
use std::path::Path;

/// Pseudo-random numbers from -1 to 1 (splitmix64).
fn noise(index: u64) -> f32 {
    let mut bits = index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ (bits >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// `count` rows of 4 numbers, the first of which is moved by `shift`.
fn features(path: &Path, count: usize, seed: u64, shift: f32) {
    let value = |place: usize| {
        let moved = if place.is_multiple_of(4) { shift } else { 0.0 };
        noise(seed * 1_000_000 + place as u64 + 1) + moved
    };
    let values = (0..4 * count).map(value).collect();
    let tensors = TensorMap::from([("features".to_string(), HostTensor::f32([count, 4], values))]);
    write_plain_tensors(path, &tensors).unwrap();
}

#[track_caller]
fn distance_of(report: &Value) -> f64 {
    report["figures"]["frechet"]["distance"].as_f64().unwrap()
}

/// Whether one of the warnings has these words.
fn warns(report: &Value, words: &str) -> bool {
    let mut warnings = report["warnings"].as_array().unwrap().iter();
    warnings.any(|warning| warning.as_str().unwrap().contains(words))
}
