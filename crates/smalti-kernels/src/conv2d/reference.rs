//! Slow versions of the convolution in double precision: what the tests take as the truth.

use super::ConvShape;

/// Calls `visit` with output pixel, input pixel and tap for every pair that meets.
fn for_each_tap(shape: &ConvShape, mut visit: impl FnMut(usize, usize, usize)) {
    let (height, width) = shape.output();
    let mut output = 0;
    for image in 0..shape.batch {
        for position in 0..height * width {
            let top = position / width * shape.stride[0];
            let left = position % width * shape.stride[1];
            for tap in 0..shape.kernel[0] * shape.kernel[1] {
                let y = (top + tap / shape.kernel[1]).wrapping_sub(shape.padding[0]);
                let x = (left + tap % shape.kernel[1]).wrapping_sub(shape.padding[2]);
                if y < shape.height && x < shape.width {
                    visit(output, (image * shape.height + y) * shape.width + x, tap);
                }
            }
            output += 1;
        }
    }
}

/// Calls `visit` with the indices of output value, input value and weight of every product.
fn for_each_product(shape: &ConvShape, mut visit: impl FnMut(usize, usize, usize)) {
    let (inputs, outputs) = (shape.in_channels, shape.out_channels);
    let taps = shape.kernel[0] * shape.kernel[1];
    for_each_tap(shape, |output_pixel, input_pixel, tap| {
        for output in 0..outputs {
            for input in 0..inputs {
                visit(
                    output_pixel * outputs + output,
                    input_pixel * inputs + input,
                    (output * inputs + input) * taps + tap,
                );
            }
        }
    });
}

/// The output.
pub fn forward(shape: &ConvShape, input: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f64> {
    let channel_bias = |index| bias.map_or(0.0, |bias| bias[index % shape.out_channels]);
    let biases = (0..shape.output_len()).map(|index| f64::from(channel_bias(index)));
    let mut sums: Vec<f64> = biases.collect();
    for_each_product(shape, |o, i, w| {
        sums[o] += f64::from(input[i]) * f64::from(weight[w]);
    });
    sums
}

/// The gradient of the input.
pub fn backward_input(shape: &ConvShape, grad_output: &[f32], weight: &[f32]) -> Vec<f64> {
    let mut sums = vec![0.0; shape.input_len()];
    for_each_product(shape, |o, i, w| {
        sums[i] += f64::from(grad_output[o]) * f64::from(weight[w]);
    });
    sums
}

/// The gradient of the weight.
pub fn backward_weight(shape: &ConvShape, input: &[f32], grad_output: &[f32]) -> Vec<f64> {
    let mut sums = vec![0.0; shape.weight_len()];
    for_each_product(shape, |o, i, w| {
        sums[w] += f64::from(grad_output[o]) * f64::from(input[i]);
    });
    sums
}

/// The gradient of the bias.
pub fn backward_bias(shape: &ConvShape, grad_output: &[f32]) -> Vec<f64> {
    let mut sums = vec![0.0; shape.out_channels];
    for (index, &value) in grad_output.iter().enumerate() {
        sums[index % shape.out_channels] += f64::from(value);
    }
    sums
}
