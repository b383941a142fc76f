//! How long a run is to last, how far it is, and how fast.

use crate::checkpoint::{HostTensor, TensorMap};
use std::time::Instant;

/// How long to train.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Budget {
    Steps(u64),
    Minutes(f64),
}

/// How far a run is, and how fast.
pub struct Clock {
    budget: Budget,
    started: Instant,
    /// Seconds that earlier sessions of this run took.
    before: f64,
    first_step: u64,
    step: u64,
}

impl Clock {
    /// A clock for a run that goes on from `step` after `before` seconds of training.
    pub fn new(budget: Budget, step: u64, before: f64) -> Self {
        Self {
            budget,
            started: Instant::now(),
            before,
            first_step: step,
            step,
        }
    }

    pub fn step(&self) -> u64 {
        self.step
    }

    pub fn advance(&mut self) {
        self.step += 1;
    }

    /// Seconds of training so far, earlier sessions included.
    pub fn elapsed(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }

    /// The part of the run that is over, 0 to 1.
    pub fn progress(&self) -> f64 {
        match self.budget {
            Budget::Steps(steps) => self.step as f64 / steps.max(1) as f64,
            Budget::Minutes(minutes) => self.elapsed() / (60.0 * minutes).max(1e-9),
        }
    }

    pub fn done(&self) -> bool {
        match self.budget {
            Budget::Steps(steps) => self.step >= steps,
            Budget::Minutes(_) => self.progress() >= 1.0,
        }
    }

    /// Puts the time so far into a training state.
    pub fn save(&self, state: &mut TensorMap) {
        let seconds = vec![self.elapsed() as f32];
        state.insert("seconds".into(), HostTensor::f32([1], seconds));
    }

    /// The time that [`Clock::save`] put into a training state; 0 if there is none.
    pub fn saved_seconds(state: &TensorMap) -> f64 {
        let seconds = state.get("seconds").and_then(HostTensor::as_f32);
        let seconds = seconds.and_then(|values| values.first()).copied();
        seconds
            .filter(|value| value.is_finite())
            .map_or(0.0, f64::from)
    }

    /// Steps per second in this session.
    pub fn rate(&self) -> f64 {
        (self.step - self.first_step) as f64 / self.started.elapsed().as_secs_f64().max(1e-9)
    }

    /// The number of the last step, estimated where the budget is in minutes.
    pub fn steps(&self) -> u64 {
        match self.budget {
            Budget::Steps(steps) => steps,
            Budget::Minutes(_) => self.step.saturating_add((self.left() * self.rate()) as u64),
        }
    }

    /// Seconds left.
    pub fn left(&self) -> f64 {
        match self.budget {
            Budget::Steps(steps) => steps.saturating_sub(self.step) as f64 / self.rate().max(1e-9),
            Budget::Minutes(minutes) => (60.0 * minutes - self.elapsed()).max(0.0),
        }
    }
}
