//! What changes in the course of a training: the discriminator joins, temperatures fall, weights rise.

use super::TokenizerTraining;
use crate::tokenizer::quantizer::QuantizerStep;

/// The part of a run that may pass before vectors are quantised.
const UNQUANTIZED: f64 = 0.1;

/// What is particular about one step.
#[derive(Debug, Clone, Copy)]
pub struct StepPlan {
    /// From 0.
    pub step: u64,
    pub learning_rate: f64,
    /// Whether the discriminator trains.
    pub discriminator: bool,
    /// How much of the adversarial loss the decoder feels, 0 to 1.
    pub adversarial: f32,
    pub quantizer: QuantizerStep,
}

impl TokenizerTraining {
    /// What is particular about step `step` (from 0), when `progress` (0 to 1) of the run is over.
    pub fn plan(&self, step: u64, progress: f64) -> StepPlan {
        // How many steps there will be, as far as is known now; rounding must not put a join off by a step.
        let total = if progress > 0.0 {
            step as f64 / progress
        } else {
            f64::MAX
        };
        let in_steps = |value: f64| if value < 1.0 { value * total } else { value };
        let since = step as f64 - in_steps(self.discriminator_start) + 1e-6;
        let wanted = self.discriminator_weight > 0.0;
        let rise = |since: f64, length: f64| {
            if length > 0.0 {
                (since / length).clamp(0.0, 1.0)
            } else {
                f64::from(u8::from(since >= 0.0))
            }
        };
        let felt = rise(since, in_steps(self.discriminator_ramp));
        let divergence = rise(step as f64, in_steps(self.kl_warmup));
        let fall = 0.5 * (1.0 + (std::f64::consts::PI * progress.clamp(0.0, 1.0)).cos()) as f32;
        StepPlan {
            step,
            learning_rate: self.schedule().at(step, progress),
            discriminator: wanted && since + in_steps(self.discriminator_warmup) >= 0.0,
            adversarial: if wanted { felt as f32 } else { 0.0 },
            quantizer: QuantizerStep {
                gradient: self.code_gradient,
                temperature: self.final_temperature
                    + (self.temperature - self.final_temperature) * fall,
                divergence: divergence as f32,
                entropy_weight: self.entropy_weight,
                bypass: step < self.kmeans_step && progress < UNQUANTIZED,
                seed: self.seed ^ (step + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn training() -> TokenizerTraining {
        TokenizerTraining {
            discriminator_start: 0.5,
            discriminator_warmup: 0.2,
            discriminator_ramp: 0.1,
            ..TokenizerTraining::default()
        }
    }

    fn at(training: &TokenizerTraining, step: u64) -> (bool, f32) {
        let plan = training.plan(step, step as f64 / 60.0);
        (plan.discriminator, plan.adversarial)
    }

    #[test]
    fn the_discriminator_learns_alone_and_then_gains_weight() {
        let fractions = training();
        let steps = TokenizerTraining {
            discriminator_start: 30.0,
            discriminator_warmup: 12.0,
            discriminator_ramp: 6.0,
            ..training()
        };
        for training in [fractions, steps] {
            assert_eq!(at(&training, 17), (false, 0.0));
            assert_eq!(at(&training, 18), (true, 0.0));
            assert_eq!(at(&training, 29), (true, 0.0));
            let (_, felt) = at(&training, 33);
            assert!((felt - 0.5).abs() < 1e-5, "{felt}");
            assert_eq!(at(&training, 36), (true, 1.0));
        }
    }

    #[test]
    fn it_joins_at_once_where_nothing_else_is_said() {
        let training = TokenizerTraining {
            discriminator_warmup: 0.0,
            discriminator_ramp: 0.0,
            ..training()
        };
        assert_eq!(at(&training, 29), (false, 0.0));
        assert_eq!(at(&training, 30), (true, 1.0));
        let never = TokenizerTraining {
            discriminator_weight: 0.0,
            ..training
        };
        assert_eq!(at(&never, 50), (false, 0.0));
    }

    #[test]
    fn gumbel_softmax_becomes_hard_and_its_divergence_gains_weight() {
        let of = |kl_warmup: f64, step: u64| {
            let training = TokenizerTraining {
                kl_warmup,
                ..TokenizerTraining::default()
            };
            let quantizer = training.plan(step, step as f64 / 60.0).quantizer;
            (quantizer.temperature, quantizer.divergence)
        };
        for kl_warmup in [0.2, 12.0] {
            assert_eq!(of(kl_warmup, 0), (1.0, 0.0));
            assert!((of(kl_warmup, 3).1 - 0.25).abs() < 1e-5);
            assert_eq!(of(kl_warmup, 12).1, 1.0);
        }
        assert_eq!(of(0.0, 0).1, 1.0);
        let (middle, end) = (of(0.0, 30).0, of(0.0, 60).0);
        assert!((middle - 17.0 / 32.0).abs() < 1e-6, "{middle}");
        assert!((end - 1.0 / 16.0).abs() < 1e-6, "{end}");
    }

    #[test]
    fn vectors_pass_unquantised_for_a_tenth_of_the_run_at_most() {
        let training = TokenizerTraining {
            kmeans_step: 200,
            ..training()
        };
        let bypass = |step: u64| training.plan(step, step as f64 / 60.0).quantizer.bypass;
        assert!(bypass(0) && bypass(5) && !bypass(6));
        let long = |step: u64| training.plan(step, step as f64 / 1e6).quantizer.bypass;
        assert!(long(199) && !long(200));
    }
}
