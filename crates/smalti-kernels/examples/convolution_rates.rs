//! How fast convolutions run here: forward and both gradients, f32 and bf16, for shapes of the
//! networks. Run with `cargo run --release -p smalti-kernels --example convolution_rates`.

use smalti_kernels::conv2d::{
    self, Activation, ConvShape, Epilogue, Normalization, Source, upsampled,
};
use smalti_kernels::element::{Element, bf16};
use std::time::Instant;

const REPEATS: usize = 7;

fn main() {
    println!(
        "{:28} {:5} {:>22} {:>22} {:>22}",
        "3x3, channels at side", "", "forward", "input gradient", "weight gradient"
    );
    for [batch, inputs, outputs, side] in [
        [1, 128, 128, 256],
        [1, 256, 256, 64],
        [4, 512, 512, 16],
        [1, 512, 512, 16],
        [1, 128, 3, 256],
        [1, 3, 128, 256],
    ] {
        let shape = ConvShape {
            batch,
            height: side,
            width: side,
            in_channels: inputs,
            out_channels: outputs,
            kernel: [3; 2],
            stride: [1; 2],
            padding: [1; 4],
        };
        rates::<f32>(&shape, "f32");
        upsampled_rates::<f32>(&shape);
        rates::<bf16>(&shape, "bf16");
        upsampled_rates::<bf16>(&shape);
    }
}

fn values<E: Element>(len: usize) -> Vec<E> {
    (0..len)
        .map(|index| E::from_f32((index * 37 % 101) as f32 / 101.0 - 0.5))
        .collect()
}

fn rates<E: Element>(shape: &ConvShape, name: &str) {
    let (input, gradient) = (
        values::<E>(shape.input_len()),
        values::<E>(shape.output_len()),
    );
    let weight = values::<f32>(shape.weight_len());
    let mut output = gradient.clone();
    let mut grad_input = input.clone();
    let mut grad_weight = weight.clone();
    let epilogue = Epilogue::default();
    let forward = best(|| {
        conv2d::forward(
            shape,
            Source::plain(&input),
            &weight,
            &epilogue,
            &mut output,
        )
    });
    let backward = best(|| conv2d::backward_input(shape, &gradient, &weight, &mut grad_input));
    let to_weight =
        best(|| conv2d::backward_weight(shape, Source::plain(&input), &gradient, &mut grad_weight));
    let coefficients: Vec<f32> = values(3 * shape.batch * shape.in_channels);
    let normalization = Some(Normalization {
        coefficients: &coefficients,
        activation: Activation::Silu,
    });
    let normalized = Source {
        values: &input,
        normalization,
    };
    let fused = best(|| conv2d::forward(shape, normalized, &weight, &epilogue, &mut output));
    let label = format!(
        "{}x {} to {} at {}",
        shape.batch, shape.in_channels, shape.out_channels, shape.width
    );
    println!(
        "{label:28} {name:5} {} {} {}",
        cell(shape, forward),
        cell(shape, backward),
        cell(shape, to_weight)
    );
    println!(
        "{:28} {:5} {}",
        "  normalised, SiLU",
        "",
        cell(shape, fused)
    );
}

/// How long something took, and at what rate the operations of a convolution were done in it.
fn cell(shape: &ConvShape, seconds: f64) -> String {
    let operations = 2.0 * 9.0 * shape.in_channels as f64 * shape.output_len() as f64;
    format!(
        "{:8.2} ms {:5.0} GF/s",
        seconds * 1e3,
        operations / seconds / 1e9
    )
}

/// The same for a picture of half the size that is doubled before the convolution.
fn upsampled_rates<E: Element>(shape: &ConvShape) {
    let gradient = values::<E>(shape.output_len());
    let weight = values::<f32>(shape.weight_len());
    let mut output = gradient.clone();
    let mut grad_weight = weight.clone();
    let epilogue = Epilogue::default();
    let small = upsampled::UpsampledShape {
        batch: shape.batch,
        height: shape.height / 2,
        width: shape.width / 2,
        in_channels: shape.in_channels,
        out_channels: shape.out_channels,
    };
    let input = values::<E>(shape.input_len() / 4);
    let mut small_gradient = input.clone();
    let forward = best(|| {
        upsampled::forward(
            &small,
            Source::plain(&input),
            &weight,
            &epilogue,
            &mut output,
        )
    });
    let backward =
        best(|| upsampled::backward_input(&small, &gradient, &weight, &mut small_gradient));
    let to_weight = best(|| {
        upsampled::backward_weight(&small, Source::plain(&input), &gradient, &mut grad_weight)
    });
    println!(
        "{:28} {:5} {} {} {}",
        "  of the doubled picture",
        "",
        cell(shape, forward),
        cell(shape, backward),
        cell(shape, to_weight)
    );
}

fn best(mut work: impl FnMut()) -> f64 {
    let time = |_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    (0..REPEATS).map(time).fold(f64::INFINITY, f64::min)
}
