//! Convolutions of all kinds.

use super::*;

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
