//! Max pooling of channels-last images without padding, with its gradient.
//!
//! The gradient of a window goes to its first largest value, as PyTorch has it.

use crate::dispatch::{self, vectorised};
use crate::element::Element;
use rayon::prelude::*;

/// Sizes of a max pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPoolShape {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    /// Side of a window.
    pub size: usize,
    pub stride: usize,
}

impl MaxPoolShape {
    /// Height and width of the output.
    ///
    /// # Panics
    /// When a window does not fit into the image.
    pub fn output(&self) -> (usize, usize) {
        let positions = |extent: usize| {
            assert!(
                self.size > 0 && self.stride > 0 && self.size <= extent,
                "impossible windows: {self:?}"
            );
            (extent - self.size) / self.stride + 1
        };
        (positions(self.height), positions(self.width))
    }

    /// Number of output values.
    pub fn output_len(&self) -> usize {
        let (height, width) = self.output();
        self.batch * height * width * self.channels
    }

    fn assert_lengths(&self, input: usize, output: usize) {
        assert!(self.channels > 0, "images without channels: {self:?}");
        let expected = self.batch * self.height * self.width * self.channels;
        assert_eq!(input, expected, "input values of {self:?}");
        assert_eq!(output, self.output_len(), "output values of {self:?}");
    }

    /// Index of the first value of every pixel of the window of output pixel (`y`, `x`) in an
    /// image.
    fn window(self, y: usize, x: usize) -> impl Iterator<Item = usize> {
        (0..self.size * self.size).map(move |place| {
            let row = y * self.stride + place / self.size;
            let column = x * self.stride + place % self.size;
            (row * self.width + column) * self.channels
        })
    }
}

/// Computes the output.
pub fn forward<E: Element>(shape: &MaxPoolShape, input: &[E], output: &mut [E]) {
    shape.assert_lengths(input.len(), output.len());
    if output.is_empty() {
        return;
    }
    let (height, width) = shape.output();
    let (isa, image_len) = (dispatch::isa(), shape.height * shape.width * shape.channels);
    let rows = output
        .par_chunks_exact_mut(width * shape.channels)
        .enumerate();
    rows.for_each(|(row, output)| {
        let image = &input[row / height * image_len..][..image_len];
        for (x, output) in output.chunks_exact_mut(shape.channels).enumerate() {
            for (place, first) in shape.window(row % height, x).enumerate() {
                take_larger(isa, &image[first..][..shape.channels], place == 0, output);
            }
        }
    });
}

vectorised! {
    fn take_larger<E: Element>(values: &[E], fresh: bool, largest: &mut [E]) {
        if fresh {
            return largest.copy_from_slice(values);
        }
        for (largest, value) in largest.iter_mut().zip(values) {
            if value.to_f32() > largest.to_f32() {
                *largest = *value;
            }
        }
    }
}

/// Computes the gradient of the input from input, output and the gradient of the output.
pub fn backward<E: Element>(
    shape: &MaxPoolShape,
    input: &[E],
    output: &[E],
    grad_output: &[E],
    grad_input: &mut [E],
) {
    shape.assert_lengths(input.len(), output.len());
    shape.assert_lengths(grad_input.len(), grad_output.len());
    if output.is_empty() {
        return grad_input.fill(E::default());
    }
    let (height, width) = shape.output();
    let (isa, image_len) = (dispatch::isa(), shape.height * shape.width * shape.channels);
    let output_len = height * width * shape.channels;
    let images = grad_input.par_chunks_exact_mut(image_len).enumerate();
    images.for_each(|(image, target)| {
        target.fill(E::default());
        let input = &input[image * image_len..][..image_len];
        let output = &output[image * output_len..][..output_len];
        let gradient = &grad_output[image * output_len..][..output_len];
        let mut open = vec![true; shape.channels];
        for pixel in 0..height * width {
            let values = pixel * shape.channels..(pixel + 1) * shape.channels;
            open.fill(true);
            for first in shape.window(pixel / width, pixel % width) {
                let place = first..first + shape.channels;
                let (largest, gradient) = (&output[values.clone()], &gradient[values.clone()]);
                let target = &mut target[place.clone()];
                hand_down(isa, &input[place], largest, gradient, &mut open, target);
            }
        }
    });
}

vectorised! {
    /// Adds the gradient where a value is the largest and none before it was.
    fn hand_down<E: Element>(
        values: &[E],
        largest: &[E],
        gradient: &[E],
        open: &mut [bool],
        target: &mut [E],
    ) {
        let channels = values.iter().zip(largest).zip(gradient);
        for (((value, largest), gradient), (open, target)) in
            channels.zip(open.iter_mut().zip(target))
        {
            let chosen = *open & (value.to_f32() == largest.to_f32());
            let share = if chosen { gradient.to_f32() } else { 0.0 };
            *target = E::from_f32(target.to_f32() + share);
            *open &= !chosen;
        }
    }
}

/// The slow version.
pub mod reference {
    use super::MaxPoolShape;

    /// Index of the input value that each output value is.
    pub fn sources(shape: &MaxPoolShape, input: &[f32]) -> Vec<usize> {
        let (height, width) = shape.output();
        let mut sources = Vec::new();
        for output in 0..shape.output_len() {
            let (pixel, channel) = (output / shape.channels, output % shape.channels);
            let (image, pixel) = (pixel / (height * width), pixel % (height * width));
            let first = image * shape.height * shape.width * shape.channels + channel;
            let mut best = None;
            for place in shape.window(pixel / width, pixel % width) {
                if best.is_none_or(|best: usize| input[first + place] > input[best]) {
                    best = Some(first + place);
                }
            }
            sources.extend(best);
        }
        sources
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::values;

    #[test]
    fn values_and_gradients_follow_the_largest() {
        for [batch, height, width, channels, size, stride] in [
            [1, 1, 1, 1, 1, 1],
            [2, 4, 6, 3, 2, 2],
            [1, 9, 7, 33, 3, 2],
            [1, 5, 5, 2, 2, 3],
        ] {
            let shape = MaxPoolShape {
                batch,
                height,
                width,
                channels,
                size,
                stride,
            };
            // Few different values, so that some windows have several largest ones.
            let input: Vec<f32> = values(1, batch * height * width * channels)
                .into_iter()
                .map(|value| (4.0 * value).round())
                .collect();
            let gradient = values(2, shape.output_len());
            let sources = reference::sources(&shape, &input);
            let mut output = vec![f32::NAN; shape.output_len()];
            forward(&shape, &input, &mut output);
            assert_eq!(
                output,
                sources
                    .iter()
                    .map(|&index| input[index])
                    .collect::<Vec<_>>()
            );
            let mut expected = vec![0.0f32; input.len()];
            for (&source, gradient) in sources.iter().zip(&gradient) {
                expected[source] += gradient;
            }
            let mut result = vec![f32::NAN; input.len()];
            backward(&shape, &input, &output, &gradient, &mut result);
            assert_eq!(result, expected);
        }
    }
}
