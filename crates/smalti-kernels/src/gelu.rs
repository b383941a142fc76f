//! The activation `x * P(X <= x)` for a standard normal `X`, in its exact form, and its gradient.

use crate::dispatch::{self, vectorised};
use crate::math;
use rayon::prelude::*;

/// Values per job of the thread pool.
const JOB: usize = 16 * 1024;

/// Computes the output.
pub fn forward(input: &[f32], output: &mut [f32]) {
    assert_eq!(input.len(), output.len(), "output values");
    let isa = dispatch::isa();
    let jobs = output.par_chunks_mut(JOB).zip(input.par_chunks(JOB));
    jobs.for_each(|(output, input)| forward_values(isa, input, output));
}

/// Computes the gradient of the input from that of the output.
pub fn backward(input: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
    assert_eq!(input.len(), grad_output.len(), "gradient values");
    assert_eq!(input.len(), grad_input.len(), "gradient values");
    let isa = dispatch::isa();
    let inputs = input.par_chunks(JOB).zip(grad_output.par_chunks(JOB));
    let jobs = grad_input.par_chunks_mut(JOB).zip(inputs);
    jobs.for_each(|(grad_input, (input, grad_output))| {
        backward_values(isa, input, grad_output, grad_input);
    });
}

vectorised! {
    fn forward_values(input: &[f32], output: &mut [f32]) {
        for (output, &input) in output.iter_mut().zip(input) {
            *output = input * math::normal_distribution(input);
        }
    }
}

vectorised! {
    fn backward_values(input: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
        let pairs = input.iter().zip(grad_output);
        for (target, (&input, &gradient)) in grad_input.iter_mut().zip(pairs) {
            let slope = math::normal_distribution(input) + input * math::normal_density(input);
            *target = gradient * slope;
        }
    }
}

/// Slow versions in double precision.
pub mod reference {
    use crate::math::reference::erf;
    use std::f64::consts::{PI, SQRT_2};

    fn distribution(x: f64) -> f64 {
        0.5 * (1.0 + erf(x / SQRT_2))
    }

    /// The output.
    pub fn forward(input: &[f32]) -> Vec<f64> {
        let inputs = input.iter().map(|&x| f64::from(x));
        inputs.map(|x| x * distribution(x)).collect()
    }

    /// The gradient of the input.
    pub fn backward(input: &[f32], grad_output: &[f32]) -> Vec<f64> {
        let pairs = input.iter().zip(grad_output);
        pairs
            .map(|(&x, &gradient)| {
                let x = f64::from(x);
                let density = (-0.5 * x * x).exp() / (2.0 * PI).sqrt();
                f64::from(gradient) * (distribution(x) + x * density)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::Isa;
    use crate::testing::{assert_close, assert_gradient, levels, values, weighted_sum};

    fn inputs(len: usize) -> Vec<f32> {
        values(1, len).iter().map(|value| 8.0 * value).collect()
    }

    #[test]
    fn both_passes_match_the_reference() {
        for len in [0, 1, 33, 40_000] {
            let (input, grad_output) = (inputs(len), values(2, len));
            let mut output = vec![f32::NAN; len];
            forward(&input, &mut output);
            assert_close(&output, &reference::forward(&input), 2e-6, "output");
            let mut grad_input = vec![f32::NAN; len];
            backward(&input, &grad_output, &mut grad_input);
            let truth = reference::backward(&input, &grad_output);
            assert_close(&grad_input, &truth, 2e-6, "gradient");
        }
    }

    #[test]
    fn reference_gradient_matches_difference_quotients() {
        let (input, weights) = (inputs(20), values(3, 20));
        let gradient = reference::backward(&input, &weights);
        let loss = |input: &[f32]| weighted_sum(&reference::forward(input), &weights);
        assert_gradient(&input, &gradient, loss);
    }

    #[test]
    fn levels_agree() {
        let (input, grad_output) = (inputs(75), values(2, 75));
        let run = |level| {
            let mut results = [vec![0.0; 75], vec![0.0; 75]];
            forward_values(level, &input, &mut results[0]);
            backward_values(level, &input, &grad_output, &mut results[1]);
            results
        };
        for level in levels() {
            assert_eq!(run(level), run(Isa::Portable));
        }
    }
}
