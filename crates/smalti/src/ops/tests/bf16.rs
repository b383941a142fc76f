//! bf16 beside f32, in a few layers as a network has them.

use super::*;

/// Output and all gradients of a few layers as a network has them.
fn layers_in(precision: Precision) -> Vec<Tensor<1>> {
    let normalization = GroupNormalization {
        groups: 4,
        epsilon: 1e-6,
        activation: Activation::Silu,
    };
    let input = random([2, 8, 8, 8], 1).require_grad();
    // Sums of 72 products: scaled so that values keep their size.
    let weight = |seed| (random([8, 8, 3, 3], seed) * 0.12).detach().require_grad();
    let weights: Vec<Tensor<4>> = (2..5).map(weight).collect();
    let (gamma, beta) = (random([8], 8).require_grad(), random([8], 9).require_grad());
    let filter = |index: usize| filter(weights[index].clone(), random([8], 6));
    let convolution = Convolution::padded(1);
    let x = precision.of(input.clone());
    let x = conv2d(x, filter(0), None, convolution, Activation::None);
    let normalized = Normalized {
        gamma: gamma.clone(),
        beta: beta.clone(),
        normalization,
    };
    let y = normalized_conv2d(x.clone(), normalized, filter(1), Some(x), convolution);
    let y = group_norm(y, gamma.clone(), beta.clone(), normalization);
    let y = attention(y.clone(), y.clone(), y, Attention::default());
    let output = Precision::F32.of(upsampled_conv2d(y, filter(2)));
    let gradients = (output.clone() * random([2, 16, 16, 8], 10))
        .sum()
        .backward();
    let mut all = vec![
        output.reshape([4096]),
        input.grad(&gradients).unwrap().reshape([1024]),
    ];
    all.extend(
        weights
            .iter()
            .map(|weight| weight.grad(&gradients).unwrap().reshape([576])),
    );
    all.push(gamma.grad(&gradients).unwrap());
    all
}

#[test]
fn bf16_stays_near_f32_forward_and_backward() {
    for (ours, truth) in layers_in(Precision::Bf16)
        .into_iter()
        .zip(layers_in(Precision::F32))
    {
        let difference = relative_difference(ours, truth);
        assert!(difference > 0.0 && difference < 0.03, "{difference}");
    }
}
