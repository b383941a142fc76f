//! Statistics of features on disk: a safetensors file of 64-bit floats `mean` `[d]` and `covariance` `[d, d]`, with the
//! protocol and the number of pictures as metadata; or, for other programs, an archive of numpy without either.

use super::protocol::Protocol;
use super::statistics::FeatureStatistics;
use crate::checkpoint::{Doubles, DoublesMap, read_doubles, write_doubles, write_npz};
use crate::error::{Error, Result};
use std::path::Path;

impl FeatureStatistics {
    /// Writes the statistics and how the features were made.
    ///
    /// # Errors
    /// Fewer than two pictures, or whatever the operating system says.
    pub fn save(&self, path: &Path, protocol: &Protocol) -> Result<()> {
        let mut metadata = protocol.entries();
        metadata.insert("pictures".to_string(), self.count().to_string());
        write_doubles(path, &self.arrays(["mean", "covariance"])?, &metadata)
    }

    /// Writes mean and covariance alone, as pytorch-fid reads them (`mu` and `sigma` in a `.npz` file): what they are
    /// of is not in the file.
    ///
    /// # Errors
    /// As [`Self::save`].
    pub fn save_npz(&self, path: &Path) -> Result<()> {
        write_npz(path, &self.arrays(["mu", "sigma"])?)
    }

    /// Mean and covariance under these names.
    fn arrays(&self, [mean_name, covariance_name]: [&str; 2]) -> Result<DoublesMap> {
        let size = self.dimensions();
        let mean = Doubles {
            shape: vec![size],
            values: self.mean().to_vec(),
        };
        let covariance = Doubles {
            shape: vec![size, size],
            values: self.covariance()?,
        };
        Ok(DoublesMap::from([
            (mean_name.to_string(), mean),
            (covariance_name.to_string(), covariance),
        ]))
    }

    /// Reads statistics and how their features were made.
    ///
    /// # Errors
    /// A file that cannot be read, is damaged, or holds something else.
    pub fn read(path: &Path) -> Result<(Self, Protocol)> {
        let (mut tensors, metadata) = read_doubles(path)?;
        let broken = |message: String| Error::file(path, message);
        let mut take = |name: &str| {
            let tensor = tensors.remove(name);
            tensor.ok_or_else(|| {
                broken(format!(
                    "there is no {name:?} in it: these are no statistics"
                ))
            })
        };
        let (mean, covariance) = (take("mean")?, take("covariance")?);
        let size = mean.values.len();
        if mean.shape != [size] || covariance.shape != [size, size] {
            return Err(broken(format!(
                "`mean` must have the shape [d] and `covariance` [d, d], not {:?} and {:?}",
                mean.shape, covariance.shape
            )));
        }
        let protocol = Protocol::from_entries(&metadata).map_err(broken)?;
        let count = metadata.get("pictures").and_then(|text| text.parse().ok());
        let count =
            count.ok_or_else(|| broken("it does not say of how many pictures".to_string()))?;
        let statistics = Self::from_moments(mean.values, covariance.values, count)
            .map_err(|error| broken(error.to_string()))?;
        Ok((statistics, protocol))
    }

    /// Reads statistics to be compared with features that are made as `protocol` says.
    ///
    /// # Errors
    /// Those of [`Self::read`], and features that were made in another way.
    pub fn load(path: &Path, protocol: &Protocol) -> Result<(Self, Protocol)> {
        let (statistics, found) = Self::read(path)?;
        protocol
            .check(&found)
            .map_err(|error| Error::file(path, error.to_string()))?;
        Ok((statistics, found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::PublishedStatistics;
    use tempfile::TempDir;

    fn protocol(size: usize) -> Protocol {
        Protocol {
            network: "network".into(),
            checksum: "00ff".into(),
            resize: "bicubic".into(),
            size,
            data: "pictures".into(),
        }
    }

    fn statistics() -> FeatureStatistics {
        let mut statistics = FeatureStatistics::new(2);
        let values: Vec<f32> = (0..20).map(|index| (index as f32).sin()).collect();
        statistics.add(&values).unwrap();
        statistics
    }

    #[test]
    fn there_and_back() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("statistics.safetensors");
        let written = statistics();
        written.save(&path, &protocol(256)).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let (read, made) = FeatureStatistics::load(&path, &protocol(256)).unwrap();
        assert_eq!(made, protocol(256));
        assert_eq!((read.count(), read.mean()), (10, written.mean()));
        for (read, written) in read
            .covariance()
            .unwrap()
            .iter()
            .zip(written.covariance().unwrap())
        {
            assert!((read - written).abs() <= 1e-15);
        }
        written.save(&path, &protocol(256)).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn others_can_read_them() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("statistics.npz");
        let written = statistics();
        written.save_npz(&path).unwrap();
        let read = PublishedStatistics::read(&path).unwrap();
        assert_eq!(read.mean(), written.mean());
        for (read, written) in read.covariance().iter().zip(written.covariance().unwrap()) {
            assert!((read - written).abs() <= 1e-15);
        }
        assert!(FeatureStatistics::new(2).save_npz(&path).is_err());
    }

    #[test]
    fn features_made_otherwise_are_refused() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("statistics.safetensors");
        statistics().save(&path, &protocol(256)).unwrap();
        let error = FeatureStatistics::load(&path, &protocol(128))
            .unwrap_err()
            .to_string();
        assert!(error.contains("the picture size 256, not 128"), "{error}");
        assert!(error.contains("statistics.safetensors"), "{error}");
    }

    #[test]
    fn damaged_files_are_refused() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("statistics.safetensors");
        statistics().save(&path, &protocol(256)).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for length in 0..bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(FeatureStatistics::read(&path).is_err(), "{length} bytes");
        }
        // Any byte may be another: that ends in statistics or an error.
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 0x15;
            std::fs::write(&path, &changed).unwrap();
            if let Ok((read, _)) = FeatureStatistics::read(&path) {
                assert!(read.mean().iter().all(|value| value.is_finite()));
            }
        }
    }

    #[test]
    fn other_files_are_refused() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("other.safetensors");
        let refuses = |tensors: &[(&str, &[usize])], pictures: &str, reason: &str| {
            let tensors = tensors.iter().map(|(name, shape)| {
                let (shape, values) = (shape.to_vec(), vec![1.0; shape.iter().product()]);
                (name.to_string(), Doubles { shape, values })
            });
            let mut metadata = protocol(64).entries();
            metadata.insert("pictures".into(), pictures.into());
            write_doubles(&path, &tensors.collect(), &metadata).unwrap();
            let error = FeatureStatistics::read(&path).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        };
        refuses(&[("mean", &[2])], "9", "no \"covariance\"");
        refuses(&[("mean", &[2]), ("covariance", &[4])], "9", "[d, d]");
        refuses(
            &[("mean", &[2]), ("covariance", &[2, 2])],
            "many",
            "how many",
        );
        refuses(
            &[("mean", &[2]), ("covariance", &[2, 2])],
            "1",
            "two pictures",
        );
        refuses(&[("mean", &[0]), ("covariance", &[0, 0])], "9", "mean of 0");
    }
}
