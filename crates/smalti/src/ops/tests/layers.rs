//! What networks are made of beside convolutions.

use super::*;
use burn::tensor::Int;

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
fn upsampling_repeats_pixels() {
    let input = Tensor::<4>::from_floats([[[[1.0], [2.0]], [[3.0], [4.0]]]], &device());
    let output = host_values(upsample_nearest(input));
    let expected = [1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4].map(|value| value as f32);
    assert_eq!(output, expected);
}
