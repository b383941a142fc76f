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

/// How the temperature of Gumbel-softmax moves: in a straight line to its highest, then along a cosine to its end
/// (`LambdaWarmUpCosineScheduler` of taming/lr_scheduler.py).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Temperature {
    pub warmup_steps: u64,
    /// At step 0, if there is a warm-up.
    pub start: f64,
    /// At the end of the warm-up.
    pub highest: f64,
    /// After the decay.
    pub end: f64,
    /// The step at which the cosine is at its end, counted from the beginning of the run.
    pub decay_steps: u64,
}

impl Temperature {
    /// The temperature of step `step`, from 0.
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            let done = step as f64 / self.warmup_steps as f64;
            return self.start + (self.highest - self.start) * done;
        }
        let steps = self.decay_steps.saturating_sub(self.warmup_steps).max(1);
        let done = ((step - self.warmup_steps) as f64 / steps as f64).min(1.0);
        let fall = 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
        self.end + (self.highest - self.end) * fall
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_temperature_rises_then_falls() {
        let temperature = Temperature {
            warmup_steps: 100,
            start: 0.5,
            highest: 0.9,
            end: 0.1,
            decay_steps: 1100,
        };
        for (step, truth) in [
            (0, 0.5),
            (25, 0.6),
            (100, 0.9),
            (350, 0.782_842_712_474_619),
            (600, 0.5),
            (1100, 0.1),
            (5000, 0.1),
        ] {
            assert!((temperature.at(step) - truth).abs() < 1e-12, "step {step}");
        }
    }

    #[test]
    fn a_decay_shorter_than_the_warm_up_is_over_at_once() {
        let temperature = Temperature {
            warmup_steps: 10,
            start: 1.0,
            highest: 1.0,
            end: 0.5,
            decay_steps: 5,
        };
        assert_eq!(temperature.at(10), 1.0);
        assert_eq!(temperature.at(11), 0.5);
    }

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
