//! All that is kept of the features of many pictures as they go by, in memory that does not grow with their number:
//! sums for the Fréchet distance and the Inception Score, and the features of some pictures for the figures that
//! compare picture by picture.

use super::chunks::ChunkedStatistics;
use super::inception_score::{InceptionScore, InceptionScoreMeter};
use super::network::FeatureNetwork;
use super::random::stream;
use super::rows::FeatureRows;
use crate::checkpoint::host_values;
use crate::data::{Raster, tensor_of};
use crate::error::Result;
use crate::weights::classifier::Classifier;
use burn::tensor::Device;
use image::RgbImage;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CollectorSettings {
    /// Parts of the statistics, two at least; 2048 features take 34 MB per part.
    pub parts: usize,
    /// The most pictures whose features are kept, each picture as likely as any other.
    pub kept: usize,
    /// Of the choice of these pictures.
    pub seed: u64,
    /// Parts of the Inception Score.
    pub splits: usize,
}

impl Default for CollectorSettings {
    fn default() -> Self {
        Self {
            parts: 20,
            kept: 10_000,
            seed: 0,
            splits: 10,
        }
    }
}

/// Features of pictures, and what a classifier makes of them.
#[derive(Debug, Clone, PartialEq)]
pub struct PictureFeatures {
    dimensions: usize,
    /// `[n, d]`, row-major.
    features: Vec<f32>,
    /// `[n, classes]`, row-major.
    logits: Vec<f32>,
}

impl PictureFeatures {
    /// Sends pictures of one size through the network. Of FID's Inception-v3 the logits are those without bias, as the
    /// Inception Score has them.
    ///
    /// # Errors
    /// Those of [`FeatureNetwork::features`].
    pub fn of(network: &FeatureNetwork, pictures: &[RgbImage], device: &Device) -> Result<Self> {
        let rasters: Vec<Raster> = pictures.iter().cloned().map(Raster::from).collect();
        let features = network.features(tensor_of(&rasters, device))?;
        Ok(Self::of_features(network, host_values(features)))
    }

    /// From features that `network` gave, `[n, d]` row-major.
    pub fn of_features(network: &FeatureNetwork, features: Vec<f32>) -> Self {
        let unbiased = network.classifier() == Classifier::Inception;
        Self {
            dimensions: network.dimension(),
            logits: network.logits_of(&features, unbiased),
            features,
        }
    }

    /// Which of the pictures, counted from 0, is the first that has features that are not finite.
    pub fn not_finite(&self) -> Option<usize> {
        let place = self.features.iter().position(|value| !value.is_finite())?;
        Some(place / self.dimensions.max(1))
    }
}

/// Takes features in, any number at a time.
#[derive(Debug, Clone)]
pub struct FeatureCollector {
    settings: CollectorSettings,
    statistics: ChunkedStatistics,
    score: Option<InceptionScoreMeter>,
    kept: Vec<f32>,
    random: ChaCha8Rng,
}

impl FeatureCollector {
    /// For `dimensions` features per picture, made elsewhere.
    ///
    /// # Errors
    /// Fewer than two parts.
    pub fn new(dimensions: usize, settings: CollectorSettings) -> Result<Self> {
        Ok(Self {
            settings,
            statistics: ChunkedStatistics::new(dimensions, settings.parts)?,
            score: None,
            kept: Vec::new(),
            random: stream(settings.seed, 0),
        })
    }

    /// For the features of `network`, with an Inception Score.
    ///
    /// # Errors
    /// Fewer than two parts, or no splits.
    pub fn for_network(network: &FeatureNetwork, settings: CollectorSettings) -> Result<Self> {
        let score = InceptionScoreMeter::new(network.classes(), settings.splits)?;
        Ok(Self {
            score: Some(score),
            ..Self::new(network.dimension(), settings)?
        })
    }

    /// Adds pictures: their features `[n, dimensions]`, row-major.
    ///
    /// # Errors
    /// Where the last row is not whole, or a number is not finite; the message names the picture, and nothing is added.
    pub fn add(&mut self, features: &[f32]) -> Result<()> {
        let first = self.count();
        self.statistics.add(features)?;
        for (index, row) in features.chunks_exact(self.dimensions()).enumerate() {
            self.keep(first + index, row);
        }
        Ok(())
    }

    /// Adds pictures that a network saw.
    ///
    /// # Errors
    /// As [`FeatureCollector::add`].
    pub fn add_pictures(&mut self, pictures: &PictureFeatures) -> Result<()> {
        self.add(&pictures.features)?;
        match &mut self.score {
            Some(score) => score.add(&pictures.logits),
            None => Ok(()),
        }
    }

    /// Algorithm R of Vitter, "Random Sampling with a Reservoir" (1985).
    fn keep(&mut self, number: usize, row: &[f32]) {
        if number < self.settings.kept {
            self.kept.extend_from_slice(row);
            return;
        }
        let place = self.random.random_range(0..=number);
        if place < self.settings.kept {
            self.kept[place * row.len()..][..row.len()].copy_from_slice(row);
        }
    }

    /// How many pictures.
    pub fn count(&self) -> usize {
        self.statistics.count()
    }

    /// Features per picture.
    pub fn dimensions(&self) -> usize {
        self.statistics.dimensions()
    }

    /// Mean and covariance, in parts.
    pub fn statistics(&self) -> &ChunkedStatistics {
        &self.statistics
    }

    /// The features of the pictures that were kept.
    pub fn kept(&self) -> Result<FeatureRows<'_>> {
        FeatureRows::new(&self.kept, self.dimensions(), 0)
    }

    /// The Inception Score; none without logits, or with fewer pictures than it has parts.
    ///
    /// # Errors
    /// Those of [`InceptionScoreMeter::score`].
    pub fn score(&self) -> Result<Option<InceptionScore>> {
        match &self.score {
            Some(score) if self.count() >= self.settings.splits => score.score().map(Some),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collector(kept: usize, seed: u64) -> FeatureCollector {
        let settings = CollectorSettings {
            parts: 2,
            kept,
            seed,
            splits: 2,
        };
        FeatureCollector::new(1, settings).unwrap()
    }

    fn kept_of(kept: usize, seed: u64, batch: usize) -> Vec<f32> {
        let mut collector = collector(kept, seed);
        let values: Vec<f32> = (0..100).map(|index| index as f32).collect();
        for batch in values.chunks(batch) {
            collector.add(batch).unwrap();
        }
        assert_eq!(collector.count(), 100);
        collector.kept.clone()
    }

    #[test]
    fn few_are_kept_as_they_are_and_of_many_a_choice() {
        let all: Vec<f32> = (0..100).map(|index| index as f32).collect();
        assert_eq!(kept_of(100, 0, 7), all);
        let some = kept_of(10, 0, 7);
        assert_eq!(some, kept_of(10, 0, 33), "whatever the batch");
        assert_ne!(some, kept_of(10, 1, 7));
        let mut sorted = some.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        sorted.dedup();
        assert_eq!(sorted.len(), 10, "none twice");
        assert!(kept_of(0, 0, 7).is_empty());
    }

    /// Over many seeds the mean of the kept ones is that of all.
    #[test]
    fn every_picture_is_as_likely_as_any_other() {
        let of_seed = |seed| kept_of(10, seed, 100).iter().sum::<f32>() / 10.0;
        let mean = (0..400).map(of_seed).sum::<f32>() / 400.0;
        // The mean of ten of them spreads by 9; that of 400 such means by 0.45.
        assert!((mean - 49.5).abs() < 2.0, "{mean}");
    }

    #[test]
    fn what_is_not_finite_is_not_added() {
        let mut collector = collector(10, 0);
        collector.add(&[1.0, 2.0]).unwrap();
        let error = collector.add(&[3.0, f32::NAN]).unwrap_err().to_string();
        assert!(error.contains("picture 3"), "{error}");
        assert_eq!((collector.count(), collector.kept.len()), (2, 2));
        assert_eq!(collector.score().unwrap(), None);
        let pictures = PictureFeatures {
            dimensions: 2,
            features: vec![0.0, 1.0, 2.0, f32::INFINITY],
            logits: Vec::new(),
        };
        assert_eq!(pictures.not_finite(), Some(1));
    }
}
