//! Figures: how well models do, and how exactly that was measured.

pub mod reconstruction;

pub use reconstruction::{ReconstructionFigures, ReconstructionMeter};
