//! Slow versions of group normalisation in double precision: what the tests take as the truth.

use super::GroupNorm;
use crate::activation::reference::{apply, slope};

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
            let value = normal * f64::from(layer.gamma[channel]) + f64::from(layer.beta[channel]);
            output.values[index] = apply(layer.activation, value);
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
            let gradient = f64::from(grad_output[index]) * slope(layer.activation, value);
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
