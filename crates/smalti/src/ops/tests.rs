//! The CPU versions against the composed ones: same values, same gradients. Composed operations are burn's own, so their
//! gradients are the truth here; the kernels' own tests check both against difference quotients.

use super::*;
use crate::checkpoint::host_values;
use crate::initializer::Initializer;
use burn::tensor::{Device, Int};

fn device() -> Device {
    Device::flex().autodiff()
}

fn random<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    // Not from the device's own generator, which tests that run at the same time share.
    let values = Initializer::seeded(&device(), seed).normal(shape, 1.0);
    values.val().detach()
}

#[track_caller]
fn assert_near<const D: usize>(what: &str, ours: Tensor<D>, truth: Tensor<D>) {
    assert_eq!(ours.dims(), truth.dims(), "{what}");
    let (ours, truth) = (host_values(ours), host_values(truth));
    let largest = truth
        .iter()
        .fold(1.0f32, |largest, value| largest.max(value.abs()));
    for (index, (ours, truth)) in ours.iter().zip(&truth).enumerate() {
        let error = (ours - truth).abs();
        assert!(
            error <= 2e-5 * largest,
            "{what}[{index}]: {ours} instead of {truth}"
        );
    }
}

/// Compares two versions of an operation of three tensors: outputs, and gradients of a random weighing of the outputs.
fn compare<const A: usize, const B: usize, const C: usize, const O: usize>(
    inputs: (Tensor<A>, Tensor<B>, Tensor<C>),
    ours: impl Fn(Tensor<A>, Tensor<B>, Tensor<C>) -> Tensor<O>,
    truth: impl Fn(Tensor<A>, Tensor<B>, Tensor<C>) -> Tensor<O>,
) {
    let run = |operation: &dyn Fn(Tensor<A>, Tensor<B>, Tensor<C>) -> Tensor<O>| {
        let leaves = (
            inputs.0.clone().detach().require_grad(),
            inputs.1.clone().detach().require_grad(),
            inputs.2.clone().detach().require_grad(),
        );
        let output = operation(leaves.0.clone(), leaves.1.clone(), leaves.2.clone());
        let weights = random(output.dims(), 99);
        let gradients = (output.clone() * weights).sum().backward();
        (
            output,
            leaves.0.grad(&gradients).unwrap(),
            leaves.1.grad(&gradients).unwrap(),
            leaves.2.grad(&gradients).unwrap(),
        )
    };
    let (ours, truth) = (run(&ours), run(&truth));
    assert_near("output", ours.0, truth.0);
    assert_near("gradient of the first", ours.1, truth.1);
    assert_near("gradient of the second", ours.2, truth.2);
    assert_near("gradient of the third", ours.3, truth.3);
}

#[test]
fn convolutions() {
    let cases = [
        ([2, 9, 7, 5], [6, 5, 3, 3], Convolution::padded(1)),
        ([1, 8, 8, 3], [4, 3, 1, 1], Convolution::padded(0)),
        (
            [2, 8, 6, 4],
            [3, 4, 3, 3],
            Convolution {
                stride: 2,
                padding: Padding::end(1),
            },
        ),
        (
            [1, 9, 9, 3],
            [5, 3, 4, 4],
            Convolution {
                stride: 2,
                padding: Padding::all(1),
            },
        ),
        // Of the rows above only: more padding than the kernel has rows beside its own.
        (
            [2, 5, 4, 3],
            [4, 3, 2, 3],
            Convolution {
                stride: 1,
                padding: Padding {
                    top: 2,
                    bottom: 0,
                    left: 1,
                    right: 1,
                },
            },
        ),
    ];
    for (input, weight, convolution) in cases {
        compare(
            (random(input, 1), random(weight, 2), random([weight[0]], 3)),
            |x, w, b| conv2d(x, filter(w, b), None, convolution, Activation::None),
            |x, w, b| conv2d::composed(x, filter(w, b), None, convolution, Activation::None),
        );
    }
}

#[test]
fn the_weight_gradient_alone_is_that_of_the_backward_pass() {
    let convolution = Convolution::padded(1);
    let (input, weight) = (random([2, 6, 5, 4], 1), random([3, 4, 3, 3], 2));
    let gradient = random([2, 6, 5, 3], 3);
    let leaf = weight.clone().require_grad();
    let unbiased = Filter {
        weight: leaf.clone(),
        bias: None,
    };
    let output = conv2d(input.clone(), unbiased, None, convolution, Activation::None);
    let truth = leaf
        .grad(&(output * gradient.clone()).sum().backward())
        .unwrap();
    let plain = |tensor: Tensor<4>| tensor.without_autodiff();
    let ours = conv2d_weight_gradient(plain(input), plain(weight), plain(gradient), convolution);
    assert_near("weight gradient", ours, truth);
}

fn filter(weight: Tensor<4>, bias: Tensor<1>) -> Filter {
    Filter {
        weight,
        bias: Some(bias),
    }
}

#[test]
fn activated_convolutions_with_a_residual() {
    let convolution = Convolution::padded(1);
    for activation in [
        Activation::None,
        Activation::Relu,
        Activation::LeakyRelu,
        Activation::Relu6,
    ] {
        compare(
            (
                random([2, 5, 4, 3], 1),
                random([6, 3, 3, 3], 2),
                random([2, 5, 4, 6], 3),
            ),
            |x, weight, skip| {
                let filter = Filter { weight, bias: None };
                conv2d(x, filter, Some(skip), convolution, activation)
            },
            |x, weight, skip| {
                let filter = Filter { weight, bias: None };
                conv2d::composed(x, filter, Some(skip), convolution, activation)
            },
        );
    }
}

#[test]
fn normalised_convolutions() {
    let normalization = GroupNormalization {
        groups: 4,
        epsilon: 1e-6,
        activation: Activation::Silu,
    };
    let normalized = |gamma, beta| Normalized {
        gamma,
        beta,
        normalization,
    };
    let convolution = Convolution::padded(1);
    let residual = random([2, 5, 6, 3], 7);
    compare(
        (
            random([2, 5, 6, 8], 1),
            random([3, 8, 3, 3], 2),
            random([3], 3),
        ),
        |x, w, b| {
            let norm = normalized(random([8], 4), random([8], 5));
            normalized_conv2d(x, norm, filter(w, b), Some(residual.clone()), convolution)
        },
        |x, w, b| {
            let norm = normalized(random([8], 4), random([8], 5));
            conv2d::composed_normalized(x, norm, filter(w, b), Some(residual.clone()), convolution)
        },
    );
    compare(
        (random([2, 5, 6, 8], 1), random([8], 4), random([8], 5)),
        |x, gamma, beta| {
            let filter = filter(random([3, 8, 3, 3], 2), random([3], 3));
            normalized_conv2d(x, normalized(gamma, beta), filter, None, convolution)
        },
        |x, gamma, beta| {
            let filter = filter(random([3, 8, 3, 3], 2), random([3], 3));
            conv2d::composed_normalized(x, normalized(gamma, beta), filter, None, convolution)
        },
    );
}

#[test]
fn scaled_convolutions() {
    fn plain<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
        random(shape, seed).without_autodiff()
    }
    let halving = Convolution {
        stride: 2,
        padding: Padding::end(1),
    };
    let cases = [
        (Convolution::padded(1), Activation::Silu, [2, 6, 8, 3]),
        (halving, Activation::None, [2, 3, 4, 3]),
    ];
    for (convolution, activation, output) in cases {
        let input = plain([2, 6, 8, 5], 1);
        let scaling = Affine {
            scale: plain([5], 2),
            shift: plain([5], 3),
        };
        let filter = filter(plain([3, 5, 3, 3], 4), plain([3], 5));
        let residual = Some(plain(output, 6));
        let run = |input: Tensor<4>, residual: Option<Tensor<4>>| {
            let before = (scaling.clone(), activation);
            affine_conv2d(input, before, filter.clone(), residual, convolution)
        };
        let scaled = affine(input.clone(), scaling.clone(), activation);
        let truth = conv2d::composed(
            scaled,
            filter.clone(),
            residual.clone(),
            convolution,
            Activation::None,
        );
        assert_near(
            "output",
            run(input.clone(), residual.clone()),
            truth.clone(),
        );
        let narrow = |tensor: Tensor<4>| Precision::Bf16.of(tensor);
        let ours = run(narrow(input), residual.map(narrow));
        let difference = relative_difference(ours, truth);
        assert!(difference > 0.0 && difference < 0.02, "{difference}");
    }
}

#[test]
fn upsampled_convolutions() {
    compare(
        (
            random([2, 3, 5, 4], 1),
            random([6, 4, 3, 3], 2),
            random([6], 3),
        ),
        |x, w, b| upsampled_conv2d(x, filter(w, b)),
        |x, w, b| conv2d::composed_upsampled(x, filter(w, b)),
    );
}

#[test]
fn depthwise_convolutions() {
    fn plain<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
        random(shape, seed).without_autodiff()
    }
    let uneven = Padding {
        top: 1,
        bottom: 2,
        left: 0,
        right: 1,
    };
    let halving = Convolution {
        stride: 2,
        padding: uneven,
    };
    let cases = [
        ([2, 6, 5, 7], [7, 1, 3, 3], Convolution::padded(1)),
        ([1, 8, 8, 4], [4, 1, 5, 3], halving),
    ];
    for (input, weight, convolution) in cases {
        let (input, weight) = (plain(input, 1), plain(weight, 2));
        let bias = plain([weight.dims()[0]], 3);
        for activation in [Activation::None, Activation::Relu6] {
            let filter = filter(weight.clone(), bias.clone());
            let ours = depthwise_conv2d(input.clone(), filter.clone(), convolution, activation);
            let truth = depthwise::composed(input.clone(), filter, convolution, activation);
            assert_near("output", ours, truth);
        }
        let unbiased = Filter { weight, bias: None };
        let none = Activation::None;
        let ours = depthwise_conv2d(input.clone(), unbiased.clone(), convolution, none);
        let truth = depthwise::composed(input, unbiased, convolution, none);
        assert_near("output without bias", ours, truth);
    }
}

#[test]
fn convolutions_whose_kernels_are_no_squares() {
    let lying = Padding {
        left: 3,
        right: 3,
        ..Padding::default()
    };
    let standing = Padding {
        top: 1,
        bottom: 1,
        ..Padding::default()
    };
    for (kernel, padding) in [([1, 7], lying), ([3, 1], standing)] {
        let [height, width] = kernel;
        let convolution = Convolution { stride: 1, padding };
        compare(
            (
                random([2, 6, 5, 4], 1),
                random([3, 4, height, width], 2),
                random([3], 3),
            ),
            |x, w, b| conv2d(x, filter(w, b), None, convolution, Activation::Relu),
            |x, w, b| conv2d::composed(x, filter(w, b), None, convolution, Activation::Relu),
        );
    }
}

#[test]
fn linear_layers() {
    compare(
        (random([2, 5, 7], 1), random([9, 7], 2), random([9], 3)),
        |x, w, b| linear(x, w, Some(b), Precision::F32),
        |x, w, b| linear::composed(x, w, Some(b)),
    );
}

#[test]
fn max_pools() {
    for (size, stride) in [(2, 2), (3, 2)] {
        let scale = |x: Tensor<4>, a: Tensor<1>, b: Tensor<1>| {
            x * a.reshape([1, 1, 1, 1]) + b.reshape([1, 1, 1, 1])
        };
        compare(
            (random([2, 7, 6, 5], 1), random([1], 2), random([1], 3)),
            |x, a, b| scale(max_pool(x, size, stride), a, b),
            |x, a, b| scale(features::composed_max_pool(x, size, stride), a, b),
        );
    }
}

#[test]
fn feature_distances() {
    let weights = random([6], 3);
    compare(
        (
            random([2, 4, 3, 6], 1),
            random([2, 4, 3, 6], 2),
            random([1], 4),
        ),
        |l, r, a| feature_distance(l, r, weights.clone()) * a,
        |l, r, a| features::composed_feature_distance(l, r, weights.clone()) * a,
    );
}

/// Root of the mean square of the difference, relative to that of the truth.
fn relative_difference<const D: usize>(ours: Tensor<D>, truth: Tensor<D>) -> f32 {
    let (ours, truth) = (host_values(Precision::F32.of(ours)), host_values(truth));
    let differences = ours
        .iter()
        .zip(&truth)
        .map(|(ours, truth)| (ours - truth).powi(2));
    let squares = truth.iter().map(|truth| truth.powi(2));
    (differences.sum::<f32>() / squares.sum::<f32>()).sqrt()
}

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

#[test]
fn group_normalisations() {
    for (shape, groups) in [([2, 5, 3, 64], 32), ([1, 6, 4, 6], 6), ([3, 1, 1, 32], 4)] {
        for activation in [Activation::None, Activation::Silu, Activation::LeakyRelu] {
            let normalization = GroupNormalization {
                groups,
                epsilon: 1e-5,
                activation,
            };
            compare(
                (
                    random(shape, 1),
                    random([shape[3]], 2),
                    random([shape[3]], 3),
                ),
                |x, gamma, beta| group_norm(x, gamma, beta, normalization),
                |x, gamma, beta| group_norm::composed(x, gamma, beta, normalization),
            );
        }
    }
}

#[test]
fn layer_normalisation() {
    compare(
        (random([2, 5, 48], 1), random([48], 2), random([48], 3)),
        layer_norm,
        layer_norm::composed,
    );
}

#[test]
fn exact_gelu() {
    compare(
        (random([3, 7], 1), random([1], 2), random([1], 3)),
        |x, a, b| gelu(x) * a.reshape([1, 1]) + b.reshape([1, 1]),
        |x, a, b| activation::composed_gelu(x) * a.reshape([1, 1]) + b.reshape([1, 1]),
    );
}

#[test]
fn elu_and_gate() {
    let values = [-200.0f32, -1.0, 0.0, 2.0, 200.0];
    let input = Tensor::<1>::from_data(values, &device()).require_grad();
    let output = elu(input.clone());
    let gradient = input.grad(&output.clone().sum().backward()).unwrap();
    let below = (-1.0f32).exp();
    let near = |ours: Tensor<1>, truth: [f32; 5]| {
        for (ours, truth) in host_values(ours).into_iter().zip(truth) {
            assert!((ours - truth).abs() < 1e-6, "{ours} instead of {truth}");
        }
    };
    near(output, [-1.0, below - 1.0, 0.0, 2.0, 200.0]);
    near(gradient, [0.0, below, 1.0, 1.0, 1.0]);
    let channels = Tensor::<1>::from_data([3.0f32, -4.0, 0.0, 1.0], &device());
    let half = 1.0 / (1.0 + (-1.0f32).exp());
    let gate = host_values(gated(channels.reshape([1, 1, 1, 4])));
    assert_eq!(gate[0], 1.5);
    assert!((gate[1] + 4.0 * half).abs() < 1e-6, "{gate:?}");
}

#[test]
fn attentions() {
    let causal = |unmasked_prefix| Attention {
        causal: true,
        unmasked_prefix,
    };
    let cases = [
        ([2, 7, 3, 8], 7, causal(0)),
        ([1, 70, 1, 32], 70, Attention::default()),
        ([2, 9, 2, 4], 9, causal(4)),
        ([1, 3, 2, 4], 8, causal(0)),
        ([1, 1, 2, 4], 8, causal(0)),
    ];
    for (query, keys, mask) in cases {
        let key = [query[0], keys, query[2], query[3]];
        compare(
            (random(query, 1), random(key, 2), random(key, 3)),
            |q, k, v| attention(q, k, v, mask),
            |q, k, v| attention::composed(q, k, v, mask, |weights| weights),
        );
    }
}

#[test]
fn cross_entropies() {
    let targets = Tensor::<1, Int>::from_data([3, 0, 10, 3], &device());
    let logits = random([4, 11], 1).require_grad();
    let weights = random([4], 2);
    let run = |loss: Tensor<1>| {
        let gradients = (loss.clone() * weights.clone()).sum().backward();
        (loss, logits.grad(&gradients).unwrap())
    };
    let ours = run(cross_entropy(logits.clone(), targets.clone()));
    let truth = run(cross_entropy::composed(logits.clone(), targets));
    assert_near("loss", ours.0, truth.0);
    assert_near("gradient", ours.1, truth.1);
}

#[test]
fn nearest_codes() {
    let (vectors, codebook) = (random([300, 8], 1), random([70, 8], 2));
    let values = |codes: Tensor<1, Int>| codes.into_data_as::<i64>().try_into_vec::<i64>().unwrap();
    let ours = values(nearest_code(vectors.clone(), codebook.clone()));
    let truth = nearest_code::composed(vectors.without_autodiff(), codebook.without_autodiff());
    assert_eq!(ours, values(truth));
}

#[test]
fn of_equal_codes_the_first_is_taken() {
    let codebook = Tensor::<2>::from_floats([[1.0, 0.0], [0.5, 0.5], [0.5, 0.5]], &device());
    let vectors = Tensor::<2>::from_floats([[0.5, 0.5]], &device());
    let codes = nearest_code(vectors, codebook).into_data_as::<i64>();
    assert_eq!(codes.try_into_vec::<i64>().unwrap(), [1]);
}

#[test]
fn adam_steps() {
    let plain = |seed| random([500], seed).without_autodiff();
    let mut ours = (plain(1), plain(2) * 0.0, plain(3) * 0.0);
    let mut truth = ours.clone();
    for step in 1..4 {
        let scalars = AdamStep {
            learning_rate: 0.01,
            beta1: 0.5,
            beta2: 0.9,
            epsilon: 1e-8,
            weight_decay: 0.1,
            step,
        };
        let gradient = plain(10 + step);
        ours = adam_step(ours.0, gradient.clone(), (ours.1, ours.2), scalars);
        truth = optimize::composed(truth.0, gradient, (truth.1, truth.2), scalars);
    }
    assert_near("parameter", ours.0, truth.0);
    assert_near("first moment", ours.1, truth.1);
    assert_near("second moment", ours.2, truth.2);
}

#[test]
fn upsampling_repeats_pixels() {
    let input = Tensor::<4>::from_floats([[[[1.0], [2.0]], [[3.0], [4.0]]]], &device());
    let output = host_values(upsample_nearest(input));
    let expected = [1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4].map(|value| value as f32);
    assert_eq!(output, expected);
}
