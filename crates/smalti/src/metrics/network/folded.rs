//! The layers of classifiers, ready to run: normalisations whose statistics are fixed are part of the convolutions
//! before them.

use crate::checkpoint::TensorMap;
use crate::error::{Error, Result};
use crate::ops::{self, Activation, Convolution, Filter, Padding};
use crate::weights::classifier::NormalizedConvolution;
use burn::tensor::{Device, Shape, Tensor, TensorData};

/// What all of the classifiers add to variances.
const EPSILON: f64 = 1e-3;

/// A convolution and the normalisation behind it, as one convolution.
#[derive(Debug, Clone)]
pub(super) struct Folded {
    filter: Filter,
    stride: usize,
    padded: bool,
}

impl Folded {
    /// # Errors
    /// When a tensor of the layer is missing or has another shape.
    pub fn new(
        layer: &NormalizedConvolution,
        weights: &TensorMap,
        device: &Device,
    ) -> Result<Self> {
        let [outputs, inputs, height, width] = layer.shape;
        let of_norm = |part: &str| values(weights, &format!("{}.{part}", layer.norm), &[outputs]);
        let (gamma, beta) = (of_norm("weight")?, of_norm("bias")?);
        let (mean, variance) = (of_norm("running_mean")?, of_norm("running_var")?);
        let kernel = values(weights, &layer.weight, &layer.shape)?;
        let factors: Vec<f64> = gamma
            .iter()
            .zip(variance)
            .map(|(&gamma, &variance)| f64::from(gamma) / (f64::from(variance) + EPSILON).sqrt())
            .collect();
        let scaled: Vec<f32> = kernel
            .chunks_exact(inputs * height * width)
            .zip(&factors)
            .flat_map(|(kernel, &factor)| {
                let scaled = move |&value: &f32| (f64::from(value) * factor) as f32;
                kernel.iter().map(scaled)
            })
            .collect();
        let shifts: Vec<f32> = beta
            .iter()
            .zip(mean)
            .zip(&factors)
            .map(|((&beta, &mean), &factor)| (f64::from(beta) - f64::from(mean) * factor) as f32)
            .collect();
        Ok(Self {
            filter: Filter {
                weight: tensor(scaled, layer.shape, device),
                bias: Some(tensor(shifts, [outputs], device)),
            },
            stride: layer.stride,
            padded: layer.padded,
        })
    }

    /// `[n, h, w, in]` to `[n, h', w', out]`.
    pub fn forward(&self, input: Tensor<4>, activation: Activation) -> Tensor<4> {
        let convolution = self.convolution(&input);
        ops::conv2d(input, self.filter.clone(), None, convolution, activation)
    }

    /// The same without an activation, plus `residual` if there is one.
    pub fn forward_residual(&self, input: Tensor<4>, residual: Option<Tensor<4>>) -> Tensor<4> {
        let (filter, convolution) = (self.filter.clone(), self.convolution(&input));
        ops::conv2d(input, filter, residual, convolution, Activation::None)
    }

    /// Where every channel is convolved by itself.
    pub fn forward_depthwise(&self, input: Tensor<4>, activation: Activation) -> Tensor<4> {
        let convolution = self.convolution(&input);
        ops::depthwise_conv2d(input, self.filter.clone(), convolution, activation)
    }

    fn convolution(&self, input: &Tensor<4>) -> Convolution {
        let [_, height, width, _] = input.dims();
        let [_, _, kernel_height, kernel_width] = self.filter.weight.dims();
        let padding = if self.padded {
            let (top, bottom) = around(height, kernel_height, self.stride);
            let (left, right) = around(width, kernel_width, self.stride);
            Padding {
                top,
                bottom,
                left,
                right,
            }
        } else {
            Padding::default()
        };
        Convolution {
            stride: self.stride,
            padding,
        }
    }
}

/// How many zeros lie before and after `extent` pixels, so that there is an output for every `stride`-th of them. Of
/// an odd number there is one more after them, as TensorFlow has it.
fn around(extent: usize, kernel: usize, stride: usize) -> (usize, usize) {
    let read = extent.div_ceil(stride).saturating_sub(1) * stride + kernel;
    let missing = read.saturating_sub(extent);
    (missing / 2, missing - missing / 2)
}

/// The mean of every channel, `[n, h, w, c]` to `[n, c]`.
pub(super) fn means(input: Tensor<4>) -> Tensor<2> {
    let [count, height, width, channels] = input.dims();
    input
        .reshape([count, height * width, channels])
        .mean_dim(1)
        .reshape([count, channels])
}

/// The values of a tensor of that shape.
pub(super) fn values<'a>(weights: &'a TensorMap, key: &str, shape: &[usize]) -> Result<&'a [f32]> {
    let missing = || Error::input(format!("tensor `{key}` is missing"));
    let tensor = weights.get(key).ok_or_else(missing)?;
    match tensor.as_f32() {
        Some(values) if tensor.shape == shape => Ok(values),
        _ => Err(Error::input(format!(
            "tensor `{key}` has shape {:?}, but {shape:?} and floats are expected",
            tensor.shape
        ))),
    }
}

pub(super) fn tensor<const D: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    device: &Device,
) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, Shape::from(shape)), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{HostTensor, host_values};

    #[test]
    fn padding_is_that_of_tensorflow() {
        // Pixels, kernel and stride; zeros before and after.
        for ([extent, kernel, stride], zeros) in [
            ([224, 3, 2], (0, 1)),
            ([14, 5, 2], (1, 2)),
            ([7, 5, 1], (2, 2)),
            ([7, 3, 2], (1, 1)),
            ([35, 1, 1], (0, 0)),
            ([17, 7, 1], (3, 3)),
        ] {
            assert_eq!(around(extent, kernel, stride), zeros);
        }
    }

    /// One pixel, two channels in and out: the convolution, then the normalisation, by hand.
    #[test]
    fn a_folded_layer_is_the_convolution_and_the_normalisation() {
        let vector = |values: [f32; 2]| HostTensor::f32([2], values.to_vec());
        let kernel = HostTensor::f32([2, 2, 1, 1], vec![1.0, 2.0, -3.0, 0.5]);
        let weights = TensorMap::from([
            ("a.weight".to_owned(), kernel),
            ("n.weight".to_owned(), vector([2.0, 0.5])),
            ("n.bias".to_owned(), vector([0.25, -1.0])),
            ("n.running_mean".to_owned(), vector([0.5, 4.0])),
            ("n.running_var".to_owned(), vector([3.999, 0.249])),
        ]);
        let layer = NormalizedConvolution {
            weight: "a.weight".into(),
            norm: "n".into(),
            shape: [2, 2, 1, 1],
            stride: 1,
            padded: true,
        };
        let device = Device::flex();
        let folded = Folded::new(&layer, &weights, &device).unwrap();
        let input = tensor(vec![10.0, 20.0], [1, 1, 1, 2], &device);
        let output = host_values(folded.forward(input.clone(), Activation::None));
        // 10 + 40 and -30 + 10; deviations of 2 and 0.5.
        let expected = [
            (50.0 - 0.5) / 2.0 * 2.0 + 0.25,
            (-20.0 - 4.0) / 0.5 * 0.5 - 1.0,
        ];
        for (output, expected) in output.into_iter().zip(expected) {
            assert!((output - expected).abs() < 1e-4, "{output}, not {expected}");
        }
        let clamped = host_values(folded.forward(input, Activation::Relu));
        assert_eq!(clamped[1], 0.0);

        let mut incomplete = weights;
        incomplete.remove("n.running_mean");
        let text = Folded::new(&layer, &incomplete, &device).unwrap_err();
        assert!(text.to_string().contains("`n.running_mean` is missing"));
    }
}
