//! Depthwise convolution of channels-last images: every channel is convolved by itself.
//!
//! Input `[batch, height, width, channels]`, weight `[channels, kernel height, kernel width]` in `f32`, output
//! `[batch, output height, output width, channels]`. There is no gradient: the networks that have such layers are only
//! ever evaluated.

use crate::activation::{Activation, with_activation};
use crate::dispatch::{self, Isa, vectorised};
use crate::element::Element;
use rayon::prelude::*;

/// Sizes of a depthwise convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepthwiseShape {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    pub stride: usize,
    /// Rows and columns of zeros at the top, bottom, left and right.
    pub padding: [usize; 4],
}

impl DepthwiseShape {
    /// Height and width of the output.
    ///
    /// # Panics
    /// When the kernel does not fit into the padded input.
    pub fn output(&self) -> (usize, usize) {
        let [top, bottom, left, right] = self.padding;
        let positions = |padded: usize, kernel: usize| {
            assert!(
                self.stride > 0 && kernel > 0 && kernel <= padded,
                "impossible kernel or stride: {self:?}"
            );
            (padded - kernel) / self.stride + 1
        };
        (
            positions(self.height + top + bottom, self.kernel[0]),
            positions(self.width + left + right, self.kernel[1]),
        )
    }

    /// Number of input values.
    pub fn input_len(&self) -> usize {
        self.batch * self.height * self.width * self.channels
    }

    /// Number of output values.
    pub fn output_len(&self) -> usize {
        let (height, width) = self.output();
        self.batch * height * width * self.channels
    }

    fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// The taps that meet a pixel when output pixel (`y`, `x`) is computed, each with the index of that pixel in its
    /// image.
    fn met(self, y: usize, x: usize) -> impl Iterator<Item = (usize, usize)> {
        (0..self.taps()).filter_map(move |tap| {
            let row = y * self.stride + tap / self.kernel[1];
            let column = x * self.stride + tap % self.kernel[1];
            let row = row.checked_sub(self.padding[0])?;
            let column = column.checked_sub(self.padding[2])?;
            let inside = row < self.height && column < self.width;
            inside.then_some((tap, row * self.width + column))
        })
    }
}

/// Computes the output: sums plus bias (one value per channel), then the activation.
pub fn forward<E: Element>(
    shape: &DepthwiseShape,
    input: &[E],
    weight: &[f32],
    bias: &[f32],
    activation: Activation,
    output: &mut [E],
) {
    assert!(shape.channels > 0, "images without channels: {shape:?}");
    assert_eq!(input.len(), shape.input_len(), "input values of {shape:?}");
    assert_eq!(
        weight.len(),
        shape.taps() * shape.channels,
        "weights of {shape:?}"
    );
    assert_eq!(bias.len(), shape.channels, "biases of {shape:?}");
    assert_eq!(
        output.len(),
        shape.output_len(),
        "output values of {shape:?}"
    );
    if output.is_empty() {
        return;
    }
    let (height, width) = shape.output();
    let taps = by_tap(weight, shape.channels);
    let row = Row {
        shape,
        taps: &taps,
        bias,
        activation,
        isa: dispatch::isa(),
    };
    let image_len = shape.height * shape.width * shape.channels;
    let rows = output.par_chunks_exact_mut(width * shape.channels);
    rows.enumerate().for_each(|(index, output)| {
        let image = &input[index / height * image_len..][..image_len];
        row.compute(image, index % height, output);
    });
}

/// The weight with the channels of each tap side by side, as those of a pixel are.
fn by_tap(weight: &[f32], channels: usize) -> Vec<f32> {
    let taps = weight.len() / channels;
    let mut turned = Vec::with_capacity(weight.len());
    for tap in 0..taps {
        turned.extend((0..channels).map(|channel| weight[channel * taps + tap]));
    }
    turned
}

/// What all rows of the output share.
struct Row<'a> {
    shape: &'a DepthwiseShape,
    taps: &'a [f32],
    bias: &'a [f32],
    activation: Activation,
    isa: Isa,
}

impl Row<'_> {
    /// Computes row `y` of one image's output.
    fn compute<E: Element>(&self, image: &[E], y: usize, output: &mut [E]) {
        let channels = self.shape.channels;
        let mut sums = vec![0.0; channels];
        for (x, output) in output.chunks_exact_mut(channels).enumerate() {
            sums.copy_from_slice(self.bias);
            for (tap, pixel) in self.shape.met(y, x) {
                let values = &image[pixel * channels..][..channels];
                let weights = &self.taps[tap * channels..][..channels];
                add_products(self.isa, values, weights, &mut sums);
            }
            finish(self.isa, &sums, self.activation, output);
        }
    }
}

vectorised! {
    fn add_products<E: Element>(values: &[E], weights: &[f32], sums: &mut [f32]) {
        for ((sum, value), weight) in sums.iter_mut().zip(values).zip(weights) {
            *sum += value.to_f32() * weight;
        }
    }
}

vectorised! {
    fn finish<E: Element>(sums: &[f32], activation: Activation, output: &mut [E]) {
        with_activation!(activation, apply, |function| {
            for (output, sum) in output.iter_mut().zip(sums) {
                *output = E::from_f32(function(*sum));
            }
        });
    }
}

/// The slow version, in double precision.
pub mod reference {
    use super::DepthwiseShape;

    /// The sums plus bias, before the activation.
    pub fn forward(
        shape: &DepthwiseShape,
        input: &[f32],
        weight: &[f32],
        bias: &[f32],
    ) -> Vec<f64> {
        let (height, width) = shape.output();
        let (channels, taps) = (shape.channels, shape.taps());
        let mut sums = Vec::with_capacity(shape.output_len());
        for index in 0..shape.output_len() {
            let (pixel, channel) = (index / channels, index % channels);
            let (image, y, x) = (
                pixel / (height * width),
                pixel / width % height,
                pixel % width,
            );
            let mut sum = f64::from(bias[channel]);
            for tap in 0..taps {
                let row = (y * shape.stride + tap / shape.kernel[1]) as isize;
                let column = (x * shape.stride + tap % shape.kernel[1]) as isize;
                let (row, column) = (
                    row - shape.padding[0] as isize,
                    column - shape.padding[2] as isize,
                );
                let rows = 0..shape.height as isize;
                let columns = 0..shape.width as isize;
                if rows.contains(&row) && columns.contains(&column) {
                    let place = (image * shape.height + row as usize) * shape.width;
                    let value = input[(place + column as usize) * channels + channel];
                    sum += f64::from(value) * f64::from(weight[channel * taps + tap]);
                }
            }
            sums.push(sum);
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::bf16;
    use crate::testing::{assert_close, in_pool, values};

    fn shapes() -> [DepthwiseShape; 4] {
        let shape = |sizes: [usize; 4], kernel, stride, padding| DepthwiseShape {
            batch: sizes[0],
            height: sizes[1],
            width: sizes[2],
            channels: sizes[3],
            kernel,
            stride,
            padding,
        };
        [
            shape([2, 6, 5, 3], [3, 3], 1, [1; 4]),
            shape([1, 8, 6, 33], [5, 5], 2, [1, 2, 1, 2]),
            shape([1, 4, 7, 16], [1, 3], 3, [0, 0, 2, 0]),
            shape([1, 1, 1, 1], [1, 1], 1, [0; 4]),
        ]
    }

    fn run<E: Element>(shape: &DepthwiseShape, activation: Activation) -> (Vec<f32>, Vec<f64>) {
        let input: Vec<E> = values(1, shape.input_len())
            .into_iter()
            .map(E::from_f32)
            .collect();
        let weight = values(2, shape.taps() * shape.channels);
        let bias = values(3, shape.channels);
        let mut output = vec![E::from_f32(f32::NAN); shape.output_len()];
        forward(shape, &input, &weight, &bias, activation, &mut output);
        let input: Vec<f32> = input.into_iter().map(Element::to_f32).collect();
        let truth = reference::forward(shape, &input, &weight, &bias)
            .into_iter()
            .map(|sum| crate::activation::reference::apply(activation, sum))
            .collect();
        (output.into_iter().map(Element::to_f32).collect(), truth)
    }

    #[test]
    fn outputs_are_the_truth() {
        for shape in shapes() {
            for activation in [Activation::None, Activation::Relu6] {
                let (output, truth) = run::<f32>(&shape, activation);
                assert_close(&output, &truth, 1e-5, "f32 output");
                let (output, truth) = run::<bf16>(&shape, activation);
                assert_close(&output, &truth, 1e-2, "bf16 output");
            }
        }
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        for shape in shapes() {
            let outputs = |threads| in_pool(threads, || run::<f32>(&shape, Activation::None).0);
            assert_eq!(outputs(1), outputs(3));
        }
    }
}
