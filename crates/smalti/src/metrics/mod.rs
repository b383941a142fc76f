//! Figures: how well models do, and how exactly that was measured.
//!
//! Of features, whatever network made them: [`FeatureStatistics`] and the [`FrechetDistance`] of two (FID), the
//! [`KernelDistance`] (KID), [`ManifoldFigures`] (precision, recall, density, coverage), the [`InceptionScore`]. A
//! [`FeatureCollector`] takes in what a [`Reference`] computes all of these from. Of pictures: [`ssim`](ssim()) and
//! [`ms_ssim`](ms_ssim()). Of codes: [`CodeHistogram`], and under a prior the [`LikelihoodMeter`]. No figure depends on
//! the number of threads. An [`Interval`] says how much of a difference is chance. A
//! [`Classifier`] says how probably a picture is of a class.

mod bootstrap;
mod chunks;
pub mod classifier;
mod collector;
mod comparison;
mod data_set;
mod distances;
mod extrapolation;
mod frechet;
mod histogram;
mod inception_score;
mod kernel_distance;
mod likelihood;
mod linear_algebra;
mod manifold;
mod ms_ssim;
mod names;
pub mod network;
mod protocol;
mod published;
mod random;
pub mod reconstruction;
mod rows;
mod ssim;
mod statistics;
mod statistics_file;
#[cfg(test)]
mod testing;

pub use bootstrap::{
    BootstrapSettings, Interval, LEAST_VALUES, bootstrap_frechet, bootstrap_mean, too_few_values,
};
pub use chunks::ChunkedStatistics;
pub use classifier::Classifier;
pub use collector::{CollectorSettings, FeatureCollector, PictureFeatures};
pub use comparison::{Comparison, ComparisonSettings, Reference, SetFigures};
pub use extrapolation::{FrechetExtrapolation, extrapolate};
pub use frechet::{FrechetDistance, FrechetReference, frechet_distance};
pub use histogram::{CodeFigures, CodeHistogram};
pub use inception_score::{InceptionScore, InceptionScoreMeter};
pub use kernel_distance::{
    KernelDistance, KernelDistanceSettings, kernel_distance, squared_discrepancy,
};
pub use likelihood::{LikelihoodFigures, LikelihoodMeter};
pub use manifold::{ManifoldFigures, ManifoldSettings, manifold_figures};
pub use ms_ssim::ms_ssim;
pub use names::FigureNames;
pub use network::FeatureNetwork;
pub use protocol::Protocol;
pub use published::PublishedStatistics;
pub use reconstruction::{
    Likeness, ReconstructionFigures, ReconstructionIntervals, ReconstructionMeter,
};
pub use rows::FeatureRows;
pub use ssim::{SsimWindow, ssim};
pub use statistics::FeatureStatistics;
