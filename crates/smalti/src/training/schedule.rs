//! What changes over a run: the learning rate, with a linear warm-up, then constant or falling along a cosine; and the
//! temperature of Gumbel-softmax.

use serde::{Deserialize, Serialize};

/// How the learning rate moves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LearningRate {
    /// The rate after the warm-up.
    pub peak: f64,
    /// Steps of linear warm-up from 0.
    pub warmup: u64,
    /// The rate at the end as a fraction of the peak; 1 keeps it constant, as the authors do.
    pub end: f64,
}

impl LearningRate {
    /// The rate of step `step` (from 0) when `progress` (0 to 1) of the run is over.
    pub fn at(&self, step: u64, progress: f64) -> f64 {
        if step < self.warmup {
            return self.peak * (step + 1) as f64 / self.warmup as f64;
        }
        let fall = 0.5 * (1.0 + (std::f64::consts::PI * progress.clamp(0.0, 1.0)).cos());
        self.peak * (self.end + (1.0 - self.end) * fall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warms_up_then_falls_to_the_end() {
        let rate = LearningRate {
            peak: 1.0,
            warmup: 10,
            end: 0.1,
        };
        assert!((rate.at(0, 0.0) - 0.1).abs() < 1e-12);
        assert!((rate.at(9, 0.0) - 1.0).abs() < 1e-12);
        assert!((rate.at(10, 0.5) - 0.55).abs() < 1e-12);
        assert!((rate.at(99, 1.0) - 0.1).abs() < 1e-12);
    }
}
