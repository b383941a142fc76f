//! A trained classifier on disk: a safetensors file of `weight` `[classes, d]` and `bias` `[classes]`, and as metadata
//! all that is needed to use it and to know what it is worth.

use super::head::LinearHead;
use crate::checkpoint::{HostTensor, TensorMap, read_tensors, write_tensors};
use crate::error::{Error, Result};
use crate::metrics::FeatureNetwork;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The version of the file's layout. Readers refuse newer ones.
const FORMAT: u64 = 1;

/// The longest description that is read, in bytes.
const MAX_TEXT: usize = 4 << 20;

/// What a trained classifier is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassifierInfo {
    /// The names of the classes in order.
    pub classes: Vec<String>,
    /// The network whose features it reads, by its name in the catalogue of weights.
    pub network: String,
    /// SHA-256 of the network's weights, hexadecimal.
    pub checksum: String,
    /// What is done to pictures before the network sees them.
    pub preprocessing: String,
    /// Pictures were brought to middle squares of so many pixels a side before that; 0: middle squares as large as they
    /// were.
    pub size: usize,
    /// The penalty of the weights of standardised features.
    pub penalty: f64,
    /// Where the pictures were.
    pub data: String,
    /// How many pictures it learned from.
    pub pictures: usize,
    /// How many it did not see.
    pub held_back: usize,
    /// Of those, the part whose class it says.
    pub accuracy: Option<f64>,
}

/// A classifier without its network.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainedHead {
    pub head: LinearHead,
    pub info: ClassifierInfo,
}

impl TrainedHead {
    /// Writes the file atomically.
    ///
    /// # Errors
    /// Names that are none, or whatever the operating system says.
    pub fn save(&self, path: &Path) -> Result<()> {
        let check = self.info.check(&self.head);
        check.map_err(|message| Error::file(path, message))?;
        let (classes, dimensions) = (self.head.classes(), self.head.dimensions());
        let weight = HostTensor::f32([classes, dimensions], self.head.weight().to_vec());
        let bias = HostTensor::f32([classes], self.head.bias().to_vec());
        let tensors = TensorMap::from([("bias".into(), bias), ("weight".into(), weight)]);
        let text = serde_json::to_string(&self.info).map_err(|error| {
            Error::file(path, format!("its description cannot be written: {error}"))
        })?;
        let metadata = BTreeMap::from([
            ("format".to_string(), FORMAT.to_string()),
            ("classifier".to_string(), text),
        ]);
        write_tensors(path, &tensors, &metadata)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// A file that cannot be read, is damaged, or holds something else.
    pub fn load(path: &Path) -> Result<Self> {
        let (tensors, metadata) = read_tensors(path)?;
        let broken = |message: String| Error::file(path, message);
        let Some(text) = metadata.get("classifier") else {
            return Err(broken(
                "this is no classifier: `smalti train classifier` makes one of pictures in folders"
                    .into(),
            ));
        };
        check_format(metadata.get("format")).map_err(broken)?;
        if text.len() > MAX_TEXT {
            return Err(broken(format!(
                "its description has {} bytes; the most is {MAX_TEXT}",
                text.len()
            )));
        }
        let info: ClassifierInfo = serde_json::from_str(text)
            .map_err(|error| broken(format!("its description cannot be read: {error}")))?;
        let head = head_of(tensors).map_err(broken)?;
        info.check(&head).map_err(broken)?;
        Ok(Self { head, info })
    }
}

fn check_format(format: Option<&String>) -> std::result::Result<(), String> {
    match format.and_then(|text| text.parse::<u64>().ok()) {
        Some(format) if format <= FORMAT => Ok(()),
        Some(format) => Err(format!(
            "written in format {format}; this version reads up to {FORMAT}: update smalti"
        )),
        None => Err("its format version is missing".into()),
    }
}

fn head_of(mut tensors: TensorMap) -> std::result::Result<LinearHead, String> {
    let mut take = |name: &str,
                    axes: usize|
     -> std::result::Result<(Vec<usize>, Vec<f32>), String> {
        let tensor = tensors
            .remove(name)
            .ok_or_else(|| format!("its tensor `{name}` is missing"))?;
        match tensor.as_f32() {
            Some(values) if tensor.shape.len() == axes => {
                Ok((tensor.shape.clone(), values.to_vec()))
            }
            _ => Err(format!(
                "its tensor `{name}` must be of floats and have {axes} axes, but its shape is {:?}",
                tensor.shape
            )),
        }
    };
    let (shape, weight) = take("weight", 2)?;
    let (_, bias) = take("bias", 1)?;
    if shape[0] != bias.len() {
        return Err(format!(
            "it has weights of {} classes and biases of {}",
            shape[0],
            bias.len()
        ));
    }
    LinearHead::new(weight, bias, shape[1]).map_err(|error| error.to_string())
}

impl ClassifierInfo {
    /// Whether it can be the description of a head.
    fn check(&self, head: &LinearHead) -> std::result::Result<(), String> {
        if self.classes.len() != head.classes() {
            return Err(format!(
                "it names {} classes and has weights of {}",
                self.classes.len(),
                head.classes()
            ));
        }
        let mut seen = BTreeSet::new();
        for name in &self.classes {
            if name.is_empty() || name.chars().any(char::is_control) {
                return Err(format!("{name:?} is no name of a class"));
            }
            if !seen.insert(name) {
                return Err(format!("it names two classes {name:?}"));
            }
        }
        Ok(())
    }

    /// Whether `network` is the one whose features the classifier reads, and prepares pictures as it did.
    ///
    /// # Errors
    /// [`Error::Input`] that names the first thing that is different.
    pub fn check_network(&self, network: &FeatureNetwork) -> Result<()> {
        let preprocessing = network.preprocessing().to_string();
        let settings = [
            ("network", &*self.network, network.name()),
            ("checksum", &*self.checksum, network.checksum()),
            ("preprocessing", &*self.preprocessing, &*preprocessing),
        ];
        match settings.into_iter().find(|(_, own, given)| own != given) {
            Some((what, own, given)) => Err(Error::input(format!(
                "the classifier was trained with the {what} {own:?}, not {given:?}: give it the network it was trained \
                 with, or train it anew"
            ))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn trained() -> TrainedHead {
        TrainedHead {
            head: LinearHead::new(vec![0.5, -1.0, 2.0, 0.0, 1.5, 3.0], vec![0.1, -0.2], 3).unwrap(),
            info: ClassifierInfo {
                classes: vec!["cats".into(), "Ærø \"dogs\"".into()],
                network: "efficientnet-lite0".into(),
                checksum: "00ff".into(),
                preprocessing: "bilinear".into(),
                size: 64,
                penalty: 0.01,
                data: "photos".into(),
                pictures: 90,
                held_back: 10,
                accuracy: Some(0.9),
            },
        }
    }

    #[test]
    fn there_and_back() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("classifier.safetensors");
        trained().save(&path).unwrap();
        assert_eq!(TrainedHead::load(&path).unwrap(), trained());
        let bytes = std::fs::read(&path).unwrap();
        trained().save(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn damaged_files_end_in_an_error_or_a_classifier() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("classifier.safetensors");
        trained().save(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for length in 0..bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(TrainedHead::load(&path).is_err(), "{length} bytes");
        }
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 0x15;
            std::fs::write(&path, &changed).unwrap();
            if let Ok(read) = TrainedHead::load(&path) {
                assert!(read.head.weight().iter().all(|value| value.is_finite()));
                assert_eq!(read.info.classes.len(), 2);
            }
        }
    }

    /// A file with these tensors and this description, which must be refused for a reason.
    #[track_caller]
    fn refused(tensors: &[(&str, HostTensor)], text: &str, format: &str, reason: &str) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("classifier.safetensors");
        let tensors = tensors.iter().cloned();
        let tensors = tensors.map(|(name, tensor)| (name.to_string(), tensor));
        let metadata = BTreeMap::from([
            ("format".to_string(), format.to_string()),
            ("classifier".to_string(), text.to_string()),
        ]);
        write_tensors(&path, &tensors.collect(), &metadata).unwrap();
        let error = TrainedHead::load(&path).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        assert!(error.contains("classifier.safetensors"), "{error}");
    }

    #[test]
    fn other_files_are_refused() {
        let weight = |shape: [usize; 2]| {
            (
                "weight",
                HostTensor::f32(shape, vec![1.0; shape[0] * shape[1]]),
            )
        };
        let bias = |count: usize| ("bias", HostTensor::f32([count], vec![0.0; count]));
        let text = serde_json::to_string(&trained().info).unwrap();
        let good = [weight([2, 3]), bias(2)];
        refused(&[bias(2)], &text, "1", "`weight` is missing");
        refused(&[weight([2, 3])], &text, "1", "`bias` is missing");
        refused(
            &[weight([3, 3]), bias(2)],
            &text,
            "1",
            "3 classes and biases of 2",
        );
        refused(&[weight([3, 3]), bias(3)], &text, "1", "names 2 classes");
        refused(&[weight([2, 0]), bias(2)], &text, "1", "no classifier");
        let nan = ("bias", HostTensor::f32([2], vec![0.0, f32::NAN]));
        refused(&[weight([2, 3]), nan], &text, "1", "not finite");
        let whole = ("bias", HostTensor::i64([2], vec![0, 1]));
        refused(&[weight([2, 3]), whole], &text, "1", "must be of floats");
        let flat = ("weight", HostTensor::f32([6], vec![0.0; 6]));
        refused(&[flat, bias(2)], &text, "1", "2 axes");
        refused(&good, "{}", "1", "description cannot be read");
        refused(&good, &text, "2", "format 2");
        refused(&good, &text, "one", "format version is missing");
        refused(&good, &" ".repeat(MAX_TEXT + 1), "1", "the most is");
        let named = |from: &str, to: &str| text.replace(from, to);
        refused(&good, &named("cats", ""), "1", "no name of a class");
        refused(
            &good,
            &named("cats", "\\u001b[2J"),
            "1",
            "no name of a class",
        );
        let twice = named("\"cats\"", "\"Ærø \\\"dogs\\\"\"");
        refused(&good, &twice, "1", "names two classes");
    }

    #[test]
    fn other_tensors_are_no_classifier() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("model.safetensors");
        let tensors = TensorMap::from([("a".to_string(), HostTensor::f32([1], vec![0.0]))]);
        write_tensors(&path, &tensors, &BTreeMap::new()).unwrap();
        let error = TrainedHead::load(&path).unwrap_err().to_string();
        assert!(error.contains("smalti train classifier"), "{error}");
    }
}
