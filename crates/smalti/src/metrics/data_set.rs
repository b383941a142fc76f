//! The features of a data set's pictures, and of samples.

use super::collector::{CollectorSettings, FeatureCollector, PictureFeatures};
use super::network::FeatureNetwork;
use crate::data::{BadFile, Dataset, Transform, load_all, none_readable, square};
use crate::error::Result;
use image::RgbImage;
use std::path::Path;

/// Pictures that are read at a time.
const CHUNK: usize = 32;

impl FeatureCollector {
    /// Features of samples that lie one behind the other, all of them kept.
    ///
    /// # Errors
    /// Fewer than two samples, and features that are not finite.
    pub fn of_samples(network: &FeatureNetwork, features: Vec<f32>) -> Result<Self> {
        let samples = features.len() / network.dimension();
        let defaults = CollectorSettings::default();
        let settings = CollectorSettings {
            parts: 2,
            kept: samples,
            splits: defaults.splits.min(samples),
            ..defaults
        };
        let mut collector = Self::for_network(network, settings)?;
        collector.add_pictures(&PictureFeatures::of_features(network, features))?;
        Ok(collector)
    }

    /// Of the pictures at `data`, as [`Dataset::open`] takes them: their middle squares, scaled to `side` pixels.
    /// `progress` hears how many pictures of how many are done. Returns the pictures that could not be read as well.
    ///
    /// # Errors
    /// What opening says, fewer than two parts, and no readable picture.
    pub fn of_data_set(
        network: &FeatureNetwork,
        (data, side): (&Path, usize),
        settings: CollectorSettings,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<(Self, Vec<BadFile>)> {
        let dataset = Dataset::open(data)?;
        let transform = Transform::middle(side, true);
        let mut collector = Self::new(network.dimension(), settings)?;
        let (mut skipped, mut done) = (Vec::new(), 0);
        for items in dataset.items.chunks(CHUNK) {
            let part = Dataset {
                items: items.to_vec(),
                classes: Vec::new(),
            };
            let (pictures, _, bad) = load_all(&part, &transform, [255; 3])?;
            let pictures: Vec<RgbImage> =
                pictures.iter().map(|bytes| square(bytes, side)).collect();
            collector.add(&network.features_of(&pictures)?)?;
            skipped.extend(bad);
            done += items.len();
            progress(done, dataset.len());
        }
        if collector.count() == 0 {
            return Err(none_readable(dataset.len(), skipped.first()));
        }
        Ok((collector, skipped))
    }
}
