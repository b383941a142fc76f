//! A published checkpoint without its file: its tensors' names, shapes and types come from NAME.json, their values from
//! a formula, what the family's own network makes of them from NAME.safetensors. `generator.py` has the same formula
//! and says what it is; `make.py` made the files.

use super::common::{assert_near, codes, device, picture, read, values};
use serde_json::Value;
use smalti::checkpoint::{HostTensor, TensorMap, write_plain_tensors, write_torch};
use smalti::model::{Imported, import};
use std::path::{Path, PathBuf};

/// Whether the configuration that belongs to a checkpoint lies beside it.
#[derive(Clone, Copy, PartialEq)]
pub enum Configured {
    Yes,
    No,
}

/// Writes the checkpoint NAME at its full size, imports it as a stranger would, and compares what it does with what the
/// family's network did.
pub fn check(name: &str) -> Imported {
    let imported = import_generated(name, Configured::Yes);
    compare(&imported, &fixture(&format!("{name}.safetensors")));
    imported
}

/// Compares what a model does with what the family's network did.
pub fn compare(imported: &Imported, expected: &Path) {
    let name = expected.display();
    let tokenizer = &imported.model.tokenizer;
    let expected = read(expected);
    let pixels = picture(&expected["input"], &device());
    if let Some(vectors) = expected.get("vectors") {
        let ours = tokenizer.vectors(pixels.clone()).permute([0, 3, 1, 2]);
        assert_near("vectors", &values(ours), vectors.as_f32().unwrap(), 1e-4);
    }
    let quantized = tokenizer.encode(pixels).codes;
    let (ours, theirs) = (
        codes(quantized.clone()),
        expected["indices"].as_i64().unwrap(),
    );
    let same = ours.iter().zip(theirs).filter(|(a, b)| a == b).count();
    assert_eq!(
        ours,
        theirs,
        "{name}: {same} of {} codes are the same",
        ours.len()
    );
    let ours = tokenizer.decode_codes(quantized).permute([0, 3, 1, 2]);
    let theirs = expected["reconstruction"].as_f32().unwrap();
    assert_near("reconstruction", &values(ours), theirs, 1e-4);
}

/// Writes the checkpoint NAME into a folder and imports that.
pub fn import_generated(name: &str, configured: Configured) -> Imported {
    let folder = tempfile::tempdir().unwrap();
    let description = Description::read(name);
    description.write(folder.path(), configured);
    import(folder.path(), None, None, &device()).unwrap()
}

fn fixture(name: &str) -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.join("tests/foreign").join(name)
}

/// What NAME.json tells of a published checkpoint.
struct Description {
    /// Keys, shapes and types.
    tensors: Vec<(String, Vec<usize>, String)>,
    /// The entry under which the file has the tensors; safetensors files have none.
    wrapper: String,
    /// The name and the contents of the configuration that belongs to it.
    config: Option<(String, Value)>,
    /// Factors for tensors whose key contains a text, in order.
    scale: Vec<(String, f64)>,
    /// Of a checkpoint in several files, what begins the keys of each, which stay without it, and its name.
    files: Vec<(String, String)>,
}

impl Description {
    fn read(name: &str) -> Self {
        let text = std::fs::read_to_string(fixture(&format!("{name}.json"))).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        let config = Some(&json["config"]).filter(|config| !config.is_null());
        let scale = json["scale"].as_object().into_iter().flatten();
        let files = json["files"].as_object().into_iter().flatten();
        Self {
            tensors: serde_json::from_value(json["tensors"].clone()).unwrap(),
            wrapper: json["wrapper"].as_str().unwrap().to_string(),
            config: config.map(|config| {
                let file = config["file"].as_str().unwrap().to_string();
                (file, config["content"].clone())
            }),
            scale: scale
                .map(|(part, factor)| (part.clone(), factor.as_f64().unwrap()))
                .collect(),
            files: files
                .map(|(prefix, file)| (prefix.clone(), file.as_str().unwrap().to_string()))
                .collect(),
        }
    }

    fn write(&self, folder: &Path, configured: Configured) {
        let tensors: TensorMap = self
            .tensors
            .iter()
            .map(|(key, shape, dtype)| (key.clone(), self.tensor(key, shape, dtype)))
            .collect();
        if !self.files.is_empty() {
            for (prefix, file) in &self.files {
                let below = |(key, tensor): (&String, &HostTensor)| {
                    Some((key.strip_prefix(prefix)?.to_string(), tensor.clone()))
                };
                let half: TensorMap = tensors.iter().filter_map(below).collect();
                write_torch(&folder.join(file), "state_dict", &half, &[]).unwrap();
            }
        } else if self.wrapper.is_empty() {
            let file = folder.join("diffusion_pytorch_model.safetensors");
            write_plain_tensors(&file, &tensors).unwrap();
        } else {
            let file = folder.join("model.ckpt");
            write_torch(&file, &self.wrapper, &tensors, &[]).unwrap();
        }
        if let Some((file, content)) = &self.config
            && configured == Configured::Yes
        {
            // What is JSON is YAML too.
            std::fs::write(folder.join(file), content.to_string()).unwrap();
        }
    }

    fn tensor(&self, key: &str, shape: &[usize], dtype: &str) -> HostTensor {
        if dtype != "float32" {
            assert!(dtype.starts_with("int"), "{key}: no {dtype} is generated");
            return HostTensor::i64(shape, vec![0; shape.iter().product()]);
        }
        let factors: Vec<f64> = self
            .scale
            .iter()
            .filter(|(part, _)| key.contains(part))
            .map(|(_, factor)| *factor)
            .collect();
        HostTensor::f32(shape, generate(key, shape, &factors))
    }
}

/// The values of a tensor.
pub fn generate(key: &str, shape: &[usize], factors: &[f64]) -> Vec<f32> {
    let Some(inner) = shape.get(1..) else {
        return vec![0.0];
    };
    let spread = (3.0 / inner.iter().product::<usize>() as f64).sqrt();
    let start = fnv1a64(key);
    let value = |index: usize| {
        let uniform = uniform(start, index as u64);
        let value = if shape.len() > 1 {
            uniform * spread
        } else if key.ends_with(".weight") {
            1.0 + 0.1 * uniform
        } else {
            0.1 * uniform
        };
        factors.iter().fold(value, |value, factor| value * factor) as f32
    };
    let count: usize = shape.iter().product();
    (0..count).map(value).collect()
}

fn fnv1a64(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

/// Value `index` of the stream that begins at `start`, in [-1, 1).
fn uniform(start: u64, index: u64) -> f64 {
    let z = start.wrapping_add(index.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    let z = z ^ (z >> 31);
    2.0 * ((z >> 40) as f64 / f64::from(1 << 24)) - 1.0
}
