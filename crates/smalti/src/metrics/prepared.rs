//! A reference that many sets of pictures are compared with: what depends on it alone is computed once.

use super::frechet::{FrechetDistance, FrechetReference};
use super::inception_score::{InceptionScore, InceptionScoreMeter};
use super::kernel_distance::{KernelDistance, KernelDistanceSettings, kernel_distance};
use super::manifold::{ManifoldFigures, ManifoldSettings, manifold_figures};
use super::network::FeatureNetwork;
use super::rows::FeatureRows;
use super::statistics::FeatureStatistics;
use crate::data::{Dataset, Transform, load_all, none_readable, square};
use crate::error::Result;
use crate::training::skipped_pictures;
use crate::weights::classifier::Classifier;
use image::RgbImage;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Pictures that are read at a time.
const CHUNK: usize = 32;

/// Parts of the Inception Score.
const SPLITS: usize = 10;

/// A reference, ready.
pub struct PreparedReference {
    frechet: FrechetReference,
    /// Features of some of its pictures, row-major; none where only statistics are known.
    kept: Vec<f32>,
    dimensions: usize,
    pictures: usize,
}

/// The figures of a set of pictures. What takes more pictures than there are, or features where only statistics of the
/// reference are known, is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetFigures {
    pub frechet: FrechetDistance,
    pub kernel: Option<KernelDistance>,
    pub manifold: Option<ManifoldFigures>,
    pub score: Option<InceptionScore>,
}

impl PreparedReference {
    /// From mean and covariance alone.
    ///
    /// # Errors
    /// Those of [`FrechetReference::new`].
    pub fn of_statistics(statistics: &FeatureStatistics) -> Result<Self> {
        Ok(Self {
            frechet: FrechetReference::new(statistics)?,
            kept: Vec::new(),
            dimensions: statistics.dimensions(),
            pictures: statistics.count(),
        })
    }

    /// From the pictures at `data`, as [`Dataset::open`] takes them: their middle squares, scaled to `side` pixels. The
    /// features of at most `most` of them, evenly spaced, are kept for the figures that compare picture by picture.
    /// `progress` hears how many pictures of how many are done. Returns notes on pictures that could not be read.
    ///
    /// # Errors
    /// What opening says, and fewer than two readable pictures.
    pub fn of_pictures(
        network: &FeatureNetwork,
        data: &Path,
        side: usize,
        most: usize,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<(Self, Vec<String>)> {
        let dataset = Dataset::open(data)?;
        let transform = Transform::middle(side, true);
        let mut statistics = FeatureStatistics::new(network.dimension());
        let (mut kept, mut skipped, mut done) = (Vec::new(), Vec::new(), 0);
        for items in dataset.items.chunks(CHUNK) {
            let part = Dataset {
                items: items.to_vec(),
                classes: Vec::new(),
            };
            let (pictures, places, bad) = load_all(&part, &transform, [255; 3])?;
            let pictures: Vec<RgbImage> =
                pictures.iter().map(|bytes| square(bytes, side)).collect();
            let features = network.features_of(&pictures)?;
            statistics.add(&features)?;
            for (row, place) in features.chunks_exact(network.dimension()).zip(places) {
                if is_chosen(done + place, dataset.len(), most) {
                    kept.extend_from_slice(row);
                }
            }
            skipped.extend(bad);
            done += items.len();
            progress(done, dataset.len());
        }
        if statistics.count() == 0 {
            return Err(none_readable(dataset.len(), skipped.first()));
        }
        let reference = Self {
            kept,
            ..Self::of_statistics(&statistics)?
        };
        Ok((reference, skipped_pictures(&skipped)))
    }

    /// How many pictures it has.
    pub fn pictures(&self) -> usize {
        self.pictures
    }

    /// Of how many of them features are known.
    pub fn kept(&self) -> usize {
        self.kept.len() / self.dimensions.max(1)
    }

    /// The figures of pictures with these `features` and, for the Inception Score, these `logits` of `classes` classes,
    /// row-major; without classes there is none.
    ///
    /// # Errors
    /// Features of another length, that are not finite, or of fewer than two pictures.
    pub fn figures(&self, features: &[f32], logits: &[f32], classes: usize) -> Result<SetFigures> {
        let rows = FeatureRows::new(features, self.dimensions, 0)?;
        let mut statistics = FeatureStatistics::new(self.dimensions);
        statistics.add(features)?;
        let reference = FeatureRows::new(&self.kept, self.dimensions, 0)?;
        Ok(SetFigures {
            frechet: self.frechet.distance(&statistics)?,
            kernel: kernel(reference, rows)?,
            manifold: manifold(reference, rows)?,
            score: score(logits, classes)?,
        })
    }

    /// [`PreparedReference::figures`] with the logits of `network`, of which these are the features.
    ///
    /// # Errors
    /// As there.
    pub fn figures_of(&self, network: &FeatureNetwork, features: &[f32]) -> Result<SetFigures> {
        // The Inception Score is defined on logits without bias.
        let unbiased = network.classifier() == Classifier::Inception;
        let logits = network.logits_of(features, unbiased);
        self.figures(features, &logits, network.classes())
    }
}

/// Whether number `index` of `count` is one of `most` that are evenly spaced.
fn is_chosen(index: usize, count: usize, most: usize) -> bool {
    let before = |index: usize| index as u128 * most.min(count) as u128 / count.max(1) as u128;
    before(index + 1) > before(index)
}

fn kernel(real: FeatureRows<'_>, generated: FeatureRows<'_>) -> Result<Option<KernelDistance>> {
    let defaults = KernelDistanceSettings::default();
    let settings = KernelDistanceSettings {
        subset_size: defaults
            .subset_size
            .min(real.count())
            .min(generated.count()),
        ..defaults
    };
    if settings.subset_size < 2 {
        return Ok(None);
    }
    kernel_distance(real, generated, &settings).map(Some)
}

fn manifold(real: FeatureRows<'_>, generated: FeatureRows<'_>) -> Result<Option<ManifoldFigures>> {
    let settings = ManifoldSettings::default();
    let most = settings
        .precision_neighbours
        .max(settings.density_neighbours);
    if real.count() <= most || generated.count() <= most {
        return Ok(None);
    }
    manifold_figures(real, generated, &settings).map(Some)
}

fn score(logits: &[f32], classes: usize) -> Result<Option<InceptionScore>> {
    let pictures = logits.len() / classes.max(1);
    if classes == 0 || pictures == 0 {
        return Ok(None);
    }
    let mut meter = InceptionScoreMeter::new(classes, SPLITS.min(pictures))?;
    meter.add(logits)?;
    meter.score().map(Some)
}

#[cfg(test)]
mod tests {
    use super::super::testing::uniform_f32;
    use super::*;

    fn statistics(features: &[f32]) -> FeatureStatistics {
        let mut statistics = FeatureStatistics::new(4);
        statistics.add(features).unwrap();
        statistics
    }

    #[test]
    fn a_set_is_at_no_distance_from_itself() {
        let features = uniform_f32(3, 4 * 50);
        let reference = PreparedReference {
            kept: features.clone(),
            ..PreparedReference::of_statistics(&statistics(&features)).unwrap()
        };
        assert_eq!((reference.pictures(), reference.kept()), (50, 50));
        // Certain of a class, and of each as often: as many as there are classes.
        let logits: Vec<f32> = (0..80)
            .map(|index| {
                if index % 2 == index / 20 % 2 {
                    40.0
                } else {
                    0.0
                }
            })
            .collect();
        let figures = reference.figures(&features, &logits, 2).unwrap();
        assert!(figures.frechet.distance < 1e-9, "{figures:?}");
        let manifold = figures.manifold.unwrap();
        assert_eq!((manifold.precision, manifold.recall), (1.0, 1.0));
        assert!(figures.kernel.unwrap().mean.abs() < 0.2);
        assert!((figures.score.unwrap().mean - 2.0).abs() < 1e-6);
    }

    #[test]
    fn what_cannot_be_known_is_absent() {
        let features = uniform_f32(3, 4 * 50);
        let reference = PreparedReference::of_statistics(&statistics(&features)).unwrap();
        let moved: Vec<f32> = features.iter().map(|value| value + 2.0).collect();
        let figures = reference.figures(&moved, &[], 0).unwrap();
        // The means are 2 apart in each of four directions, and the covariances are equal.
        assert!(
            (figures.frechet.distance - 16.0).abs() < 1e-4,
            "{figures:?}"
        );
        assert_eq!((figures.kernel, figures.manifold), (None, None));
        assert_eq!(figures.score, None);
        assert!(reference.figures(&moved[..4], &[], 0).is_err());
        assert!(reference.figures(&moved[..3], &[], 0).is_err());
    }

    #[test]
    fn as_many_are_chosen_as_may_be() {
        for (count, most) in [(10, 3), (10, 10), (10, 99), (7, 1), (5, 0)] {
            let chosen = (0..count).filter(|&index| is_chosen(index, count, most));
            assert_eq!(chosen.count(), most.min(count));
        }
    }
}
