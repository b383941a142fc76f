//! Reads classifiers as they are published: one file, the keys torchvision's or the port's own. What else it holds
//! (counters, torchvision's auxiliary classifier) is left out.

use super::super::classifier::Classifier;
use crate::checkpoint::{HostTensor, TensorMap};
use crate::error::{Error, Result};

/// What training programs and wrappers put before a classifier's own keys.
const PREFIXES: [&str; 3] = ["state_dict.", "model.", "module."];

/// The classifier that tensors belong to, by the name of its first one. The Inception-v3 of FID has eight classes more
/// than torchvision's.
pub(super) fn recognise(tensors: &TensorMap) -> Option<Classifier> {
    let named = |wanted: &str| {
        let mut tensors = tensors.iter();
        tensors.find_map(|(name, tensor)| (bare(name) == wanted).then_some(tensor))
    };
    if named("Conv2d_1a_3x3.conv.weight").is_some() {
        let classes = named("fc.weight").and_then(|weight| weight.shape.first().copied());
        return Some(match classes {
            Some(1008) => Classifier::Inception,
            _ => Classifier::InceptionTorchvision,
        });
    }
    named("_conv_stem.weight").map(|_| Classifier::EfficientNetLite0)
}

/// The tensors of a classifier, every one checked. `origin` is the file they are from.
///
/// # Errors
/// [`Error::Input`] with the name of a tensor that is missing, has another shape, or holds something else than finite
/// numbers.
pub(super) fn select(
    classifier: Classifier,
    origin: &str,
    tensors: TensorMap,
) -> Result<TensorMap> {
    let mut found: TensorMap = tensors
        .into_iter()
        .map(|(name, tensor)| (bare(&name).to_owned(), tensor))
        .collect();
    let mut selected = TensorMap::new();
    for (key, shape) in classifier.tensors() {
        let tensor = found.remove(&key).ok_or_else(|| {
            let label = classifier.label();
            Error::input(format!(
                "{origin}: tensor `{key}` is missing: an incomplete file, or not {label}"
            ))
        })?;
        check(classifier, &key, &tensor, &shape)
            .map_err(|message| Error::input(format!("{origin}: tensor `{key}` {message}")))?;
        selected.insert(key, tensor);
    }
    Ok(selected)
}

fn check(
    classifier: Classifier,
    key: &str,
    tensor: &HostTensor,
    shape: &[usize],
) -> std::result::Result<(), String> {
    if tensor.shape != shape {
        let label = classifier.label();
        return Err(format!(
            "has shape {:?}, but {label} needs {shape:?}",
            tensor.shape
        ));
    }
    let values = tensor
        .as_f32()
        .ok_or("should hold floats, but holds integers")?;
    if !values.iter().all(|value| value.is_finite()) {
        return Err("holds values that are not finite numbers".into());
    }
    if key.ends_with(".running_var") && values.iter().any(|&value| value < 0.0) {
        return Err("holds negative variances".into());
    }
    Ok(())
}

/// A key without what was put before it.
fn bare(name: &str) -> &str {
    let mut name = name;
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)) {
        name = rest;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A whole network, every value one.
    fn network_of(classifier: Classifier) -> TensorMap {
        let filled = |(key, shape): (String, Vec<usize>)| {
            let values = vec![1.0; shape.iter().product()];
            (key, HostTensor::f32(shape, values))
        };
        classifier.tensors().into_iter().map(filled).collect()
    }

    #[test]
    fn classifiers_are_told_apart_whatever_stands_before_their_keys() {
        for classifier in Classifier::ALL {
            let network = network_of(classifier);
            for prefix in ["", "module.", "state_dict.model."] {
                let mut file: TensorMap = network
                    .clone()
                    .into_iter()
                    .map(|(key, tensor)| (format!("{prefix}{key}"), tensor))
                    .collect();
                let counter = HostTensor::i64(Vec::new(), vec![7]);
                file.insert(
                    format!("{prefix}AuxLogits.conv0.bn.num_batches_tracked"),
                    counter,
                );
                assert_eq!(recognise(&file), Some(classifier), "with `{prefix}`");
                assert!(select(classifier, "file", file).unwrap() == network);
            }
        }
        let other = HostTensor::f32([1], vec![0.0]);
        let other = TensorMap::from([("features.0.weight".to_owned(), other)]);
        assert_eq!(recognise(&other), None);
    }

    #[test]
    fn broken_files_are_refused_by_the_tensor_that_is_wrong() {
        let network = network_of(Classifier::EfficientNetLite0);
        let refused = |key: &str, tensor: Option<HostTensor>| {
            let mut network = network.clone();
            match tensor {
                Some(tensor) => network.insert(key.to_owned(), tensor),
                None => network.remove(key),
            };
            let result = select(Classifier::EfficientNetLite0, "lite.pth", network);
            let text = result.unwrap_err().to_string();
            assert!(
                text.starts_with(&format!("lite.pth: tensor `{key}` ")),
                "{text}"
            );
            text
        };
        let text = refused("_fc.bias", None);
        assert!(text.contains("not EfficientNet-lite0"), "{text}");
        let text = refused("_fc.bias", Some(HostTensor::f32([3], vec![0.0; 3])));
        assert!(
            text.contains("has shape [3], but EfficientNet-lite0 needs [1000]"),
            "{text}"
        );
        let text = refused("_bn0.bias", Some(HostTensor::i64([32], vec![0; 32])));
        assert!(text.contains("holds integers"), "{text}");
        let text = refused("_bn0.bias", Some(HostTensor::f32([32], vec![f32::NAN; 32])));
        assert!(text.contains("not finite"), "{text}");
        let text = refused(
            "_bn0.running_var",
            Some(HostTensor::f32([32], vec![-1.0; 32])),
        );
        assert!(text.contains("negative variances"), "{text}");
    }
}
