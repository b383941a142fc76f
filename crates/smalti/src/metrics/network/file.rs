//! Features from elsewhere: a file with a row of numbers for every picture, made by any network.

use crate::checkpoint::{HostTensor, NPY_MAGIC, Values, foreign, read_npy};
use crate::error::{Error, Result};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The features of pictures.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// Numbers per picture.
    pub dimension: usize,
    /// Picture after picture; finite.
    pub values: Vec<f32>,
}

impl Features {
    /// How many pictures these are the features of.
    pub fn count(&self) -> usize {
        self.values.len() / self.dimension.max(1)
    }
}

/// Reads features `[n, d]` from an array of `numpy.save`, or from a file of tensors (safetensors, `torch.save`) that
/// has one tensor, or one named `features`.
///
/// # Errors
/// What reading says; [`Error::File`] when there is no such tensor, when its shape is another, or when something in
/// it is not a finite number, with the number of the picture.
pub fn read_features(path: &Path) -> Result<Features> {
    let tensor = match is_npy(path)? {
        true => read_npy(path)?,
        false => only_tensor(path)?,
    };
    check(tensor).map_err(|message| Error::file(path, message))
}

fn is_npy(path: &Path) -> Result<bool> {
    let mut head = Vec::new();
    File::open(path)
        .and_then(|file| file.take(NPY_MAGIC.len() as u64).read_to_end(&mut head))
        .map_err(|source| Error::io(path, source))?;
    Ok(head == NPY_MAGIC)
}

/// The tensor called `features`, or the only one.
fn only_tensor(path: &Path) -> Result<HostTensor> {
    let mut tensors = foreign::read(path)?.tensors;
    if let Some(tensor) = tensors.remove("features") {
        return Ok(tensor);
    }
    let count = tensors.len();
    match tensors.into_values().next() {
        Some(tensor) if count == 1 => Ok(tensor),
        _ => Err(Error::file(
            path,
            format!(
                "it has {count} tensors, none of them called `features`: one tensor [pictures, numbers] is needed"
            ),
        )),
    }
}

fn check(tensor: HostTensor) -> std::result::Result<Features, String> {
    let &[count, dimension] = tensor.shape.as_slice() else {
        return Err(format!(
            "features have two axes, pictures and numbers, but these have {}",
            tensor.shape.len()
        ));
    };
    if count == 0 || dimension == 0 {
        return Err(format!(
            "there is nothing in features of shape {:?}",
            tensor.shape
        ));
    }
    let Values::F32(values) = tensor.values else {
        return Err("features are floats, but these are integers".into());
    };
    if let Some(place) = values.iter().position(|value| !value.is_finite()) {
        return Err(format!(
            "the features of picture {} (counted from 0) hold {}, which is not a finite number",
            place / dimension,
            values[place]
        ));
    }
    Ok(Features { dimension, values })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{TensorMap, write_plain_tensors};

    fn in_file(tensors: &[(&str, HostTensor)]) -> Result<Features> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("features.safetensors");
        let tensors = tensors.iter().cloned();
        let tensors: TensorMap = tensors
            .map(|(name, tensor)| (name.to_owned(), tensor))
            .collect();
        write_plain_tensors(&path, &tensors).unwrap();
        read_features(&path)
    }

    fn rows(values: [f32; 6]) -> HostTensor {
        HostTensor::f32([3, 2], values.to_vec())
    }

    #[test]
    fn either_kind_of_file_is_read() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let alone = in_file(&[("anything", rows(values))]).unwrap();
        assert_eq!((alone.dimension, alone.count()), (2, 3));
        assert_eq!(alone.values, values);
        let labels = HostTensor::i64([3], vec![0, 1, 2]);
        let named = in_file(&[("features", rows(values)), ("labels", labels)]).unwrap();
        assert_eq!(named, alone);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("features.npy");
        let header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }\n";
        let length = (header.len() as u16).to_le_bytes();
        let data = values.map(f32::to_le_bytes).concat();
        let file = [NPY_MAGIC, &[1, 0][..], &length[..], &header[..], &data[..]].concat();
        std::fs::write(&path, &file).unwrap();
        assert_eq!(read_features(&path).unwrap(), alone);
    }

    #[test]
    fn what_is_no_features_is_refused() {
        let refused = |tensors: &[(&str, HostTensor)], reason: &str| {
            let text = in_file(tensors).unwrap_err().to_string();
            assert!(text.contains(reason), "{text}");
        };
        let good = rows([0.0; 6]);
        let flat = HostTensor::f32([6], vec![0.0; 6]);
        refused(&[("a", flat)], "but these have 1");
        refused(&[("a", good.clone()), ("b", good)], "it has 2 tensors");
        refused(
            &[("a", HostTensor::f32([0, 2], Vec::new()))],
            "nothing in features",
        );
        refused(&[("a", HostTensor::i64([1, 1], vec![1]))], "integers");
        let broken = rows([0.0, 0.0, 0.0, f32::NAN, 0.0, 0.0]);
        refused(&[("a", broken)], "picture 1 (counted from 0) hold NaN");
    }
}
