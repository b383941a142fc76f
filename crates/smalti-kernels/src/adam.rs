//! One step of AdamW on the values of a parameter, in a single pass over memory.
//!
//! The order of operations follows PyTorch: weight decay shrinks the parameter first, then both
//! moments move towards the gradient, then the parameter moves by
//! `rate / correction1 * m / (sqrt(v) / sqrt(correction2) + epsilon)`.

use crate::dispatch::{self, vectorised};
use rayon::prelude::*;

/// Values per job of the thread pool.
const JOB: usize = 16 * 1024;

/// Scalars of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    pub learning_rate: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// `1 - beta1^t` for step `t`, counted from one.
    pub bias_correction1: f64,
    /// `1 - beta2^t`.
    pub bias_correction2: f64,
}

impl AdamStep {
    fn factors(&self) -> Factors {
        Factors {
            keep: (1.0 - self.learning_rate * self.weight_decay) as f32,
            first: (1.0 - self.beta1) as f32,
            second_keep: self.beta2 as f32,
            second: (1.0 - self.beta2) as f32,
            root: self.bias_correction2.sqrt() as f32,
            epsilon: self.epsilon as f32,
            rate: (self.learning_rate / self.bias_correction1) as f32,
        }
    }
}

/// Updates the parameters and both moments in place.
pub fn step(
    step: &AdamStep,
    parameters: &mut [f32],
    gradient: &[f32],
    first_moment: &mut [f32],
    second_moment: &mut [f32],
) {
    assert_eq!(gradient.len(), parameters.len(), "gradient");
    assert_eq!(first_moment.len(), parameters.len(), "first moment");
    assert_eq!(second_moment.len(), parameters.len(), "second moment");
    let (isa, factors) = (dispatch::isa(), step.factors());
    let moments = first_moment
        .par_chunks_mut(JOB)
        .zip(second_moment.par_chunks_mut(JOB));
    let jobs = parameters.par_chunks_mut(JOB).zip(gradient.par_chunks(JOB));
    jobs.zip(moments)
        .for_each(|((parameters, gradient), (first, second))| {
            update(isa, factors, parameters, gradient, first, second);
        });
}

/// The scalars as the loop uses them.
#[derive(Clone, Copy)]
struct Factors {
    /// What weight decay leaves of a parameter.
    keep: f32,
    /// Share of the gradient in the first moment.
    first: f32,
    /// What is left of the second moment.
    second_keep: f32,
    /// Share of the squared gradient in the second moment.
    second: f32,
    /// Square root of the second bias correction.
    root: f32,
    epsilon: f32,
    /// Learning rate with the first bias correction.
    rate: f32,
}

vectorised! {
    fn update(
        factors: Factors,
        parameters: &mut [f32],
        gradient: &[f32],
        first_moment: &mut [f32],
        second_moment: &mut [f32],
    ) {
        let moments = first_moment.iter_mut().zip(second_moment);
        let values = parameters.iter_mut().zip(gradient);
        for ((parameter, &gradient), (first, second)) in values.zip(moments) {
            *first += factors.first * (gradient - *first);
            *second = factors.second_keep * *second + factors.second * gradient * gradient;
            let spread = second.sqrt() / factors.root + factors.epsilon;
            *parameter = *parameter * factors.keep - factors.rate * (*first / spread);
        }
    }
}

/// The slow version in double precision.
pub mod reference {
    use super::AdamStep;

    /// The parameters and both moments after the step.
    pub fn step(
        step: &AdamStep,
        parameters: &[f32],
        gradient: &[f32],
        first_moment: &[f32],
        second_moment: &[f32],
    ) -> [Vec<f64>; 3] {
        let mut parameters_after = Vec::new();
        let (mut first_after, mut second_after) = (Vec::new(), Vec::new());
        for index in 0..parameters.len() {
            let gradient = f64::from(gradient[index]);
            let decay = step.learning_rate * step.weight_decay;
            let decayed = f64::from(parameters[index]) * (1.0 - decay);
            let first = f64::from(first_moment[index]) * step.beta1 + gradient * (1.0 - step.beta1);
            let second = f64::from(second_moment[index]) * step.beta2
                + gradient * gradient * (1.0 - step.beta2);
            let mean = first / step.bias_correction1;
            let spread = (second / step.bias_correction2).sqrt();
            let change = step.learning_rate * mean / (spread + step.epsilon);
            parameters_after.push(decayed - change);
            first_after.push(first);
            second_after.push(second);
        }
        [parameters_after, first_after, second_after]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::Isa;
    use crate::testing::{assert_close, levels, values};

    const STEP: AdamStep = AdamStep {
        learning_rate: 0.01,
        beta1: 0.5,
        beta2: 0.9,
        epsilon: 1e-8,
        weight_decay: 0.1,
        bias_correction1: 1.0 - 0.125,
        bias_correction2: 1.0 - 0.729,
    };

    /// Parameters, gradient, first and second moment.
    fn data(len: usize) -> [Vec<f32>; 4] {
        let squares = values(4, len).iter().map(|value| value * value).collect();
        [values(1, len), values(2, len), values(3, len), squares]
    }

    #[test]
    fn steps_match_the_reference() {
        for len in [0, 1, 33, 40_000] {
            let [mut parameters, gradient, mut first, mut second] = data(len);
            let truth = reference::step(&STEP, &parameters, &gradient, &first, &second);
            step(&STEP, &mut parameters, &gradient, &mut first, &mut second);
            assert_close(&parameters, &truth[0], 2e-6, "parameters");
            assert_close(&first, &truth[1], 1e-6, "first moment");
            assert_close(&second, &truth[2], 1e-6, "second moment");
        }
    }

    #[test]
    fn the_first_step_moves_by_the_learning_rate() {
        let first_step = AdamStep {
            weight_decay: 0.0,
            bias_correction1: 0.5,
            bias_correction2: 0.1,
            ..STEP
        };
        let (mut parameters, mut first, mut second) = ([1.0, 1.0], [0.0; 2], [0.0; 2]);
        step(
            &first_step,
            &mut parameters,
            &[3.0, -0.2],
            &mut first,
            &mut second,
        );
        assert_close(&parameters, &[0.99, 1.01], 1e-6, "parameters");
    }

    #[test]
    fn levels_agree() {
        let run = |level| {
            let [mut parameters, gradient, mut first, mut second] = data(75);
            let factors = STEP.factors();
            update(
                level,
                factors,
                &mut parameters,
                &gradient,
                &mut first,
                &mut second,
            );
            [parameters, first, second]
        };
        for level in levels() {
            assert_eq!(run(level), run(Isa::Portable));
        }
    }
}
