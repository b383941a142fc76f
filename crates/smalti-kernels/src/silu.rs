//! The activation `x * sigmoid(x)` and its gradient, elementwise.

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
            *output = math::silu(input);
        }
    }
}

vectorised! {
    fn backward_values(input: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
        let pairs = input.iter().zip(grad_output);
        for (target, (&input, &gradient)) in grad_input.iter_mut().zip(pairs) {
            *target = gradient * math::silu_derivative(input);
        }
    }
}

/// Slow versions in double precision.
pub mod reference {
    use crate::math::reference::sigmoid;

    /// The output.
    pub fn forward(input: &[f32]) -> Vec<f64> {
        let inputs = input.iter().map(|&x| f64::from(x));
        inputs.map(|x| x * sigmoid(x)).collect()
    }

    /// The gradient of the input.
    pub fn backward(input: &[f32], grad_output: &[f32]) -> Vec<f64> {
        let pairs = input.iter().zip(grad_output);
        pairs
            .map(|(&x, &gradient)| {
                let (x, sigmoid) = (f64::from(x), sigmoid(f64::from(x)));
                f64::from(gradient) * (sigmoid + x * sigmoid * (1.0 - sigmoid))
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
        values(1, len).iter().map(|value| 12.0 * value).collect()
    }

    #[test]
    fn both_passes_match_the_reference() {
        for len in [0, 1, 33, 40_000] {
            let (input, grad_output) = (inputs(len), values(2, len));
            let mut output = vec![f32::NAN; len];
            forward(&input, &mut output);
            assert_close(&output, &reference::forward(&input), 5e-7, "output");
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
