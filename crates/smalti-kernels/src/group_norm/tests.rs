//! Fast versions of group normalisation against the slow ones at every instruction set, and gradients against difference quotients.

use super::*;
use crate::dispatch::Isa;
use crate::testing::{assert_close, assert_gradient, in_pool, levels, values, weighted_sum};

const EPSILON: f32 = 1e-6;

const ALL: [Activation; 4] = [
    Activation::None,
    Activation::Silu,
    Activation::Relu,
    Activation::LeakyRelu,
];

fn shapes() -> Vec<GroupNormShape> {
    [
        [1, 1, 3, 1],
        [2, 35, 5, 5],
        [1, 153, 32, 32],
        [3, 17, 33, 3],
        [2, 1500, 12, 4],
        [0, 4, 4, 2],
    ]
    .map(|[batch, positions, channels, groups]| GroupNormShape {
        batch,
        positions,
        channels,
        groups,
    })
    .to_vec()
}

fn layer(
    shape: GroupNormShape,
    parameters: &[Vec<f32>; 2],
    activation: Activation,
) -> GroupNorm<'_> {
    GroupNorm {
        shape,
        gamma: &parameters[0],
        beta: &parameters[1],
        epsilon: EPSILON,
        activation,
    }
}

/// Output, mean, reciprocal standard deviation and the gradients of input, gamma and beta.
fn fast(layer: &GroupNorm<'_>, input: &[f32], grad_output: &[f32]) -> [Vec<f32>; 6] {
    let unset = |len| vec![f32::NAN; len];
    let statistics = layer.shape.batch * layer.shape.groups;
    let (mut output, mut grad_input) = (unset(input.len()), unset(input.len()));
    let (mut mean, mut rstd) = (unset(statistics), unset(statistics));
    let channels = layer.shape.channels;
    let (mut grad_gamma, mut grad_beta) = (unset(channels), unset(channels));
    forward(layer, input, &mut output, &mut mean, &mut rstd);
    let saved = Statistics {
        mean: &mean,
        rstd: &rstd,
    };
    let gradients = Gradients {
        input: &mut grad_input,
        gamma: &mut grad_gamma,
        beta: &mut grad_beta,
    };
    backward(layer, input, saved, grad_output, gradients);
    [output, mean, rstd, grad_input, grad_gamma, grad_beta]
}

fn parameters(channels: usize) -> [Vec<f32>; 2] {
    [values(2, channels), values(3, channels)]
}

#[test]
fn both_passes_match_the_reference() {
    for shape in shapes() {
        let parameters = parameters(shape.channels);
        let (input, grad_output) = (values(1, shape.len()), values(4, shape.len()));
        for activation in ALL {
            let layer = layer(shape, &parameters, activation);
            let results = in_pool(2, || fast(&layer, &input, &grad_output));
            let output = reference::forward(&layer, &input);
            let gradients = reference::backward(&layer, &input, &grad_output);
            assert_close(&results[0], &output.values, 5e-6, "output");
            assert_close(&results[1], &output.mean, 1e-6, "mean");
            assert_close(&results[2], &output.rstd, 1e-6, "rstd");
            assert_close(&results[3], &gradients.input, 5e-5, "input gradient");
            assert_close(&results[4], &gradients.gamma, 5e-5, "gamma gradient");
            assert_close(&results[5], &gradients.beta, 5e-5, "beta gradient");
        }
    }
}

#[test]
fn a_large_mean_does_not_spoil_the_variance() {
    let shape = shapes()[4];
    let parameters = parameters(shape.channels);
    let layer = layer(shape, &parameters, Activation::None);
    let input: Vec<f32> = values(1, shape.len())
        .into_iter()
        .map(|value| value + 1000.0)
        .collect();
    let results = fast(&layer, &input, &input);
    let truth = reference::forward(&layer, &input);
    assert_close(&results[2], &truth.rstd, 1e-5, "rstd");
    assert_close(&results[0], &truth.values, 1e-3, "output");
}

#[test]
fn reference_gradients_match_difference_quotients() {
    let shape = shapes()[3];
    let shape = GroupNormShape { batch: 1, ..shape };
    let parameters = parameters(shape.channels);
    let (input, weights) = (values(1, shape.len()), values(4, shape.len()));
    // Difference quotients across the kink of the others would not be derivatives.
    for activation in [Activation::None, Activation::Silu] {
        let plain = layer(shape, &parameters, activation);
        let loss = |layer: &GroupNorm<'_>, input: &[f32]| {
            weighted_sum(&reference::forward(layer, input).values, &weights)
        };
        let gradients = reference::backward(&plain, &input, &weights);
        assert_gradient(&input, &gradients.input, |x| loss(&plain, x));
        assert_gradient(&parameters[0], &gradients.gamma, |gamma| {
            let layer = GroupNorm { gamma, ..plain };
            loss(&layer, &input)
        });
        assert_gradient(&parameters[1], &gradients.beta, |beta| {
            let layer = GroupNorm { beta, ..plain };
            loss(&layer, &input)
        });
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for shape in shapes() {
        let parameters = parameters(shape.channels);
        let (input, grad_output) = (values(1, shape.len()), values(4, shape.len()));
        let layer = layer(shape, &parameters, Activation::Silu);
        let run = |threads| in_pool(threads, || fast(&layer, &input, &grad_output));
        assert_eq!(run(1), run(3));
        assert_eq!(run(2), run(2));
    }
}

#[test]
fn levels_agree() {
    let (rows, gradients) = (values(1, 33 * 7), values(2, 33 * 7));
    let coefficients = values(3, 33 * 6);
    let run = |level, activation| {
        let mut sums = vec![0.0; 66];
        accumulate_moments(level, &rows, &mut sums);
        let normal = &coefficients[..33 * 4];
        accumulate_gradients(level, &rows, &gradients, normal, activation, &mut sums);
        let mut results = [vec![0.0; rows.len()], vec![0.0; rows.len()]];
        normalise_rows(
            level,
            &rows,
            &coefficients[..99],
            activation,
            &mut results[0],
        );
        let target = &mut results[1];
        differentiate_rows(level, &rows, &gradients, &coefficients, activation, target);
        (sums, results)
    };
    for level in levels() {
        for activation in ALL {
            assert_eq!(run(level, activation), run(Isa::Portable, activation));
        }
    }
}
