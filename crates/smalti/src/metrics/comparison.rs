//! Every figure that two sets of features have together, each with what is needed to judge it: an interval, the part
//! that comes from the number of pictures alone, and how many pictures were looked at. What depends on the reference
//! alone is computed once for all sets that are compared with it.

use super::bootstrap::{BootstrapSettings, Interval, bootstrap_frechet};
use super::collector::FeatureCollector;
use super::extrapolation::{FrechetExtrapolation, extrapolate};
use super::frechet::{FrechetDistance, FrechetReference};
use super::inception_score::InceptionScore;
use super::kernel_distance::{KernelDistance, KernelDistanceSettings, kernel_distance};
use super::manifold::{ManifoldFigures, ManifoldSettings, manifold_figures};
use super::published::PublishedStatistics;
use super::rows::{FeatureRows, check_dimensions};
use super::statistics::FeatureStatistics;
use crate::error::Result;
use serde::{Deserialize, Serialize};

/// What pictures are compared with, ready for any number of sets of them.
pub struct Reference {
    frechet: FrechetReference,
    /// The features of some of its pictures, row-major; none where only statistics are known.
    kept: Vec<f32>,
    dimensions: usize,
    pictures: Option<usize>,
}

/// How figures are computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ComparisonSettings {
    /// How the interval of the Fréchet distance is found; fewer than two resamples give none.
    pub bootstrap: BootstrapSettings,
    /// Subsets are made smaller where there are fewer pictures.
    pub kernel: KernelDistanceSettings,
    pub manifold: ManifoldSettings,
}

impl Default for ComparisonSettings {
    fn default() -> Self {
        Self {
            bootstrap: BootstrapSettings {
                resamples: 50,
                ..BootstrapSettings::default()
            },
            kernel: KernelDistanceSettings::default(),
            manifold: ManifoldSettings::default(),
        }
    }
}

/// The figures of a set of pictures. What takes more pictures than there are, or features where only statistics of the
/// reference are known, is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetFigures {
    pub frechet: FrechetDistance,
    pub kernel: Option<KernelDistance>,
    pub manifold: Option<ManifoldFigures>,
    /// Of the pictures measured, without the reference.
    pub score: Option<InceptionScore>,
}

/// The same with what is needed to judge the Fréchet distance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    pub figures: SetFigures,
    pub interval: Option<Interval>,
    /// To infinitely many pictures measured.
    pub extrapolation: Option<FrechetExtrapolation>,
    /// What is to be said beside the figures.
    pub warnings: Vec<String>,
}

impl Reference {
    /// Of pictures that went by.
    ///
    /// # Errors
    /// Fewer than two pictures.
    pub fn of_pictures(collector: &FeatureCollector) -> Result<Self> {
        let rows = collector.kept()?;
        Ok(Self {
            kept: (0..rows.count())
                .flat_map(|row| rows.row(row))
                .copied()
                .collect(),
            ..Self::of_statistics(&collector.statistics().total()?)?
        })
    }

    /// Of mean and covariance alone: only a Fréchet distance can be taken.
    ///
    /// # Errors
    /// Those of [`FrechetReference::new`].
    pub fn of_statistics(statistics: &FeatureStatistics) -> Result<Self> {
        Ok(Self {
            frechet: FrechetReference::new(statistics)?,
            kept: Vec::new(),
            dimensions: statistics.dimensions(),
            pictures: Some(statistics.count()),
        })
    }

    /// The same of statistics that somebody published, of nobody knows how many pictures.
    pub fn of_published(statistics: &PublishedStatistics) -> Self {
        Self {
            frechet: FrechetReference::of_published(statistics),
            kept: Vec::new(),
            dimensions: statistics.dimensions(),
            pictures: None,
        }
    }

    /// How many pictures, where that is known.
    pub fn pictures(&self) -> Option<usize> {
        self.pictures
    }

    /// Of how many pictures features are known.
    pub fn kept(&self) -> usize {
        self.kept.len() / self.dimensions.max(1)
    }

    /// The figures of pictures. `stage` hears what is being computed, as each may take seconds to minutes.
    ///
    /// # Errors
    /// Features of different length, fewer than two pictures, and what the figures themselves refuse.
    pub fn figures(
        &self,
        measured: &FeatureCollector,
        settings: &ComparisonSettings,
        stage: &mut dyn FnMut(&str),
    ) -> Result<SetFigures> {
        stage("Fréchet distance");
        let frechet = self.frechet.distance(&measured.statistics().total()?)?;
        self.beside(frechet, measured, settings, stage)
    }

    /// The same with interval and extrapolation, which take the Fréchet distance many times.
    ///
    /// # Errors
    /// As [`Reference::figures`].
    pub fn compare(
        &self,
        measured: &FeatureCollector,
        settings: &ComparisonSettings,
        stage: &mut dyn FnMut(&str),
    ) -> Result<Comparison> {
        check_dimensions(self.dimensions, measured.dimensions())?;
        stage("Fréchet distance");
        let extrapolation = extrapolated(&self.frechet, measured)?;
        let frechet = match &extrapolation {
            Some(found) => found.whole.clone(),
            None => self.frechet.distance(&measured.statistics().total()?)?,
        };
        let mut warnings: Vec<String> = frechet
            .warning(extrapolation.as_ref())
            .into_iter()
            .collect();
        let interval = match can_resample(measured, settings) {
            Ok(true) => {
                stage("interval of the Fréchet distance");
                let chunks = measured.statistics();
                let bootstrap = &settings.bootstrap;
                Some(bootstrap_frechet(&self.frechet, chunks, bootstrap)?)
            }
            Ok(false) => None,
            Err(warning) => {
                warnings.push(warning);
                None
            }
        };
        Ok(Comparison {
            figures: self.beside(frechet, measured, settings, stage)?,
            interval,
            extrapolation,
            warnings,
        })
    }

    /// All other figures beside a Fréchet distance.
    fn beside(
        &self,
        frechet: FrechetDistance,
        measured: &FeatureCollector,
        settings: &ComparisonSettings,
        stage: &mut dyn FnMut(&str),
    ) -> Result<SetFigures> {
        let real = FeatureRows::new(&self.kept, self.dimensions, 0)?;
        let generated = measured.kept()?;
        Ok(SetFigures {
            frechet,
            kernel: kernel(real, generated, &settings.kernel, stage)?,
            manifold: manifold(real, generated, &settings.manifold, stage)?,
            score: measured.score()?,
        })
    }
}

/// Two halves of two pictures each are the least there can be.
fn extrapolated(
    prepared: &FrechetReference,
    measured: &FeatureCollector,
) -> Result<Option<FrechetExtrapolation>> {
    let [even, odd] = measured.statistics().halves()?;
    if even.count().min(odd.count()) < 2 {
        return Ok(None);
    }
    extrapolate(prepared, [&even, &odd]).map(Some)
}

/// Whether parts can be drawn again and again: any of them alone must have a covariance. An error says why not.
fn can_resample(
    measured: &FeatureCollector,
    settings: &ComparisonSettings,
) -> std::result::Result<bool, String> {
    if settings.bootstrap.resamples < 2 {
        return Ok(false);
    }
    let parts = measured.statistics().parts();
    if parts.iter().all(|part| part.count() >= 2) {
        return Ok(true);
    }
    Err(format!(
        "{} pictures are too few for an interval of the Fréchet distance: {} are needed",
        measured.count(),
        2 * parts.len()
    ))
}

fn kernel(
    real: FeatureRows<'_>,
    generated: FeatureRows<'_>,
    settings: &KernelDistanceSettings,
    stage: &mut dyn FnMut(&str),
) -> Result<Option<KernelDistance>> {
    let fewest = real.count().min(generated.count());
    if fewest < 2 || settings.subsets == 0 {
        return Ok(None);
    }
    stage("kernel distance");
    let settings = KernelDistanceSettings {
        subset_size: settings.subset_size.min(fewest),
        ..*settings
    };
    kernel_distance(real, generated, &settings).map(Some)
}

fn manifold(
    real: FeatureRows<'_>,
    generated: FeatureRows<'_>,
    settings: &ManifoldSettings,
    stage: &mut dyn FnMut(&str),
) -> Result<Option<ManifoldFigures>> {
    let most = settings
        .precision_neighbours
        .max(settings.density_neighbours);
    if real.count().min(generated.count()) <= most {
        return Ok(None);
    }
    stage("precision, recall, density, coverage");
    manifold_figures(real, generated, settings).map(Some)
}

#[cfg(test)]
mod tests {
    use super::super::collector::CollectorSettings;
    use super::super::frechet::frechet_distance;
    use super::super::testing::uniform_f32;
    use super::*;

    fn collected(seed: u64, count: usize) -> FeatureCollector {
        let settings = CollectorSettings {
            parts: 4,
            ..CollectorSettings::default()
        };
        let mut collector = FeatureCollector::new(3, settings).unwrap();
        collector.add(&uniform_f32(seed, 3 * count)).unwrap();
        collector
    }

    fn compared(reference: &Reference, measured: &FeatureCollector) -> (Comparison, Vec<String>) {
        let settings = ComparisonSettings {
            bootstrap: BootstrapSettings {
                resamples: 20,
                ..BootstrapSettings::default()
            },
            ..ComparisonSettings::default()
        };
        let mut stages = Vec::new();
        let mut stage = |name: &str| stages.push(name.to_string());
        let found = reference.compare(measured, &settings, &mut stage).unwrap();
        (found, stages)
    }

    #[test]
    fn every_figure_is_that_of_its_own_function() {
        let (real, generated) = (collected(1, 60), collected(2, 50));
        let reference = Reference::of_pictures(&real).unwrap();
        assert_eq!((reference.pictures(), reference.kept()), (Some(60), 60));
        let (found, stages) = compared(&reference, &generated);
        assert_eq!(stages.len(), 4);
        let [one, other] = [&real, &generated].map(|side| side.statistics().total().unwrap());
        let expected = frechet_distance(&one, &other).unwrap();
        assert!((found.figures.frechet.distance - expected.distance).abs() < 1e-12);
        let interval = found.interval.unwrap();
        assert!(interval.low < interval.estimate && interval.estimate < interval.high);
        let kernel = found.figures.kernel.unwrap();
        assert_eq!(kernel.subset_size, 50, "no more than there are");
        let rows = (real.kept().unwrap(), generated.kept().unwrap());
        let manifold = manifold_figures(rows.0, rows.1, &ManifoldSettings::default()).unwrap();
        assert_eq!(found.figures.manifold, Some(manifold));
        assert_eq!((found.figures.score, found.warnings.len()), (None, 0));
    }

    #[test]
    fn of_statistics_only_the_frechet_distance() {
        let statistics = collected(1, 60).statistics().total().unwrap();
        let reference = Reference::of_statistics(&statistics).unwrap();
        let (found, _) = compared(&reference, &collected(2, 50));
        assert!(found.extrapolation.is_some());
        let figures = found.figures;
        assert_eq!((figures.kernel, figures.manifold), (None, None));
    }

    #[test]
    fn a_set_is_at_no_distance_from_itself() {
        let collector = collected(3, 50);
        let reference = Reference::of_pictures(&collector).unwrap();
        let settings = ComparisonSettings::default();
        let figures = reference.figures(&collector, &settings, &mut |_| ());
        let figures = figures.unwrap();
        assert!(figures.frechet.distance < 1e-9, "{figures:?}");
        let manifold = figures.manifold.unwrap();
        assert_eq!((manifold.precision, manifold.recall), (1.0, 1.0));
        assert!(figures.kernel.unwrap().mean.abs() < 0.2);
    }

    #[test]
    fn equal_sets_are_as_far_apart_as_their_means() {
        let features = uniform_f32(3, 3 * 50);
        let moved: Vec<f32> = features.iter().map(|value| value + 2.0).collect();
        let [real, moved] = [features, moved].map(|features| {
            let mut collector = collected(3, 0);
            collector.add(&features).unwrap();
            collector
        });
        let reference = Reference::of_pictures(&real).unwrap();
        let settings = ComparisonSettings::default();
        let measure =
            |measured: &FeatureCollector| reference.figures(measured, &settings, &mut |_| ());
        let distance = measure(&moved).unwrap().frechet.distance;
        assert!((distance - 12.0).abs() < 1e-4, "{distance}");
        assert!(measure(&collected(3, 1)).is_err(), "one has no covariance");
        let settings = CollectorSettings::default();
        let narrow = FeatureCollector::new(2, settings).unwrap();
        assert!(measure(&narrow).is_err());
    }

    #[test]
    fn few_pictures_have_few_figures_and_a_warning() {
        let reference = Reference::of_pictures(&collected(1, 60)).unwrap();
        let (found, _) = compared(&reference, &collected(2, 3));
        assert_eq!((found.interval, found.extrapolation), (None, None));
        assert_eq!(found.figures.manifold, None);
        assert!(found.figures.kernel.is_some());
        assert!(found.warnings[0].contains("3 pictures are too few for 3 features"));
        assert!(found.warnings[1].contains("8 are needed"));
    }
}
