//! Statistics of features in several parts, for what has to be computed from different subsets of the pictures: the
//! spread and the bias of a Fréchet distance.

use super::rows::FeatureRows;
use super::statistics::FeatureStatistics;
use crate::error::{Error, Result};

/// As many [`FeatureStatistics`] as there are parts, to which pictures are dealt in turn: so every part has some of
/// every class where pictures come class by class. 2048 features take 34 MB per part.
#[derive(Debug, Clone, PartialEq)]
pub struct ChunkedStatistics {
    dimensions: usize,
    count: usize,
    parts: Vec<FeatureStatistics>,
}

impl ChunkedStatistics {
    /// Of no pictures yet, with `dimensions` features each.
    ///
    /// # Errors
    /// [`Error::Input`] for fewer than two parts.
    pub fn new(dimensions: usize, parts: usize) -> Result<Self> {
        if parts < 2 {
            return Err(Error::input(format!(
                "statistics are divided into two parts at least, not into {parts}"
            )));
        }
        Ok(Self {
            dimensions,
            count: 0,
            parts: vec![FeatureStatistics::new(dimensions); parts],
        })
    }

    /// Adds pictures: their features `[n, dimensions]`, row-major.
    ///
    /// # Errors
    /// As [`FeatureStatistics::add`].
    pub fn add(&mut self, features: &[f32]) -> Result<()> {
        let rows = FeatureRows::new(features, self.dimensions, self.count)?;
        let parts = self.parts.len();
        let first = self.count;
        for (number, part) in self.parts.iter_mut().enumerate() {
            // The first of these pictures that is this part's turn.
            let start = (number + parts - first % parts) % parts;
            let own = (start..rows.count()).step_by(parts);
            let own: Vec<f32> = own.flat_map(|row| rows.row(row)).copied().collect();
            part.add(&own)?;
        }
        self.count += rows.count();
        Ok(())
    }

    pub fn parts(&self) -> &[FeatureStatistics] {
        &self.parts
    }

    /// Features per picture.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// How many pictures.
    pub fn count(&self) -> usize {
        self.count
    }

    /// All parts together.
    pub fn total(&self) -> Result<FeatureStatistics> {
        self.merged(0..self.parts.len())
    }

    /// The even parts together and the odd ones together, for [`extrapolate`](super::extrapolate).
    pub fn halves(&self) -> Result<[FeatureStatistics; 2]> {
        let parts = self.parts.len();
        Ok([
            self.merged((0..parts).step_by(2))?,
            self.merged((1..parts).step_by(2))?,
        ])
    }

    /// Some parts together, each as often as it is named.
    pub(super) fn merged(&self, parts: impl Iterator<Item = usize>) -> Result<FeatureStatistics> {
        let mut all = FeatureStatistics::new(self.dimensions);
        for part in parts {
            all.merge(&self.parts[part])?;
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_dealt_in_turn() {
        let values: Vec<f32> = (0..14).map(|index| index as f32).collect();
        let mut chunks = ChunkedStatistics::new(1, 3).unwrap();
        // Batches that begin at other parts.
        for batch in [&values[..4], &values[4..5], &values[5..]] {
            chunks.add(batch).unwrap();
        }
        for (number, part) in chunks.parts().iter().enumerate() {
            let own: Vec<f32> = values.iter().skip(number).step_by(3).copied().collect();
            assert_eq!(part.count(), own.len());
            let mean = own.iter().sum::<f32>() / own.len() as f32;
            assert!((part.mean()[0] - f64::from(mean)).abs() < 1e-6);
        }
        assert_eq!((chunks.count(), chunks.total().unwrap().count()), (14, 14));
        let [even, odd] = chunks.halves().unwrap();
        assert_eq!((even.count(), odd.count()), (9, 5));
    }

    #[test]
    fn what_cannot_be_added_is_refused() {
        assert!(ChunkedStatistics::new(3, 1).is_err());
        let mut chunks = ChunkedStatistics::new(2, 2).unwrap();
        chunks.add(&[0.0; 6]).unwrap();
        let error = chunks.add(&[0.0, 0.0, f32::NAN, 0.0]).unwrap_err();
        assert!(error.to_string().contains("picture 4"));
        assert_eq!(chunks.count(), 3);
    }
}
