//! Fast versions of the convolution against the slow ones at every instruction set, and gradients against difference quotients.

use super::*;
use crate::element::{Element, bf16};
use crate::testing::{assert_close, assert_gradient, in_pool, values, weighted_sum};

const TOLERANCE: f64 = 2e-5;

fn shape(
    [batch, height, width]: [usize; 3],
    [in_channels, out_channels]: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 4],
) -> ConvShape {
    ConvShape {
        batch,
        height,
        width,
        in_channels,
        out_channels,
        kernel,
        stride,
        padding,
    }
}

fn shapes() -> Vec<ConvShape> {
    vec![
        shape([1, 1, 1], [1, 1], [1, 1], [1, 1], [0; 4]),
        shape([2, 5, 7], [33, 5], [1, 1], [1, 1], [0; 4]),
        shape([1, 4, 4], [3, 2], [1, 1], [1, 1], [2, 0, 1, 3]),
        shape([2, 9, 17], [5, 3], [1, 1], [2, 2], [0; 4]),
        shape([2, 5, 7], [3, 5], [3, 3], [1, 1], [1; 4]),
        shape([1, 17, 9], [32, 33], [3, 3], [1, 1], [1; 4]),
        shape([1, 3, 70], [24, 4], [3, 3], [1, 1], [1; 4]),
        shape([2, 17, 9], [33, 3], [3, 3], [2, 2], [0, 1, 0, 1]),
        shape([1, 6, 6], [1, 33], [3, 3], [2, 2], [0, 1, 0, 1]),
        shape([1, 8, 8], [5, 32], [4, 4], [2, 2], [1; 4]),
        shape([1, 7, 6], [32, 1], [4, 4], [1, 1], [1; 4]),
        shape([1, 5, 40], [3, 2], [3, 1], [1, 2], [1, 0, 0, 0]),
        shape([1, 9, 9], [40, 35], [2, 2], [3, 3], [0; 4]),
        shape([1, 12, 12], [70, 8], [3, 3], [3, 2], [2; 4]),
        shape([0, 4, 4], [3, 2], [3, 3], [1, 1], [1; 4]),
    ]
}

struct Data {
    input: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    grad_output: Vec<f32>,
}

fn data(shape: &ConvShape) -> Data {
    Data {
        input: values(1, shape.input_len()),
        weight: values(2, shape.weight_len()),
        bias: values(3, shape.out_channels),
        grad_output: values(4, shape.output_len()),
    }
}

/// Output and the gradients of input, weight and bias; filled with NaN beforehand.
fn fast(shape: &ConvShape, data: &Data) -> [Vec<f32>; 4] {
    let unset = |len| vec![f32::NAN; len];
    let mut output = unset(shape.output_len());
    let epilogue = Epilogue {
        bias: Some(&data.bias),
        ..Epilogue::default()
    };
    forward(
        shape,
        Source::plain(&data.input),
        &data.weight,
        &epilogue,
        &mut output,
    );
    let mut grad_input = unset(shape.input_len());
    backward_input(shape, &data.grad_output, &data.weight, &mut grad_input);
    let mut grad_weight = unset(shape.weight_len());
    let input = Source::plain(&data.input);
    backward_weight(shape, input, &data.grad_output, &mut grad_weight);
    let mut grad_bias = unset(shape.out_channels);
    backward_bias(shape, &data.grad_output, &mut grad_bias);
    [output, grad_input, grad_weight, grad_bias]
}

fn assert_matches_reference(shape: &ConvShape) {
    let data = data(shape);
    let results = fast(shape, &data);
    let truths = [
        reference::forward(shape, &data.input, &data.weight, Some(&data.bias)),
        reference::backward_input(shape, &data.grad_output, &data.weight),
        reference::backward_weight(shape, &data.input, &data.grad_output),
        reference::backward_bias(shape, &data.grad_output),
    ];
    for ((result, truth), name) in results.iter().zip(&truths).zip(["y", "dx", "dw", "db"]) {
        assert_close(result, truth, TOLERANCE, &format!("{name} of {shape:?}"));
    }
    let mut unbiased = vec![f32::NAN; shape.output_len()];
    let input = Source::plain(&data.input);
    forward(
        shape,
        input,
        &data.weight,
        &Epilogue::default(),
        &mut unbiased,
    );
    let truth = reference::forward(shape, &data.input, &data.weight, None);
    assert_close(&unbiased, &truth, TOLERANCE, "output without bias");
}

#[test]
fn all_passes_match_the_reference() {
    for threads in [1, 2, 3] {
        in_pool(threads, || {
            shapes().iter().for_each(assert_matches_reference)
        });
    }
}

#[test]
fn several_tiles_per_thread_match_the_reference() {
    let shape = shape([2, 40, 37], [9, 6], [3, 3], [1, 1], [1; 4]);
    in_pool(2, || assert_matches_reference(&shape));
}

#[test]
fn runs_are_identical() {
    for shape in shapes() {
        let data = data(&shape);
        let run = || in_pool(2, || fast(&shape, &data));
        assert_eq!(run(), run());
    }
}

#[test]
fn reference_gradients_match_difference_quotients() {
    let shape = shape([1, 4, 5], [2, 3], [3, 2], [2, 1], [0, 1, 1, 0]);
    let data = data(&shape);
    let loss = |input: &[f32], weight: &[f32], bias: &[f32]| {
        let output = reference::forward(&shape, input, weight, Some(bias));
        weighted_sum(&output, &data.grad_output)
    };
    let gradient = reference::backward_input(&shape, &data.grad_output, &data.weight);
    assert_gradient(&data.input, &gradient, |x| {
        loss(x, &data.weight, &data.bias)
    });
    let gradient = reference::backward_weight(&shape, &data.input, &data.grad_output);
    assert_gradient(&data.weight, &gradient, |w| {
        loss(&data.input, w, &data.bias)
    });
    let gradient = reference::backward_bias(&shape, &data.grad_output);
    assert_gradient(&data.bias, &gradient, |b| {
        loss(&data.input, &data.weight, b)
    });
}

#[test]
#[should_panic(expected = "impossible kernel")]
fn kernels_larger_than_the_image_are_refused() {
    shape([1, 2, 2], [1, 1], [3, 3], [1, 1], [0; 4]).output();
}

#[test]
#[should_panic(expected = "input values")]
fn wrong_lengths_are_refused() {
    let shape = shape([1, 2, 2], [1, 1], [1, 1], [1, 1], [0; 4]);
    forward(
        &shape,
        Source::plain(&[0.0f32; 3]),
        &[0.0],
        &Epilogue::default(),
        &mut [0.0; 4],
    );
}

#[test]
fn random_shapes_match_the_reference() {
    for seed in 0..48 {
        let drawn = values(seed, 13);
        // A whole number of `low..high`, drawn for this place.
        let pick = |place: usize, low: usize, high: usize| {
            low + ((drawn[place] + 1.0) / 2.0 * (high - low) as f32) as usize
        };
        assert_matches_reference(&shape(
            [pick(0, 1, 3), pick(1, 4, 14), pick(2, 4, 14)],
            [pick(3, 1, 40), pick(4, 1, 40)],
            [pick(5, 1, 5), pick(6, 1, 5)],
            [pick(7, 1, 4), pick(8, 1, 4)],
            [9, 10, 11, 12].map(|place| pick(place, 0, 3)),
        ));
    }
}

/// What is left of a number in bf16.
fn rounded(values: &[f32]) -> Vec<bf16> {
    values
        .iter()
        .map(|&value| Element::from_f32(value))
        .collect()
}

fn widened(values: &[bf16]) -> Vec<f32> {
    values.iter().map(|&value| Element::to_f32(value)).collect()
}

#[test]
fn bf16_passes_match_the_reference_up_to_rounding() {
    // Half a unit in the last place of eight bits, relative to values of a few units.
    const ROUNDING: f64 = 4e-3;
    for shape in shapes() {
        let data = data(&shape);
        let (input, gradient) = (rounded(&data.input), rounded(&data.grad_output));
        let weight = widened(&rounded(&data.weight));
        let epilogue = Epilogue {
            bias: Some(&data.bias),
            ..Epilogue::default()
        };
        let mut output = rounded(&data.grad_output);
        forward(
            &shape,
            Source::plain(&input),
            &weight,
            &epilogue,
            &mut output,
        );
        let truth = reference::forward(&shape, &widened(&input), &weight, Some(&data.bias));
        assert_close(
            &widened(&output),
            &truth,
            ROUNDING,
            &format!("y of {shape:?}"),
        );
        let mut grad_input = input.clone();
        backward_input(&shape, &gradient, &weight, &mut grad_input);
        let truth = reference::backward_input(&shape, &widened(&gradient), &weight);
        assert_close(
            &widened(&grad_input),
            &truth,
            ROUNDING,
            &format!("dx of {shape:?}"),
        );
        let mut grad_weight = vec![f32::NAN; weight.len()];
        backward_weight(&shape, Source::plain(&input), &gradient, &mut grad_weight);
        let truth = reference::backward_weight(&shape, &widened(&input), &widened(&gradient));
        assert_close(&grad_weight, &truth, TOLERANCE, &format!("dw of {shape:?}"));
    }
}

#[test]
fn normalisation_residual_and_activation_are_applied() {
    let shape = shape([2, 9, 7], [33, 5], [3, 3], [1, 1], [1; 4]);
    let data = data(&shape);
    let coefficients = values(5, 2 * 3 * 33);
    let residual = values(6, shape.output_len());
    for activation in [
        Activation::None,
        Activation::Silu,
        Activation::Relu,
        Activation::LeakyRelu,
        Activation::Relu6,
    ] {
        let normalization = Some(Normalization {
            coefficients: &coefficients,
            activation,
        });
        let source = Source {
            values: &data.input,
            normalization,
        };
        let normalized: Vec<f32> = (0..data.input.len())
            .map(|index| {
                let (image, channel) = (index / (9 * 7 * 33), index % 33);
                let of = |part: usize| coefficients[(image * 3 + part) * 33 + channel];
                activation.apply((data.input[index] - of(0)) * of(1) + of(2))
            })
            .collect();
        let epilogue = Epilogue {
            bias: Some(&data.bias),
            residual: Some(&residual),
            activation,
        };
        let mut output = vec![f32::NAN; shape.output_len()];
        forward(&shape, source, &data.weight, &epilogue, &mut output);
        let truth: Vec<f64> =
            reference::forward(&shape, &normalized, &data.weight, Some(&data.bias))
                .iter()
                .zip(&residual)
                .map(|(sum, &residual)| {
                    crate::activation::reference::apply(activation, sum + f64::from(residual))
                })
                .collect();
        assert_close(&output, &truth, TOLERANCE, "output");
        let mut grad_weight = vec![f32::NAN; shape.weight_len()];
        backward_weight(&shape, source, &data.grad_output, &mut grad_weight);
        let truth = reference::backward_weight(&shape, &normalized, &data.grad_output);
        assert_close(&grad_weight, &truth, TOLERANCE, "weight gradient");
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for shape in shapes() {
        let data = data(&shape);
        let run = |threads| in_pool(threads, || fast(&shape, &data));
        assert_eq!(run(1), run(3));
    }
}
