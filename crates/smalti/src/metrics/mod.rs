//! Figures: how well models do, and how exactly that was measured.

pub mod network;
pub mod reconstruction;

pub use network::FeatureNetwork;
pub use reconstruction::{ReconstructionFigures, ReconstructionMeter};
