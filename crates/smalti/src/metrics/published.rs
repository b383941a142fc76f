//! Statistics of features as other programs publish them: archives of numpy with a mean `mu` `[d]` and a covariance
//! `sigma` `[d, d]`, those of pytorch-fid (mseitzer/pytorch-fid, src/pytorch_fid/fid_score.py) and the reference
//! batches of guided-diffusion (openai/guided-diffusion, evaluations/evaluator.py). The latter also have pictures
//! (`arr_0`) and statistics of other features (`mu_s`, `sigma_s`), which are left where they lie.
//!
//! Such a file does not say which network made the features, how pictures were prepared for it, or how many there were.

use super::statistics::check_moments;
use crate::checkpoint::{Doubles, read_npz};
use crate::error::{Error, Result};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes of a file that are hashed at a time.
const CHUNK: usize = 1 << 20;

/// A mean and a covariance, and no more.
#[derive(Debug, Clone, PartialEq)]
pub struct PublishedStatistics {
    mean: Vec<f64>,
    covariance: Vec<f64>,
    checksum: String,
}

impl PublishedStatistics {
    /// Reads `mu` and `sigma`, floats of 16, 32 or 64 bits, from a `.npz` file.
    ///
    /// # Errors
    /// A file that cannot be read, is damaged, lacks one of them, or has something else under their names: arrays of
    /// other shapes, numbers that are not finite, negative variances, a matrix that is not symmetric.
    pub fn read(path: &Path) -> Result<Self> {
        let mut arrays = read_npz(path, &["mu", "sigma"])?;
        let broken = |message: String| Error::file(path, message);
        let mut take = |name: &str| {
            arrays.remove(name).ok_or_else(|| {
                broken(format!(
                    "there is no array `{name}` in it: statistics have a mean `mu` and a covariance `sigma`"
                ))
            })
        };
        let (mean, covariance) = (take("mu")?, take("sigma")?);
        check_shapes(&mean, &covariance).map_err(broken)?;
        let (mean, mut covariance) = (mean.values, covariance.values);
        check_moments(&mean, &mut covariance).map_err(|error| broken(error.to_string()))?;
        Ok(Self {
            mean,
            covariance,
            checksum: checksum(path).map_err(|error| Error::io(path, error))?,
        })
    }

    /// Features per picture.
    pub fn dimensions(&self) -> usize {
        self.mean.len()
    }

    /// `[dimensions]`.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// `[dimensions, dimensions]`, row-major and symmetric.
    pub fn covariance(&self) -> &[f64] {
        &self.covariance
    }

    /// SHA-256 of the file, hexadecimal.
    pub fn checksum(&self) -> &str {
        &self.checksum
    }
}

fn check_shapes(mean: &Doubles, covariance: &Doubles) -> std::result::Result<(), String> {
    let size = mean.values.len();
    if mean.shape == [size] && covariance.shape == [size, size] {
        return Ok(());
    }
    Err(format!(
        "`mu` must have the shape [d] and `sigma` [d, d], not {:?} and {:?}",
        mean.shape, covariance.shape
    ))
}

fn checksum(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = file.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        hash.update(&chunk[..count]);
    }
    let digest = hash.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{FeatureStatistics, FrechetReference, frechet_distance};
    use std::io::{Cursor, Write};
    use tempfile::TempDir;
    use zip::write::SimpleFileOptions;
    use zip::{CompressionMethod, ZipWriter};

    /// An array as numpy 1.0 files have it.
    fn array(code: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{code}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let length = (header.len() as u16).to_le_bytes();
        let magic = b"\x93NUMPY\x01\x00";
        [&magic[..], &length[..], header.as_bytes(), data].concat()
    }

    fn doubles(shape: &str, values: &[f64]) -> Vec<u8> {
        let data: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        array("<f8", shape, &data)
    }

    /// A file with these arrays, and its folder.
    fn file(
        method: CompressionMethod,
        arrays: &[(&str, Vec<u8>)],
    ) -> (TempDir, std::path::PathBuf) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("statistics.npz");
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(method);
        for (name, contents) in arrays {
            writer.start_file(format!("{name}.npy"), options).unwrap();
            writer.write_all(contents).unwrap();
        }
        std::fs::write(&path, writer.finish().unwrap().into_inner()).unwrap();
        (folder, path)
    }

    fn read(arrays: &[(&str, Vec<u8>)]) -> Result<PublishedStatistics> {
        let (_folder, path) = file(CompressionMethod::Stored, arrays);
        PublishedStatistics::read(&path)
    }

    #[test]
    fn the_forms_in_which_they_are_published() {
        let (mean, covariance) = ([1.0_f64, 0.5], [4.0_f64, 1.0, 1.0, 9.0]);
        let single = |values: &[f64]| -> Vec<u8> {
            let values = values.iter().map(|&value| value as f32);
            values.flat_map(f32::to_le_bytes).collect()
        };
        let wide = [
            ("mu", doubles("(2,)", &mean)),
            ("sigma", doubles("(2, 2)", &covariance)),
        ];
        let narrow = [
            ("mu", array("<f4", "(2,)", &single(&mean))),
            ("sigma", array("<f4", "(2, 2)", &single(&covariance))),
        ];
        // What is not read need not be an array.
        let batch = [
            ("arr_0", b"pictures".to_vec()),
            ("mu", doubles("(2,)", &mean)),
            ("sigma", doubles("(2, 2)", &covariance)),
            ("mu_s", doubles("(1,)", &[0.0])),
            ("sigma_s", doubles("(1, 1)", &[0.0])),
        ];
        for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            for arrays in [&wide[..], &narrow[..], &batch[..]] {
                let (_folder, path) = file(method, arrays);
                let found = PublishedStatistics::read(&path).unwrap();
                assert_eq!(
                    (found.mean(), found.covariance()),
                    (&mean[..], &covariance[..])
                );
                assert_eq!((found.dimensions(), found.checksum().len()), (2, 64));
            }
        }
    }

    #[test]
    fn the_distance_is_that_of_the_same_statistics() {
        let mut ours = FeatureStatistics::new(3);
        let values = |shift: f32| -> Vec<f32> {
            let value = |index: usize| (index as f32 * 0.7).sin() + shift * (index % 3) as f32;
            (0..90).map(value).collect()
        };
        ours.add(&values(0.0)).unwrap();
        let mut others = FeatureStatistics::new(3);
        others.add(&values(0.5)).unwrap();
        let published = read(&[
            ("mu", doubles("(3,)", ours.mean())),
            ("sigma", doubles("(3, 3)", &ours.covariance().unwrap())),
        ]);
        let reference = FrechetReference::of_published(&published.unwrap());
        let found = reference.distance(&others).unwrap();
        let expected = frechet_distance(&ours, &others).unwrap();
        assert!((found.distance - expected.distance).abs() < 1e-9);
        assert_eq!((found.reference_pictures, found.pictures), (None, 30));
        assert_eq!(found.warning(None), None);
    }

    #[test]
    fn the_checksum_is_that_of_the_file() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(checksum(&path).unwrap(), known);
    }

    #[test]
    fn what_is_no_statistics_is_refused() {
        let refused = |arrays: &[(&str, Vec<u8>)], reason: &str| {
            let error = read(arrays).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
            assert!(error.contains("statistics.npz"), "{error}");
        };
        let mu = || ("mu", doubles("(2,)", &[1.0, 0.5]));
        let sigma = |shape: &str, values: &[f64]| ("sigma", doubles(shape, values));
        let good = [4.0, 1.0, 1.0, 9.0];
        refused(&[mu()], "no array `sigma`");
        refused(&[sigma("(2, 2)", &good)], "no array `mu`");
        refused(&[mu(), sigma("(4,)", &good)], "[2] and [4]");
        refused(&[mu(), sigma("(1, 1)", &[1.0])], "[2] and [1, 1]");
        refused(
            &[mu(), sigma("(2, 2)", &[4.0, 1.0, 2.0, 9.0])],
            "a covariance is symmetric",
        );
        for wrong in [f64::NAN, f64::INFINITY, -1.0] {
            let values = [wrong, 1.0, 1.0, 9.0];
            refused(&[mu(), sigma("(2, 2)", &values)], "not finite");
        }
        let whole = ("mu", array("<i8", "(2,)", &[0; 16]));
        refused(&[whole, sigma("(2, 2)", &good)], "whole numbers");
        let nothing = ("mu", doubles("(0,)", &[]));
        refused(&[nothing, sigma("(0, 0)", &[])], "mean of 0");
        let objects = ("mu", array("|O", "(2,)", b"cos\nsystem\n"));
        refused(&[objects, sigma("(2, 2)", &good)], "elements of type O");
    }
}
