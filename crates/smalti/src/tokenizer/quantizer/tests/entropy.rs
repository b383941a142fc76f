//! The entropy loss: the gradient made by hand against autodiff and difference quotients, and who asks for it.

use super::*;
use crate::tokenizer::quantizer::entropy::Entropy;
use burn::tensor::activation::log_softmax;

const AFFINITIES: [Affinity; 2] = [Affinity::Distance, Affinity::Product];

fn matrix(seed: u64, shape: [usize; 2]) -> Tensor<2> {
    let values = Initializer::seeded(&device(), seed).normal(shape, 1.0);
    values.val().detach().require_grad()
}

/// The loss as it is written down.
fn composed(
    vectors: Tensor<2>,
    codebook: Tensor<2>,
    affinity: Affinity,
    temperature: f32,
) -> Tensor<1> {
    let products = vectors.clone().matmul(codebook.clone().transpose());
    let affinities = match affinity {
        Affinity::Product => products,
        Affinity::Distance => {
            let lengths = codebook.square().sum_dim(1).transpose();
            products * 2.0 - lengths - vectors.square().sum_dim(1)
        }
    };
    let logarithms = log_softmax(affinities / temperature, 1);
    let probabilities = logarithms.clone().exp();
    let mean = probabilities.clone().mean_dim(0);
    let of_vectors = (probabilities * logarithms).sum_dim(1).mean().neg();
    let of_batch = (mean.clone() * mean.clamp_min(1e-30).log()).sum().neg();
    of_vectors - of_batch
}

#[test]
fn the_gradient_is_that_of_autodiff() {
    for affinity in AFFINITIES {
        let (vectors, codebook) = (matrix(1, [7, 3]), matrix(2, [5, 3]));
        let run = |loss: Tensor<1>| {
            let gradients = loss.backward();
            let to_vectors = host_values(vectors.grad(&gradients).unwrap());
            let to_codebook = host_values(codebook.grad(&gradients).unwrap());
            (loss.into_scalar::<f32>(), to_vectors, to_codebook)
        };
        let ours = run(entropy_loss(
            vectors.clone(),
            codebook.clone(),
            affinity,
            0.7,
        ));
        let truth = run(composed(vectors.clone(), codebook.clone(), affinity, 0.7));
        assert!((ours.0 - truth.0).abs() < 1e-5);
        let near = |ours: &[f32], truth: &[f32]| {
            let differences = ours.iter().zip(truth).map(|(ours, truth)| ours - truth);
            let worst = differences.map(f32::abs).fold(0.0, f32::max);
            assert!(worst < 1e-5, "{affinity:?}: off by {worst}");
        };
        near(&ours.1, &truth.1);
        near(&ours.2, &truth.2);
    }
}

#[test]
fn the_gradient_is_its_difference_quotients() {
    for affinity in AFFINITIES {
        let (vectors, codebook) = (matrix(3, [6, 2]), matrix(4, [4, 2]));
        let loss = |vectors: Tensor<2>, codebook: Tensor<2>| {
            entropy_loss(vectors, codebook, affinity, 0.9)
        };
        let gradients = loss(vectors.clone(), codebook.clone()).backward();
        let to_vectors = host_values(vectors.grad(&gradients).unwrap());
        let to_codebook = host_values(codebook.grad(&gradients).unwrap());
        let pairs = |values: Vec<f32>| {
            let rows = values.len() / 2;
            Tensor::<1>::from_floats(values.as_slice(), &device()).reshape([rows, 2])
        };
        let by_vectors = quotients(&host_values(vectors.clone()), |moved| {
            loss(pairs(moved), codebook.clone()).into_scalar()
        });
        let by_codebook = quotients(&host_values(codebook.clone()), |moved| {
            loss(vectors.clone(), pairs(moved)).into_scalar()
        });
        assert_near("vectors", &to_vectors, &by_vectors);
        assert_near("codebook", &to_codebook, &by_codebook);
    }
}

#[test]
fn blocks_change_nothing() {
    for affinity in AFFINITIES {
        let entropy = Entropy::new(matrix(6, [5, 3]), affinity, 0.5);
        let run = |rows| {
            let found = entropy.differentiate(matrix(5, [7, 3]).without_autodiff(), rows);
            [
                host_values(found.value),
                host_values(found.by_vectors),
                host_values(found.by_codebook),
            ]
            .concat()
        };
        let whole = run(7);
        for rows in [1, 2, 6] {
            for (ours, truth) in run(rows).iter().zip(&whole) {
                assert!((ours - truth).abs() < 1e-5);
            }
        }
    }
}

#[test]
fn sure_vectors_that_use_all_codes_have_the_least_loss() {
    let codes = matrix(7, [5, 3]) * 10.0;
    let loss = |vectors: Tensor<2>| -> f32 {
        entropy_loss(vectors, codes.clone(), Affinity::Distance, 0.01).into_scalar()
    };
    assert!((loss(codes.clone()) + 5f32.ln()).abs() < 1e-4);
    assert!(loss(codes.zeros_like()).abs() < 1e-5);
}

/// All vectors of `bits` signs, `[2^bits, bits]`.
fn signs(bits: usize) -> Tensor<2> {
    let config = TokenizerConfig {
        embed_dim: bits,
        codebook_size: 1 << bits,
        ..config(QuantizerKind::Lfq, false)
    };
    let codes = Tensor::<1, Int>::arange(0..1 << bits, &device()).reshape([1, 1, 1 << bits]);
    let latent = LfqQuantizer::new(&config).lookup(codes);
    latent.reshape([1 << bits, bits])
}

/// What a weight of 0.5 adds to the loss.
fn added(quantizer: &Quantizer, vectors: Tensor<4>) -> f32 {
    let loss = |entropy_weight| -> f32 {
        let step = QuantizerStep {
            entropy_weight,
            ..QuantizerStep::default()
        };
        let quantized = quantizer.forward_training(vectors.clone(), &step);
        quantized.loss.into_scalar()
    };
    loss(0.5) - loss(0.0)
}

#[test]
fn quantisers_add_it_to_their_loss() {
    // Vectors and codes are made small, so that the temperature leaves some doubt.
    let check = |quantizer: &Quantizer, scale: f32, codes: Tensor<2>, affinity| {
        let vectors = vectors(15) * scale;
        let flat = vectors.clone().reshape([4, 3]);
        let truth: f32 = composed(flat, codes, affinity, TEMPERATURE).into_scalar();
        assert_near("entropy", &[added(quantizer, vectors)], &[0.5 * truth]);
    };
    for kind in [QuantizerKind::Nearest, QuantizerKind::Ema] {
        let original = quantizer(&config(kind, false));
        let codes = (codebook(&original) * 0.1).detach();
        let small = with_codebook(original, codes.clone());
        check(&small, 0.1, codes, Affinity::Distance);
    }
    let lfq = quantizer(&config(QuantizerKind::Lfq, false));
    check(&lfq, 0.01, signs(3), Affinity::Distance);
    let ibq = quantizer(&config(QuantizerKind::Ibq, false));
    let Quantizer::Ibq(inner) = &ibq else {
        panic!("the kind is ibq");
    };
    let codes = inner.embedding.weight.val();
    check(&ibq, 0.01, codes, Affinity::Product);
    for kind in [
        QuantizerKind::L2,
        QuantizerKind::EmaL2,
        QuantizerKind::Simvq,
        QuantizerKind::Residual,
    ] {
        let quantizer = quantizer(&config(kind, false));
        assert!(added(&quantizer, vectors(15)) != 0.0, "{kind:?}");
    }
}

/// Nine bits and the other six.
#[test]
fn long_codes_are_taken_in_groups() {
    let config = TokenizerConfig {
        embed_dim: 15,
        codebook_size: 1 << 15,
        ..config(QuantizerKind::Lfq, false)
    };
    let values = Initializer::seeded(&device(), 16).normal([4, 15], 0.003);
    let flat = values.val().detach();
    let [first, second] = [0..9usize, 9..15].map(|bits| {
        let signs = signs(bits.len());
        let vectors = flat.clone().slice([0..4, bits]);
        let loss = composed(vectors, signs, Affinity::Distance, TEMPERATURE);
        loss.into_scalar::<f32>()
    });
    let ours = added(&quantizer(&config), flat.reshape([1, 2, 2, 15]));
    assert_near("groups", &[ours], &[0.5 * (first + second)]);
}
