//! Layer normalisation of the rows of a matrix, with its gradients.
//!
//! Tensors are `[rows, channels]`; mean and reciprocal standard deviation are `[rows]`. Gradients
//! of the parameters are summed over fixed blocks of rows, which are then added in order.

use crate::dispatch::{self, vectorised};
use crate::math::{sum_by, sum_by_pairs};
use crate::reduce::{fold, rows_per_block};
use rayon::prelude::*;

/// A normalisation with its parameters, each `[channels]`.
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm<'a> {
    pub gamma: &'a [f32],
    pub beta: &'a [f32],
    /// Added to the variance.
    pub epsilon: f32,
}

impl LayerNorm<'_> {
    fn channels(&self) -> usize {
        self.gamma.len()
    }

    fn assert_lengths(&self, tensors: &[usize], statistics: &[usize]) {
        let channels = self.channels();
        assert!(channels > 0, "rows without channels");
        assert_eq!(self.beta.len(), channels, "beta");
        for &len in tensors {
            assert_eq!(len, statistics[0] * channels, "values");
        }
        for &len in statistics {
            assert_eq!(len, statistics[0], "statistics");
        }
    }
}

/// What the forward pass leaves for the backward pass, each `[rows]`.
#[derive(Clone, Copy, Debug)]
pub struct Statistics<'a> {
    pub mean: &'a [f32],
    /// Reciprocal of the standard deviation.
    pub rstd: &'a [f32],
}

/// Where the backward pass writes.
#[derive(Debug)]
pub struct Gradients<'a> {
    pub input: &'a mut [f32],
    pub gamma: &'a mut [f32],
    pub beta: &'a mut [f32],
}

/// Computes the output and the statistics; the number of rows is that of `mean`.
pub fn forward(
    layer: &LayerNorm<'_>,
    input: &[f32],
    output: &mut [f32],
    mean: &mut [f32],
    rstd: &mut [f32],
) {
    layer.assert_lengths(&[input.len(), output.len()], &[mean.len(), rstd.len()]);
    let isa = dispatch::isa();
    let block = rows_per_block(mean.len());
    let statistics = mean.par_chunks_mut(block).zip(rstd.par_chunks_mut(block));
    let values = block * layer.channels();
    let rows = output.par_chunks_mut(values).zip(input.par_chunks(values));
    rows.zip(statistics)
        .for_each(|((output, input), (mean, rstd))| {
            normalise_rows(isa, layer, input, output, mean, rstd);
        });
}

/// Computes the gradients of input and parameters from that of the output.
pub fn backward(
    layer: &LayerNorm<'_>,
    input: &[f32],
    statistics: Statistics<'_>,
    grad_output: &[f32],
    gradients: Gradients<'_>,
) {
    layer.assert_lengths(
        &[input.len(), grad_output.len(), gradients.input.len()],
        &[statistics.mean.len(), statistics.rstd.len()],
    );
    let (channels, rows) = (layer.channels(), statistics.mean.len());
    assert_eq!(gradients.gamma.len(), channels, "gamma");
    assert_eq!(gradients.beta.len(), channels, "beta");
    let isa = dispatch::isa();
    let block = rows_per_block(rows);
    let mut partials = vec![0.0f64; rows.div_ceil(block) * 2 * channels];
    let targets = gradients.input.par_chunks_mut(block * channels);
    let jobs = targets
        .zip(partials.par_chunks_mut(2 * channels))
        .enumerate();
    jobs.for_each(|(index, (target, sums))| {
        let rows = index * block..rows.min((index + 1) * block);
        let values = rows.start * channels..rows.end * channels;
        let saved = Statistics {
            mean: &statistics.mean[rows.clone()],
            rstd: &statistics.rstd[rows],
        };
        let (input, grad_output) = (&input[values.clone()], &grad_output[values]);
        differentiate_rows(isa, layer, input, saved, grad_output, target);
        accumulate_parameters(isa, input, saved, grad_output, sums);
    });
    let totals = fold(&partials, 2 * channels);
    let (grad_beta, grad_gamma) = totals.split_at(channels);
    for (target, &total) in gradients.beta.iter_mut().zip(grad_beta) {
        *target = total as f32;
    }
    for (target, &total) in gradients.gamma.iter_mut().zip(grad_gamma) {
        *target = total as f32;
    }
}

vectorised! {
    fn normalise_rows(
        layer: &LayerNorm<'_>,
        input: &[f32],
        output: &mut [f32],
        means: &mut [f32],
        rstds: &mut [f32],
    ) {
        let channels = layer.channels();
        let rows = input.chunks_exact(channels).zip(output.chunks_exact_mut(channels));
        for ((row, output), (mean, rstd)) in rows.zip(means.iter_mut().zip(rstds)) {
            let centre = sum_by(row, |value| value) / channels as f32;
            let variance = sum_by(row, |value| (value - centre) * (value - centre));
            let scale = 1.0 / (variance / channels as f32 + layer.epsilon).sqrt();
            (*mean, *rstd) = (centre, scale);
            let parameters = layer.gamma.iter().zip(layer.beta);
            for ((output, value), (gamma, beta)) in output.iter_mut().zip(row).zip(parameters) {
                *output = (value - centre) * scale * gamma + beta;
            }
        }
    }
}

vectorised! {
    fn differentiate_rows(
        layer: &LayerNorm<'_>,
        input: &[f32],
        saved: Statistics<'_>,
        grad_output: &[f32],
        target: &mut [f32],
    ) {
        let channels = layer.channels();
        let statistics = saved.mean.iter().zip(saved.rstd);
        let rows = input.chunks_exact(channels).zip(grad_output.chunks_exact(channels));
        let rows = rows.zip(target.chunks_exact_mut(channels));
        for (((row, gradients), target), (&mean, &rstd)) in rows.zip(statistics) {
            let factors = gradients.iter().zip(layer.gamma);
            for (target, (gradient, gamma)) in target.iter_mut().zip(factors) {
                *target = gradient * gamma;
            }
            let average = sum_by(target, |gradient| gradient) / channels as f32;
            let products = sum_by_pairs(target, row, |gradient, value| gradient * (value - mean));
            let product = products * rstd / channels as f32;
            for (target, value) in target.iter_mut().zip(row) {
                let normal = (value - mean) * rstd;
                *target = rstd * (*target - average - normal * product);
            }
        }
    }
}

vectorised! {
    /// Adds the gradients of beta to the first half of `sums` and those of gamma to the second.
    fn accumulate_parameters(
        input: &[f32],
        saved: Statistics<'_>,
        grad_output: &[f32],
        sums: &mut [f64],
    ) {
        let channels = sums.len() / 2;
        let (betas, gammas) = sums.split_at_mut(channels);
        let statistics = saved.mean.iter().zip(saved.rstd);
        let rows = input.chunks_exact(channels).zip(grad_output.chunks_exact(channels));
        for ((row, gradients), (mean, rstd)) in rows.zip(statistics) {
            let sums = betas.iter_mut().zip(gammas.iter_mut());
            for ((value, &gradient), (beta, gamma)) in row.iter().zip(gradients).zip(sums) {
                *beta += f64::from(gradient);
                *gamma += f64::from(gradient * ((value - mean) * rstd));
            }
        }
    }
}

/// Slow versions in double precision.
pub mod reference {
    use super::LayerNorm;

    /// Mean, reciprocal standard deviation and normalised values of a row.
    fn normalise(row: &[f32], epsilon: f32) -> (f64, f64, Vec<f64>) {
        let count = row.len() as f64;
        let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
        let squares = row.iter().map(|&x| (f64::from(x) - mean).powi(2));
        let variance = squares.sum::<f64>() / count;
        let rstd = 1.0 / (variance + f64::from(epsilon)).sqrt();
        let normals = row.iter().map(|&x| (f64::from(x) - mean) * rstd);
        (mean, rstd, normals.collect())
    }

    /// The output, the means and the reciprocal standard deviations.
    pub fn forward(layer: &LayerNorm<'_>, input: &[f32]) -> [Vec<f64>; 3] {
        let (mut output, mut means, mut rstds) = (Vec::new(), Vec::new(), Vec::new());
        for row in input.chunks_exact(layer.gamma.len()) {
            let (mean, rstd, normals) = normalise(row, layer.epsilon);
            for ((normal, &gamma), &beta) in normals.iter().zip(layer.gamma).zip(layer.beta) {
                output.push(normal * f64::from(gamma) + f64::from(beta));
            }
            means.push(mean);
            rstds.push(rstd);
        }
        [output, means, rstds]
    }

    /// The gradients of input, gamma and beta.
    pub fn backward(layer: &LayerNorm<'_>, input: &[f32], grad_output: &[f32]) -> [Vec<f64>; 3] {
        let channels = layer.gamma.len();
        let mut grad_input = Vec::new();
        let (mut grad_gamma, mut grad_beta) = (vec![0.0; channels], vec![0.0; channels]);
        let rows = input.chunks_exact(channels);
        for (row, gradients) in rows.zip(grad_output.chunks_exact(channels)) {
            let (_, rstd, normals) = normalise(row, layer.epsilon);
            let mut scaled = Vec::new();
            for (channel, &gradient) in gradients.iter().enumerate() {
                let gradient = f64::from(gradient);
                grad_gamma[channel] += gradient * normals[channel];
                grad_beta[channel] += gradient;
                scaled.push(gradient * f64::from(layer.gamma[channel]));
            }
            let average = scaled.iter().sum::<f64>() / channels as f64;
            let products = scaled.iter().zip(&normals).map(|(s, n)| s * n);
            let product = products.sum::<f64>() / channels as f64;
            for (scaled, normal) in scaled.iter().zip(&normals) {
                grad_input.push(rstd * (scaled - average - normal * product));
            }
        }
        [grad_input, grad_gamma, grad_beta]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::Isa;
    use crate::testing::{assert_close, assert_gradient, in_pool, levels, values, weighted_sum};

    const SIZES: [[usize; 2]; 5] = [[1, 3], [0, 4], [7, 33], [300, 5], [19, 1024]];

    fn layer(parameters: &[Vec<f32>; 2]) -> LayerNorm<'_> {
        LayerNorm {
            gamma: &parameters[0],
            beta: &parameters[1],
            epsilon: 1e-5,
        }
    }

    fn parameters(channels: usize) -> [Vec<f32>; 2] {
        [values(2, channels), values(3, channels)]
    }

    /// Output, mean, reciprocal standard deviation and the gradients of input, gamma and beta.
    fn fast(layer: &LayerNorm<'_>, input: &[f32], grad_output: &[f32]) -> [Vec<f32>; 6] {
        let unset = |len| vec![f32::NAN; len];
        let channels = layer.channels();
        let rows = input.len() / channels;
        let (mut output, mut grad_input) = (unset(input.len()), unset(input.len()));
        let (mut mean, mut rstd) = (unset(rows), unset(rows));
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

    #[test]
    fn both_passes_match_the_reference() {
        for [rows, channels] in SIZES {
            let parameters = parameters(channels);
            let layer = layer(&parameters);
            let (input, grad_output) = (values(1, rows * channels), values(4, rows * channels));
            let results = in_pool(2, || fast(&layer, &input, &grad_output));
            let outputs = reference::forward(&layer, &input);
            let gradients = reference::backward(&layer, &input, &grad_output);
            let names = ["output", "mean", "rstd", "input", "gamma", "beta"];
            let truths = outputs.iter().chain(&gradients);
            for ((result, truth), name) in results.iter().zip(truths).zip(names) {
                assert_close(result, truth, 2e-5, name);
            }
        }
    }

    #[test]
    fn reference_gradients_match_difference_quotients() {
        let parameters = parameters(9);
        let plain = layer(&parameters);
        let (input, weights) = (values(1, 27), values(4, 27));
        let loss = |layer: &LayerNorm<'_>, input: &[f32]| {
            weighted_sum(&reference::forward(layer, input)[0], &weights)
        };
        let [grad_input, grad_gamma, grad_beta] = reference::backward(&plain, &input, &weights);
        assert_gradient(&input, &grad_input, |x| loss(&plain, x));
        assert_gradient(&parameters[0], &grad_gamma, |gamma| {
            let layer = LayerNorm { gamma, ..plain };
            loss(&layer, &input)
        });
        assert_gradient(&parameters[1], &grad_beta, |beta| {
            let layer = LayerNorm { beta, ..plain };
            loss(&layer, &input)
        });
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        for [rows, channels] in SIZES {
            let parameters = parameters(channels);
            let layer = layer(&parameters);
            let (input, grad_output) = (values(1, rows * channels), values(4, rows * channels));
            let run = |threads| in_pool(threads, || fast(&layer, &input, &grad_output));
            assert_eq!(run(1), run(3));
            assert_eq!(run(2), run(2));
        }
    }

    #[test]
    fn levels_agree() {
        let parameters = parameters(37);
        let layer = layer(&parameters);
        let (input, grad_output) = (values(1, 37 * 5), values(4, 37 * 5));
        let run = |level| {
            let [mut output, mut target] = [[0.0; 37 * 5]; 2];
            let (mut mean, mut rstd, mut sums) = ([0.0; 5], [0.0; 5], [0.0; 74]);
            normalise_rows(level, &layer, &input, &mut output, &mut mean, &mut rstd);
            let saved = Statistics {
                mean: &mean,
                rstd: &rstd,
            };
            differentiate_rows(level, &layer, &input, saved, &grad_output, &mut target);
            accumulate_parameters(level, &input, saved, &grad_output, &mut sums);
            (output.to_vec(), target.to_vec(), sums.to_vec())
        };
        for level in levels() {
            assert_eq!(run(level), run(Isa::Portable));
        }
    }
}
