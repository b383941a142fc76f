//! The layers of a decoder: their parameters on the host, ready for the kernels.

use crate::checkpoint::host_values;
use crate::layers::{LayerNorm, Linear};
use smalti_kernels::decoding::{PackedWeights, WeightFormat};
use smalti_kernels::layer_norm;

/// Epsilon of the layer normalisation, as in [`crate::ops::layer_norm`].
const EPSILON: f32 = 1e-5;

/// A layer normalisation.
pub(super) struct Norm {
    gamma: Vec<f32>,
    beta: Vec<f32>,
}

impl Norm {
    pub(super) fn new(layer: &LayerNorm) -> Self {
        Self {
            gamma: host_values(layer.weight.val()),
            beta: host_values(layer.bias.val()),
        }
    }

    /// Normalises every row of `[rows, channels]`. `statistics` is working memory, two values for each row at least.
    pub(super) fn apply(&self, input: &[f32], output: &mut [f32], statistics: &mut [f32]) {
        let rows = input.len() / self.gamma.len();
        let (mean, rstd) = statistics[..2 * rows].split_at_mut(rows);
        let layer = layer_norm::LayerNorm {
            gamma: &self.gamma,
            beta: &self.beta,
            epsilon: EPSILON,
        };
        layer_norm::forward(&layer, input, output, mean, rstd);
    }
}

/// One or several linear layers of the same input, their outputs side by side.
pub(super) struct Projection {
    weights: PackedWeights,
    bias: Option<Vec<f32>>,
}

impl Projection {
    /// The layers must all have a bias, or none of them.
    pub(super) fn new(layers: &[&Linear], format: WeightFormat) -> Self {
        let inputs = layers[0].weight.dims()[1];
        let values = |layer: &&Linear| host_values(layer.weight.val());
        let weight: Vec<f32> = layers.iter().flat_map(values).collect();
        let biases = layers.iter().map(|layer| {
            let bias = layer.bias.as_ref()?;
            Some(host_values(bias.val()))
        });
        let biases: Option<Vec<Vec<f32>>> = biases.collect();
        Self {
            weights: PackedWeights::pack(&weight, weight.len() / inputs, inputs, format),
            bias: biases.map(|biases| biases.concat()),
        }
    }

    pub(super) fn outputs(&self) -> usize {
        self.weights.outputs()
    }

    /// `[rows, in]` to `[rows, out]`.
    pub(super) fn apply(&self, input: &[f32], output: &mut [f32]) {
        let rows = input.len() / self.weights.inputs();
        self.weights
            .multiply(input, rows, self.bias.as_deref(), output);
    }
}
