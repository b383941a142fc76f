//! When there is no use in going on: the held-back pictures have not become more probable for a while, and the prior
//! learns its training pictures by heart.

use crate::checkpoint::{HostTensor, TensorMap};

/// Where the state is kept.
const KEY: &str = "patience";

/// Watches a figure that is to fall.
#[derive(Debug, Clone, PartialEq)]
pub struct Patience {
    /// Measurements without a better one after which to stop; 0 never stops.
    limit: u64,
    /// The smallest so far, and the step it was measured at.
    best: Option<(f64, u64)>,
    /// Measurements since.
    waited: u64,
}

impl Patience {
    pub fn new(limit: u64) -> Self {
        Self {
            limit,
            best: None,
            waited: 0,
        }
    }

    /// Whether anybody waits for it to fall.
    pub fn is_used(&self) -> bool {
        self.limit > 0
    }

    /// Takes in a measurement at `step`; whether it is the smallest so far.
    pub fn measured(&mut self, value: f64, step: u64) -> bool {
        let better = self.best.is_none_or(|(best, _)| value < best);
        if better {
            self.best = Some((value, step));
            self.waited = 0;
        } else {
            self.waited += 1;
        }
        better
    }

    /// Why to stop, when it is time.
    pub fn exhausted(&self) -> Option<String> {
        let (best, step) = self.best?;
        (self.is_used() && self.waited >= self.limit).then(|| {
            format!(
                "stopped early: {} measurements without a better one than {best:.4} nats per code at step {step}, whose \
                 model is best.safetensors",
                self.waited
            )
        })
    }

    /// Puts what must be known to go on into a training state.
    pub fn save(&self, state: &mut TensorMap) {
        if let Some((best, step)) = self.best.filter(|_| self.is_used()) {
            let values = [best.to_bits(), step, self.waited].map(|value| value as i64);
            state.insert(KEY.into(), HostTensor::i64([3], values.to_vec()));
        }
    }

    /// Takes up what [`Patience::save`] put there.
    pub fn load(&mut self, state: &TensorMap) {
        let values = state.get(KEY).and_then(HostTensor::as_i64);
        if let Some(&[best, step, waited]) = values {
            let best = f64::from_bits(best as u64);
            // A number that is none would never be undercut.
            self.best = best.is_finite().then_some((best, step as u64));
            self.waited = waited as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_after_so_many_measurements_without_a_better_one() {
        let mut patience = Patience::new(2);
        assert!(patience.measured(5.0, 10));
        assert!(!patience.measured(5.0, 20));
        assert!(patience.measured(4.5, 30));
        assert!(!patience.measured(4.6, 40) && patience.exhausted().is_none());
        assert!(!patience.measured(4.7, 50));
        let reason = patience.exhausted().unwrap();
        assert!(
            reason.contains("4.5000") && reason.contains("step 30"),
            "{reason}"
        );
    }

    #[test]
    fn without_a_limit_it_never_ends_and_leaves_no_state() {
        let mut patience = Patience::new(0);
        for step in 0..100 {
            patience.measured(step as f64, step);
        }
        assert!(patience.exhausted().is_none());
        let mut state = TensorMap::new();
        patience.save(&mut state);
        assert!(state.is_empty());
    }

    #[test]
    fn it_goes_on_where_it_was() {
        let mut patience = Patience::new(3);
        patience.measured(1.0 / 3.0, 7);
        patience.measured(0.5, 8);
        let mut state = TensorMap::new();
        patience.save(&mut state);
        let mut read = Patience::new(3);
        read.load(&state);
        assert_eq!(read, patience);
        let broken = HostTensor::i64([3], vec![f64::NAN.to_bits() as i64, 1, 2]);
        read.load(&TensorMap::from([(KEY.to_string(), broken)]));
        assert!(read.exhausted().is_none());
        read.load(&TensorMap::new());
    }
}
