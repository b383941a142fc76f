//! Group normalisation of channels-last images, optionally followed by SiLU, with its gradients.
//!
//! Tensors are `[batch, positions, channels]`; mean and reciprocal standard deviation are
//! `[batch, groups]`. Loops run along the channels, each channel with its own coefficients, and
//! sums over positions are folded into groups afterwards, in `f64`. With SiLU the backward pass
//! computes the activation's argument again instead of reading it from memory.

use crate::dispatch::{self, vectorised};
use crate::math::{silu, silu_derivative};
use crate::reduce::{fold, rows_per_block};
use rayon::prelude::*;
use std::array;
use std::ops::Range;

/// Sizes of a group normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupNormShape {
    pub batch: usize,
    /// Height times width.
    pub positions: usize,
    pub channels: usize,
    /// Number of groups of neighbouring channels; divides `channels`.
    pub groups: usize,
}

impl GroupNormShape {
    fn image_len(&self) -> usize {
        self.positions * self.channels
    }

    fn len(&self) -> usize {
        self.batch * self.image_len()
    }

    fn group_channels(&self) -> usize {
        self.channels / self.groups
    }

    /// Number of values that share a mean.
    fn group_len(&self) -> f64 {
        (self.positions * self.group_channels()) as f64
    }

    /// Values of one block of positions, the unit of work of a thread.
    fn block_len(&self) -> usize {
        rows_per_block(self.positions) * self.channels
    }

    /// Index of the statistics of a channel of an image.
    fn group(&self, image: usize, channel: usize) -> usize {
        image * self.groups + channel / self.group_channels()
    }

    fn assert_valid(&self) {
        assert!(
            self.positions > 0 && self.groups > 0 && self.channels > 0,
            "empty images: {self:?}"
        );
        assert_eq!(self.channels % self.groups, 0, "uneven groups: {self:?}");
    }
}

/// A normalisation with its parameters.
#[derive(Clone, Copy, Debug)]
pub struct GroupNorm<'a> {
    pub shape: GroupNormShape,
    /// Factor of each channel.
    pub gamma: &'a [f32],
    /// Offset of each channel.
    pub beta: &'a [f32],
    /// Added to the variance.
    pub epsilon: f32,
    /// Whether SiLU follows.
    pub silu: bool,
}

impl GroupNorm<'_> {
    fn assert_lengths(&self, tensors: &[usize], statistics: &[usize]) {
        let shape = &self.shape;
        shape.assert_valid();
        assert_eq!(self.gamma.len(), shape.channels, "gamma of {shape:?}");
        assert_eq!(self.beta.len(), shape.channels, "beta of {shape:?}");
        for &len in tensors {
            assert_eq!(len, shape.len(), "values of {shape:?}");
        }
        for &len in statistics {
            assert_eq!(len, shape.batch * shape.groups, "statistics of {shape:?}");
        }
    }
}

/// What the forward pass leaves for the backward pass, each `[batch, groups]`.
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

/// Computes the output and the statistics.
pub fn forward(
    layer: &GroupNorm<'_>,
    input: &[f32],
    output: &mut [f32],
    mean: &mut [f32],
    rstd: &mut [f32],
) {
    layer.assert_lengths(&[input.len(), output.len()], &[mean.len(), rstd.len()]);
    let (shape, isa) = (&layer.shape, dispatch::isa());
    let sums = channel_sums(shape, |block, sums| {
        accumulate_moments(isa, &input[block], sums);
    });
    finish_statistics(layer, &sums, mean, rstd);
    let statistics = Statistics { mean, rstd };
    let coefficients = |image| forward_coefficients(layer, statistics, image);
    write_blocks(
        shape,
        output,
        coefficients,
        |block, coefficients, output| {
            normalise_rows(isa, &input[block], coefficients, layer.silu, output);
        },
    );
}

/// Computes the gradients of input and parameters from that of the output.
pub fn backward(
    layer: &GroupNorm<'_>,
    input: &[f32],
    statistics: Statistics<'_>,
    grad_output: &[f32],
    gradients: Gradients<'_>,
) {
    layer.assert_lengths(
        &[input.len(), grad_output.len(), gradients.input.len()],
        &[statistics.mean.len(), statistics.rstd.len()],
    );
    let (shape, isa) = (&layer.shape, dispatch::isa());
    assert_eq!(gradients.gamma.len(), shape.channels, "gamma of {shape:?}");
    assert_eq!(gradients.beta.len(), shape.channels, "beta of {shape:?}");
    let image_coefficients: Vec<Vec<f32>> = (0..shape.batch)
        .map(|image| normal_coefficients(layer, statistics, image))
        .collect();
    let sums = channel_sums(shape, |block, sums| {
        let coefficients = &image_coefficients[block.start / shape.image_len()];
        let grad_output = &grad_output[block.clone()];
        accumulate_gradients(
            isa,
            &input[block],
            grad_output,
            coefficients,
            layer.silu,
            sums,
        );
    });
    let totals = fold(&sums, 2 * shape.channels);
    let (grad_beta, grad_gamma) = totals.split_at(shape.channels);
    store(grad_beta, gradients.beta);
    store(grad_gamma, gradients.gamma);
    let coefficients = |image: usize| {
        let mut coefficients = image_coefficients[image].clone();
        let sums = &sums[image * 2 * shape.channels..][..2 * shape.channels];
        coefficients.extend(mean_gradients(layer, sums));
        coefficients
    };
    write_blocks(
        shape,
        gradients.input,
        coefficients,
        |block, coefficients, target| {
            let grad_output = &grad_output[block.clone()];
            differentiate_rows(
                isa,
                &input[block],
                grad_output,
                coefficients,
                layer.silu,
                target,
            );
        },
    );
}

/// For each image, two sums over positions for each channel, which `work` adds block by block.
fn channel_sums(
    shape: &GroupNormShape,
    work: impl Fn(Range<usize>, &mut [f64]) + Sync,
) -> Vec<f64> {
    let width = 2 * shape.channels;
    let (image_len, block_len) = (shape.image_len(), shape.block_len());
    let blocks = image_len.div_ceil(block_len);
    let mut partials = vec![0.0f64; shape.batch * blocks * width];
    let jobs = partials.par_chunks_mut(width).enumerate();
    jobs.for_each(|(job, sums)| {
        let start = job % blocks * block_len;
        let end = image_len.min(start + block_len);
        let image = job / blocks * image_len;
        work(image + start..image + end, sums);
    });
    let images = partials.chunks_exact(blocks * width);
    images.flat_map(|image| fold(image, width)).collect()
}

/// Calls `work` with the range, the image's coefficients and the output of every block.
fn write_blocks(
    shape: &GroupNormShape,
    output: &mut [f32],
    coefficients: impl Fn(usize) -> Vec<f32> + Sync,
    work: impl Fn(Range<usize>, &[f32], &mut [f32]) + Sync,
) {
    let (image_len, block_len) = (shape.image_len(), shape.block_len());
    let images = output.par_chunks_mut(image_len).enumerate();
    images.for_each(|(image, output)| {
        let coefficients = coefficients(image);
        let blocks = output.par_chunks_mut(block_len).enumerate();
        blocks.for_each(|(block, output)| {
            let start = image * image_len + block * block_len;
            work(start..start + output.len(), &coefficients, output);
        });
    });
}

fn finish_statistics(layer: &GroupNorm<'_>, sums: &[f64], mean: &mut [f32], rstd: &mut [f32]) {
    let shape = &layer.shape;
    for (index, (mean, rstd)) in mean.iter_mut().zip(rstd).enumerate() {
        let first = index % shape.groups * shape.group_channels();
        let (totals, squares) = sums[index / shape.groups * 2 * shape.channels..]
            [..2 * shape.channels]
            .split_at(shape.channels);
        let average = |sums: &[f64]| {
            let group = &sums[first..][..shape.group_channels()];
            group.iter().sum::<f64>() / shape.group_len()
        };
        let centre = average(totals);
        let variance = (average(squares) - centre * centre).max(0.0);
        *mean = centre as f32;
        *rstd = (1.0 / (variance + f64::from(layer.epsilon)).sqrt()) as f32;
    }
}

/// Mean, factor and offset of every channel: `[3, channels]`.
fn forward_coefficients(layer: &GroupNorm<'_>, saved: Statistics<'_>, image: usize) -> Vec<f32> {
    let shape = &layer.shape;
    let group = |channel| shape.group(image, channel);
    let means = (0..shape.channels).map(|channel| saved.mean[group(channel)]);
    let factors = (0..shape.channels).map(|c| layer.gamma[c] * saved.rstd[group(c)]);
    let offsets = layer.beta.iter().copied();
    means.chain(factors).chain(offsets).collect()
}

/// Mean, reciprocal standard deviation, gamma and beta of every channel: `[4, channels]`.
fn normal_coefficients(layer: &GroupNorm<'_>, saved: Statistics<'_>, image: usize) -> Vec<f32> {
    let shape = &layer.shape;
    let group = |channel| shape.group(image, channel);
    let means = (0..shape.channels).map(|channel| saved.mean[group(channel)]);
    let rstds = (0..shape.channels).map(|channel| saved.rstd[group(channel)]);
    let parameters = layer.gamma.iter().chain(layer.beta).copied();
    means.chain(rstds).chain(parameters).collect()
}

/// What the mean and the variance of a group pass on to each of its values: for every channel the
/// average gradient of the normalised values, then their average product with those values.
fn mean_gradients(layer: &GroupNorm<'_>, sums: &[f64]) -> Vec<f32> {
    let shape = &layer.shape;
    let width = shape.group_channels();
    let mut averages = Vec::with_capacity(2 * shape.channels);
    for sums in sums.chunks_exact(shape.channels) {
        for (group, sums) in sums.chunks_exact(width).enumerate() {
            let gamma = &layer.gamma[group * width..][..width];
            let terms = sums.iter().zip(gamma).map(|(sum, &g)| sum * f64::from(g));
            let average = terms.sum::<f64>() / shape.group_len();
            averages.extend(std::iter::repeat_n(average as f32, width));
        }
    }
    averages
}

fn store(totals: &[f64], target: &mut [f32]) {
    for (target, &total) in target.iter_mut().zip(totals) {
        *target = total as f32;
    }
}

vectorised! {
    /// Adds each channel's values to the first half of `sums` and their squares to the second.
    fn accumulate_moments(rows: &[f32], sums: &mut [f64]) {
        let channels = sums.len() / 2;
        let (totals, squares) = sums.split_at_mut(channels);
        for row in rows.chunks_exact(channels) {
            let sums = totals.iter_mut().zip(squares.iter_mut());
            for (&value, (total, square)) in row.iter().zip(sums) {
                let value = f64::from(value);
                *total += value;
                *square += value * value;
            }
        }
    }
}

vectorised! {
    fn normalise_rows(rows: &[f32], coefficients: &[f32], with_silu: bool, output: &mut [f32]) {
        if with_silu {
            normalise(rows, coefficients, output, silu);
        } else {
            normalise(rows, coefficients, output, |value| value);
        }
    }
}

#[inline(always)]
fn normalise(
    rows: &[f32],
    coefficients: &[f32],
    output: &mut [f32],
    activation: impl Fn(f32) -> f32,
) {
    let [means, factors, offsets] = parts(coefficients);
    let channels = means.len();
    let rows = rows.chunks_exact(channels);
    for (row, output) in rows.zip(output.chunks_exact_mut(channels)) {
        let affine = factors.iter().zip(offsets);
        let coefficients = means.iter().zip(affine);
        let values = output.iter_mut().zip(row);
        for ((output, value), (mean, (factor, offset))) in values.zip(coefficients) {
            *output = activation((value - mean) * factor + offset);
        }
    }
}

vectorised! {
    /// Adds each channel's gradients before the activation to the first half of `sums`, and their
    /// products with the normalised values to the second.
    fn accumulate_gradients(
        rows: &[f32],
        gradients: &[f32],
        coefficients: &[f32],
        with_silu: bool,
        sums: &mut [f64],
    ) {
        if with_silu {
            accumulate(rows, gradients, coefficients, sums, silu_derivative);
        } else {
            accumulate(rows, gradients, coefficients, sums, |_| 1.0);
        }
    }
}

#[inline(always)]
fn accumulate(
    rows: &[f32],
    gradients: &[f32],
    coefficients: &[f32],
    sums: &mut [f64],
    slope: impl Fn(f32) -> f32,
) {
    let [means, rstds, gammas, betas] = parts(coefficients);
    let channels = means.len();
    let (totals, products) = sums.split_at_mut(channels);
    let rows = rows.chunks_exact(channels);
    for (row, gradients) in rows.zip(gradients.chunks_exact(channels)) {
        let values = row.iter().zip(gradients);
        let statistics = means.iter().zip(rstds);
        let parameters = gammas.iter().zip(betas);
        let sums = totals.iter_mut().zip(products.iter_mut());
        let channels = values.zip(statistics).zip(parameters).zip(sums);
        for ((((value, gradient), (mean, rstd)), (gamma, beta)), (total, product)) in channels {
            let normal = (value - mean) * rstd;
            let gradient = gradient * slope(normal * gamma + beta);
            *total += f64::from(gradient);
            *product += f64::from(gradient * normal);
        }
    }
}

vectorised! {
    fn differentiate_rows(
        rows: &[f32],
        gradients: &[f32],
        coefficients: &[f32],
        with_silu: bool,
        target: &mut [f32],
    ) {
        if with_silu {
            differentiate(rows, gradients, coefficients, target, silu_derivative);
        } else {
            differentiate(rows, gradients, coefficients, target, |_| 1.0);
        }
    }
}

#[inline(always)]
fn differentiate(
    rows: &[f32],
    gradients: &[f32],
    coefficients: &[f32],
    target: &mut [f32],
    slope: impl Fn(f32) -> f32,
) {
    let [means, rstds, gammas, betas, averages, products] = parts(coefficients);
    let channels = means.len();
    let rows = rows
        .chunks_exact(channels)
        .zip(gradients.chunks_exact(channels));
    for ((row, gradients), target) in rows.zip(target.chunks_exact_mut(channels)) {
        let values = target.iter_mut().zip(row.iter().zip(gradients));
        let statistics = means.iter().zip(rstds);
        let parameters = gammas.iter().zip(betas);
        let averages = averages.iter().zip(products);
        let channels = values.zip(statistics).zip(parameters.zip(averages));
        for (((target, (value, gradient)), (mean, rstd)), ((gamma, beta), (average, product))) in
            channels
        {
            let normal = (value - mean) * rstd;
            let gradient = gradient * slope(normal * gamma + beta);
            *target = rstd * (gamma * gradient - average - normal * product);
        }
    }
}

/// Cuts a slice into `N` equal parts.
#[inline(always)]
fn parts<const N: usize>(values: &[f32]) -> [&[f32]; N] {
    let len = values.len() / N;
    array::from_fn(|part| &values[part * len..][..len])
}

/// Slow versions in double precision.
pub mod reference {
    use super::GroupNorm;
    use crate::math::reference::sigmoid;

    /// The output with mean and reciprocal standard deviation of every group.
    #[derive(Clone, Debug)]
    pub struct Output {
        pub values: Vec<f64>,
        pub mean: Vec<f64>,
        pub rstd: Vec<f64>,
    }

    /// The gradients.
    #[derive(Clone, Debug)]
    pub struct Gradients {
        pub input: Vec<f64>,
        pub gamma: Vec<f64>,
        pub beta: Vec<f64>,
    }

    /// Indices of the values of one group of one image.
    fn members(layer: &GroupNorm<'_>, statistic: usize) -> Vec<usize> {
        let shape = layer.shape;
        let width = shape.channels / shape.groups;
        let (image, group) = (statistic / shape.groups, statistic % shape.groups);
        let positions = (0..shape.positions).map(|p| image * shape.positions + p);
        let first = positions.map(|position| position * shape.channels + group * width);
        first.flat_map(|first| first..first + width).collect()
    }

    /// The output and the statistics.
    pub fn forward(layer: &GroupNorm<'_>, input: &[f32]) -> Output {
        let mut output = Output {
            values: vec![0.0; input.len()],
            mean: Vec::new(),
            rstd: Vec::new(),
        };
        for statistic in 0..layer.shape.batch * layer.shape.groups {
            let members = members(layer, statistic);
            let count = members.len() as f64;
            let mean = members.iter().map(|&i| f64::from(input[i])).sum::<f64>() / count;
            let squares = members
                .iter()
                .map(|&i| (f64::from(input[i]) - mean).powi(2));
            let variance = squares.sum::<f64>() / count;
            let rstd = 1.0 / (variance + f64::from(layer.epsilon)).sqrt();
            for index in members {
                let channel = index % layer.shape.channels;
                let normal = (f64::from(input[index]) - mean) * rstd;
                let value =
                    normal * f64::from(layer.gamma[channel]) + f64::from(layer.beta[channel]);
                let gate = if layer.silu { sigmoid(value) } else { 1.0 };
                output.values[index] = value * gate;
            }
            output.mean.push(mean);
            output.rstd.push(rstd);
        }
        output
    }

    /// The gradients of input and parameters.
    pub fn backward(layer: &GroupNorm<'_>, input: &[f32], grad_output: &[f32]) -> Gradients {
        let saved = forward(layer, input);
        let mut gradients = Gradients {
            input: vec![0.0; input.len()],
            gamma: vec![0.0; layer.shape.channels],
            beta: vec![0.0; layer.shape.channels],
        };
        for (statistic, (mean, rstd)) in saved.mean.iter().zip(&saved.rstd).enumerate() {
            let members = members(layer, statistic);
            let count = members.len() as f64;
            let (mut sum, mut product) = (0.0, 0.0);
            let mut normals = Vec::new();
            for &index in &members {
                let channel = index % layer.shape.channels;
                let gamma = f64::from(layer.gamma[channel]);
                let normal = (f64::from(input[index]) - mean) * rstd;
                let value = normal * gamma + f64::from(layer.beta[channel]);
                let gate = sigmoid(value);
                let slope = if layer.silu {
                    gate + value * gate * (1.0 - gate)
                } else {
                    1.0
                };
                let gradient = f64::from(grad_output[index]) * slope;
                gradients.gamma[channel] += gradient * normal;
                gradients.beta[channel] += gradient;
                sum += gradient * gamma;
                product += gradient * gamma * normal;
                normals.push((normal, gradient * gamma));
            }
            for (index, (normal, gradient)) in members.into_iter().zip(normals) {
                gradients.input[index] = rstd * (gradient - sum / count - normal * product / count);
            }
        }
        gradients
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::Isa;
    use crate::testing::{assert_close, assert_gradient, in_pool, levels, values, weighted_sum};

    const EPSILON: f32 = 1e-6;

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

    fn layer(shape: GroupNormShape, parameters: &[Vec<f32>; 2], with_silu: bool) -> GroupNorm<'_> {
        GroupNorm {
            shape,
            gamma: &parameters[0],
            beta: &parameters[1],
            epsilon: EPSILON,
            silu: with_silu,
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
            for with_silu in [false, true] {
                let layer = layer(shape, &parameters, with_silu);
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
        let layer = layer(shape, &parameters, false);
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
        for with_silu in [false, true] {
            let plain = layer(shape, &parameters, with_silu);
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
            let layer = layer(shape, &parameters, true);
            let run = |threads| in_pool(threads, || fast(&layer, &input, &grad_output));
            assert_eq!(run(1), run(3));
            assert_eq!(run(2), run(2));
        }
    }

    #[test]
    fn levels_agree() {
        let (rows, gradients) = (values(1, 33 * 7), values(2, 33 * 7));
        let coefficients = values(3, 33 * 6);
        let run = |level, with_silu| {
            let mut sums = vec![0.0; 66];
            accumulate_moments(level, &rows, &mut sums);
            let normal = &coefficients[..33 * 4];
            accumulate_gradients(level, &rows, &gradients, normal, with_silu, &mut sums);
            let mut results = [vec![0.0; rows.len()], vec![0.0; rows.len()]];
            normalise_rows(
                level,
                &rows,
                &coefficients[..99],
                with_silu,
                &mut results[0],
            );
            let target = &mut results[1];
            differentiate_rows(level, &rows, &gradients, &coefficients, with_silu, target);
            (sums, results)
        };
        for level in levels() {
            assert_eq!(run(level, false), run(Isa::Portable, false));
            assert_eq!(run(level, true), run(Isa::Portable, true));
        }
    }
}
