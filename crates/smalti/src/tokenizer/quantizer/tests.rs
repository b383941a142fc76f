//! Every quantiser: gradients against difference quotients, straight-through, both weightings, and files.

mod codes;
mod entropy;
mod estimators;
mod two_level;

use super::*;
use crate::checkpoint::{host_codes, host_values, load_parameters, parameters};
use burn::tensor::Device;

fn device() -> Device {
    Device::flex().autodiff()
}

/// Three dimensions and few codes.
fn config(quantizer: QuantizerKind, legacy_beta: bool) -> TokenizerConfig {
    let config = TokenizerConfig {
        quantizer,
        legacy_beta,
        embed_dim: 3,
        codebook_size: 5,
        ..TokenizerConfig::default()
    };
    match quantizer {
        QuantizerKind::Fsq => TokenizerConfig {
            fsq_levels: vec![4, 3, 5],
            codebook_size: 60,
            ..config
        },
        QuantizerKind::Lfq => TokenizerConfig {
            codebook_size: 8,
            ..config
        },
        QuantizerKind::Residual => TokenizerConfig {
            codes_per_position: 3,
            ..config
        },
        _ => config,
    }
}

/// Those whose codebook follows a gradient.
fn learned() -> [QuantizerKind; 2] {
    [QuantizerKind::Nearest, QuantizerKind::L2]
}

fn quantizer(config: &TokenizerConfig) -> Quantizer {
    let mut init = Initializer::seeded(&device(), 3);
    let mut quantizer = Quantizer::new(&mut init, config);
    // The authors' initial codes are tiny; spread them so that the vectors below have different nearest codes.
    if let Quantizer::Nearest(nearest) = &mut quantizer {
        nearest.embedding.weight = init.normal([config.codebook_size, config.embed_dim], 1.0);
    }
    quantizer
}

fn vectors(seed: u64) -> Tensor<4> {
    // Not from the device's own generator, which tests that run at the same time share.
    let values = Initializer::seeded(&device(), seed).normal([1, 2, 2, 3], 1.0);
    values.val().detach()
}

/// The vectors of those values, for functions of them.
fn grid(values: &[f32]) -> Tensor<4> {
    Tensor::<1>::from_floats(values, &device()).reshape([1, 2, 2, 3])
}

fn codebook(quantizer: &Quantizer) -> Tensor<2> {
    match &mut quantizer.clone().codebooks()[0].rows {
        Rows::Learned(weight) => weight.val(),
        Rows::Averaged(embedding) => embedding.weight.val(),
    }
}

fn with_codebook(mut quantizer: Quantizer, values: Tensor<2>) -> Quantizer {
    let weight = burn::module::Param::from_tensor(values);
    match &mut quantizer.codebooks()[0].rows {
        Rows::Learned(old) => **old = weight,
        Rows::Averaged(old) => old.weight = weight,
    }
    quantizer
}

fn loss(quantizer: &Quantizer, vectors: Tensor<4>) -> f32 {
    let quantized = quantizer.forward_training(vectors, &QuantizerStep::default());
    quantized.loss.into_scalar()
}

/// Difference quotients of `f` around `point`. The loss is quadratic in pieces, so a wide step is exact enough.
fn quotients(point: &[f32], f: impl Fn(Vec<f32>) -> f32) -> Vec<f32> {
    let step = 1e-3;
    (0..point.len())
        .map(|index| {
            let moved = |by: f32| {
                let mut moved = point.to_vec();
                moved[index] += by;
                moved
            };
            (f(moved(step)) - f(moved(-step))) / (2.0 * step)
        })
        .collect()
}

#[track_caller]
fn assert_near(what: &str, ours: &[f32], truth: &[f32]) {
    for (ours, truth) in ours.iter().zip(truth) {
        assert!(
            (ours - truth).abs() < 2e-3,
            "{what}: {ours} instead of {truth}"
        );
    }
}

/// The loss's two terms stop the gradient on one side each, so its full derivative by the vectors is that of the
/// commitment term alone if the other's weight is 0, and so for the codes.
#[test]
fn gradients_of_the_loss_are_its_difference_quotients() {
    for kind in learned() {
        for (legacy, beta, by_vectors) in
            [(false, 0.0, false), (true, 0.0, true), (false, 0.25, false)]
        {
            let config = TokenizerConfig {
                beta,
                ..config(kind, legacy)
            };
            let quantizer = quantizer(&config);
            let input = vectors(5).require_grad();
            let gradients = quantizer
                .forward_training(input.clone(), &QuantizerStep::default())
                .loss
                .backward();
            let to_vectors = host_values(input.grad(&gradients).unwrap());
            // A weight of 0 leaves the codes out of the graph.
            let to_codes = codebook(&quantizer).grad(&gradients);
            let to_codes = to_codes.map_or(vec![0.0; 15], host_values);
            let from = |values: Vec<f32>| {
                Tensor::<1>::from_floats(values.as_slice(), &device()).reshape([1, 2, 2, 3])
            };
            let vector_slopes = quotients(&host_values(vectors(5)), |moved| {
                loss(&quantizer, from(moved))
            });
            let code_slopes = quotients(&host_values(codebook(&quantizer)), |moved| {
                let codes = Tensor::<1>::from_floats(moved.as_slice(), &device()).reshape([5, 3]);
                loss(&with_codebook(quantizer.clone(), codes), vectors(5))
            });
            // With both weights the value is their sum times one squared distance, of which each side gets its share.
            let total = 1.0 + beta;
            let share = |weight: f32, slopes: &[f32]| -> Vec<f32> {
                slopes.iter().map(|slope| slope * weight / total).collect()
            };
            let (commitment, codes) = if legacy { (1.0, beta) } else { (beta, 1.0) };
            assert_near("vectors", &to_vectors, &share(commitment, &vector_slopes));
            assert_near("codes", &to_codes, &share(codes, &code_slopes));
            let silent = if by_vectors { &to_codes } else { &to_vectors };
            assert!(beta > 0.0 || silent.iter().all(|&slope| slope == 0.0));
        }
    }
}

#[test]
fn the_latent_is_the_code_forward_and_the_vector_backward() {
    for kind in [
        QuantizerKind::Nearest,
        QuantizerKind::Ema,
        QuantizerKind::Lfq,
        QuantizerKind::Simvq,
        QuantizerKind::Residual,
    ] {
        let quantizer = quantizer(&config(kind, false));
        let input = vectors(6).require_grad();
        let quantized = quantizer.forward_training(input.clone(), &QuantizerStep::default());
        let looked_up = host_values(quantizer.lookup(quantized.codes));
        assert_near("latent", &host_values(quantized.latent.clone()), &looked_up);
        let gradients = quantized.latent.sum().backward();
        let gradient = host_values(input.grad(&gradients).unwrap());
        assert!(gradient.iter().all(|&value| value == 1.0), "{kind:?}");
    }
}

#[test]
fn any_vectors_have_codes_and_finite_gradients() {
    for kind in QuantizerKind::ALL {
        let config = config(kind, false);
        let mut quantizer = quantizer(&config);
        for (scale, bypass) in [(0.0, false), (1.0, false), (1e6, false), (1.0, true)] {
            let input = (vectors(5) * scale).detach().require_grad();
            let step = QuantizerStep {
                entropy_weight: 0.1,
                bypass,
                ..QuantizerStep::default()
            };
            let quantized = quantizer.forward_training(input.clone(), &step);
            let codes = host_codes(quantized.codes);
            assert_eq!(codes.len(), 4 * config.codes_per_position);
            let valid = 0..config.codebook_size as i64;
            assert!(codes.iter().all(|code| valid.contains(code)), "{kind:?}");
            assert_eq!(quantized.searches.len(), quantizer.codebooks().len());
            // What a recipe is allowed to ask for is what there is.
            assert_eq!(kind.has_rows(), !quantizer.codebooks().is_empty());
            let total = quantized.latent.clone().sum() + quantized.loss;
            let gradient = host_values(input.grad(&total.backward()).unwrap());
            let mut values = host_values(quantized.latent).into_iter().chain(gradient);
            assert!(values.all(f32::is_finite), "{kind:?} at {scale}");
        }
    }
}

#[test]
fn inference_is_what_its_codes_look_up() {
    for kind in QuantizerKind::ALL {
        let quantizer = quantizer(&config(kind, false));
        let [first, second] = [(); 2].map(|()| quantizer.forward(vectors(11)));
        let latent = host_values(first.latent);
        assert_eq!(latent, host_values(second.latent));
        assert!(first.searches.is_empty());
        let looked_up = host_values(quantizer.lookup(first.codes));
        assert_near(&format!("{kind:?}"), &latent, &looked_up);
    }
}

#[test]
fn equal_seeds_train_equally() {
    for kind in QuantizerKind::ALL {
        let quantizer = quantizer(&config(kind, false));
        let codes = |seed| {
            let step = QuantizerStep {
                seed,
                ..QuantizerStep::default()
            };
            host_codes(quantizer.forward_training(vectors(12), &step).codes)
        };
        assert_eq!(codes(3), codes(3));
        let varied = (0..20).any(|seed| codes(seed) != codes(20));
        assert_eq!(varied, kind == QuantizerKind::Gumbel, "{kind:?}");
    }
}

#[test]
fn a_configuration_knows_the_parameters_of_its_quantiser() {
    for kind in QuantizerKind::ALL {
        let config = config(kind, false);
        let without = TokenizerConfig {
            quantizer: QuantizerKind::Fsq,
            ..config.clone()
        };
        let counted = config.least_parameters() - without.least_parameters();
        assert_eq!(counted, quantizer(&config).num_params(), "{kind:?}");
    }
}

#[test]
fn unit_length_latents_have_unit_length() {
    let quantizer = quantizer(&config(QuantizerKind::L2, false));
    let latent = quantizer.forward(vectors(7)).latent;
    for length in host_values(latent.square().sum_dim(3)) {
        assert!((length - 1.0).abs() < 1e-5);
    }
}

#[test]
fn a_zero_vector_has_a_finite_gradient() {
    let quantizer = quantizer(&config(QuantizerKind::L2, false));
    let input = (vectors(8) * 0.0).detach().require_grad();
    let quantized = quantizer.forward_training(input.clone(), &QuantizerStep::default());
    let gradients = (quantized.latent.sum() + quantized.loss).backward();
    assert!(
        host_values(input.grad(&gradients).unwrap())
            .iter()
            .all(|value| value.is_finite())
    );
}

#[test]
fn parameters_survive_a_file() {
    for kind in QuantizerKind::ALL {
        let config = config(kind, false);
        let original = quantizer(&config);
        let saved = parameters(&original, "quantize.", str::to_string);
        let rows = match kind {
            QuantizerKind::Gumbel => "quantize.embed.weight",
            QuantizerKind::Residual => "quantize.layers.2.embedding.weight",
            QuantizerKind::Fsq | QuantizerKind::Lfq => {
                assert!(saved.is_empty());
                continue;
            }
            _ => "quantize.embedding.weight",
        };
        assert!(saved.contains_key(rows), "{:?}", saved.keys());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("codes.safetensors");
        crate::checkpoint::write_tensors(&path, &saved, &Default::default()).unwrap();
        let (read, _) = crate::checkpoint::read_tensors(&path).unwrap();
        let fresh = Quantizer::new(&mut Initializer::zeros(&device()), &config);
        let loaded = load_parameters(fresh, &read, "quantize.", str::to_string).unwrap();
        let codes = |quantizer: &Quantizer| {
            let codes = quantizer.forward(vectors(9)).codes.into_data_as::<i64>();
            codes.try_into_vec::<i64>().unwrap()
        };
        assert_eq!(codes(&loaded), codes(&original));
    }
}

#[test]
fn codes_without_a_gradient_ask_for_the_commitment_alone() {
    for kind in [
        QuantizerKind::Ema,
        QuantizerKind::EmaL2,
        QuantizerKind::Lfq,
        QuantizerKind::Residual,
    ] {
        let config = TokenizerConfig {
            beta: 0.5,
            ..config(kind, false)
        };
        let quantizer = quantizer(&config);
        let input = vectors(5).require_grad();
        let step = QuantizerStep::default();
        let quantized = quantizer.forward_training(input.clone(), &step);
        let gradient = host_values(input.grad(&quantized.loss.backward()).unwrap());
        let values = host_values(vectors(5));
        let slopes = quotients(&values, |moved| {
            let moved = Tensor::<1>::from_floats(moved.as_slice(), &device());
            loss(&quantizer, moved.reshape([1, 2, 2, 3]))
        });
        assert_near("vectors", &gradient, &slopes);
    }
}

/// The rotation is linear in the vector, so it can be read off at the unit vectors: it must turn the vector into the code
/// and keep lengths up to |q| / |z|.
#[test]
fn the_rotation_turns_the_vector_into_the_code() {
    let values =
        |numbers: [f32; 3]| Tensor::<1>::from_floats(numbers, &device()).reshape([1, 1, 1, 3]);
    let (vector, code) = ([0.3f32, -1.2, 0.7], [1.1f32, 0.4, -0.2]);
    let mut rows = Vec::new();
    for output in 0..3 {
        let input = values(vector).require_grad();
        let passed = CodeGradient::Rotation.pass(input.clone(), values(code));
        assert_near("value", &host_values(passed.clone()), &code);
        let gradients = passed
            .slice([0..1, 0..1, 0..1, output..output + 1])
            .sum()
            .backward();
        rows.push(host_values(input.grad(&gradients).unwrap()));
    }
    let length = |values: &[f32]| values.iter().map(|value| value * value).sum::<f32>().sqrt();
    let scale = length(&code) / length(&vector);
    for (row, code) in rows.iter().zip(code) {
        let turned: f32 = row.iter().zip(vector).map(|(a, b)| a * b).sum();
        assert!((turned - code).abs() < 1e-4, "{turned} instead of {code}");
        assert!((length(row) - scale).abs() < 1e-4);
    }
    let across: f32 = rows[0].iter().zip(&rows[1]).map(|(a, b)| a * b).sum();
    assert!(
        across.abs() < 1e-4,
        "rows of a rotation are orthogonal, not {across}"
    );
}
