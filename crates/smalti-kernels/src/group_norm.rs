//! Group normalisation of channels-last images, optionally followed by an activation, with its gradients.
//!
//! Tensors are `[batch, positions, channels]`; mean and reciprocal standard deviation are
//! `[batch, groups]`. Loops run along the channels, each channel with its own coefficients, and
//! sums over positions are folded into groups afterwards, in `f64`. With an activation the backward pass
//! computes its argument again instead of reading it from memory.

use crate::activation::{Activation, with_activation};
use crate::dispatch::{self, vectorised};
use crate::element::Element;
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
    /// What follows.
    pub activation: Activation,
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
pub struct Gradients<'a, E> {
    pub input: &'a mut [E],
    pub gamma: &'a mut [f32],
    pub beta: &'a mut [f32],
}

/// Computes the output and the statistics.
pub fn forward<E: Element>(
    layer: &GroupNorm<'_>,
    input: &[E],
    output: &mut [E],
    mean: &mut [f32],
    rstd: &mut [f32],
) {
    layer.assert_lengths(&[input.len(), output.len()], &[mean.len(), rstd.len()]);
    let (shape, isa) = (&layer.shape, dispatch::isa());
    statistics(layer, input, mean, rstd);
    let statistics = Statistics { mean, rstd };
    let coefficients = |image| forward_coefficients(layer, statistics, image);
    write_blocks(
        shape,
        output,
        coefficients,
        |block, coefficients, output| {
            normalise_rows(isa, &input[block], coefficients, layer.activation, output);
        },
    );
}

/// Computes the statistics alone.
pub fn statistics<E: Element>(
    layer: &GroupNorm<'_>,
    input: &[E],
    mean: &mut [f32],
    rstd: &mut [f32],
) {
    layer.assert_lengths(&[input.len()], &[mean.len(), rstd.len()]);
    let isa = dispatch::isa();
    let sums = channel_sums(&layer.shape, |block, sums| {
        accumulate_moments(isa, &input[block], sums);
    });
    finish_statistics(layer, &sums, mean, rstd);
}

/// Mean, factor and offset of every channel of every image, `[batch, 3, channels]`: what
/// [`crate::conv2d::Normalization`] applies.
pub fn coefficients(layer: &GroupNorm<'_>, statistics: Statistics<'_>) -> Vec<f32> {
    let images = 0..layer.shape.batch;
    images
        .flat_map(|image| forward_coefficients(layer, statistics, image))
        .collect()
}

/// Computes the gradients of input and parameters from that of the output.
pub fn backward<E: Element>(
    layer: &GroupNorm<'_>,
    input: &[E],
    statistics: Statistics<'_>,
    grad_output: &[E],
    gradients: Gradients<'_, E>,
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
            layer.activation,
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
                layer.activation,
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
fn write_blocks<E: Element>(
    shape: &GroupNormShape,
    output: &mut [E],
    coefficients: impl Fn(usize) -> Vec<f32> + Sync,
    work: impl Fn(Range<usize>, &[f32], &mut [E]) + Sync,
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
    fn accumulate_moments<E: Element>(rows: &[E], sums: &mut [f64]) {
        let channels = sums.len() / 2;
        let (totals, squares) = sums.split_at_mut(channels);
        for row in rows.chunks_exact(channels) {
            let sums = totals.iter_mut().zip(squares.iter_mut());
            for (&value, (total, square)) in row.iter().zip(sums) {
                let value = f64::from(value.to_f32());
                *total += value;
                *square += value * value;
            }
        }
    }
}

vectorised! {
    /// Applies mean, factor and offset of every channel, `[3, channels]`, and the activation. Where
    /// positions of the output have room for whole words, zeros follow the channels.
    pub(crate) fn normalise_rows<E: Element>(
        rows: &[E],
        coefficients: &[f32],
        activation: Activation,
        output: &mut [E],
    ) {
        with_activation!(activation, apply, |function| {
            normalise(rows, coefficients, output, function);
        });
    }
}

#[inline(always)]
fn normalise<E: Element>(
    rows: &[E],
    coefficients: &[f32],
    output: &mut [E],
    activation: impl Fn(f32) -> f32,
) {
    let [means, factors, offsets] = parts(coefficients);
    let channels = means.len();
    if rows.is_empty() {
        return;
    }
    let outputs = output.chunks_exact_mut(output.len() / (rows.len() / channels));
    for (row, output) in rows.chunks_exact(channels).zip(outputs) {
        let (output, rest) = output.split_at_mut(channels);
        let affine = factors.iter().zip(offsets);
        let coefficients = means.iter().zip(affine);
        let values = output.iter_mut().zip(row);
        for ((output, value), (mean, (factor, offset))) in values.zip(coefficients) {
            *output = E::from_f32(activation((value.to_f32() - mean) * factor + offset));
        }
        rest.fill(E::default());
    }
}

vectorised! {
    /// Adds each channel's gradients before the activation to the first half of `sums`, and their
    /// products with the normalised values to the second.
    fn accumulate_gradients<E: Element>(
        rows: &[E],
        gradients: &[E],
        coefficients: &[f32],
        activation: Activation,
        sums: &mut [f64],
    ) {
        with_activation!(activation, slope, |slope| {
            accumulate(rows, gradients, coefficients, sums, slope);
        });
    }
}

#[inline(always)]
fn accumulate<E: Element>(
    rows: &[E],
    gradients: &[E],
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
            let normal = (value.to_f32() - mean) * rstd;
            let gradient = gradient.to_f32() * slope(normal * gamma + beta);
            *total += f64::from(gradient);
            *product += f64::from(gradient * normal);
        }
    }
}

vectorised! {
    fn differentiate_rows<E: Element>(
        rows: &[E],
        gradients: &[E],
        coefficients: &[f32],
        activation: Activation,
        target: &mut [E],
    ) {
        with_activation!(activation, slope, |slope| {
            differentiate(rows, gradients, coefficients, target, slope);
        });
    }
}

#[inline(always)]
fn differentiate<E: Element>(
    rows: &[E],
    gradients: &[E],
    coefficients: &[f32],
    target: &mut [E],
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
            let normal = (value.to_f32() - mean) * rstd;
            let gradient = gradient.to_f32() * slope(normal * gamma + beta);
            *target = E::from_f32(rstd * (gamma * gradient - average - normal * product));
        }
    }
}

/// Cuts a slice into `N` equal parts.
#[inline(always)]
fn parts<const N: usize>(values: &[f32]) -> [&[f32]; N] {
    let len = values.len() / N;
    array::from_fn(|part| &values[part * len..][..len])
}

pub mod reference;

#[cfg(test)]
mod tests;
