//! Two levels of codes: their order, their gradients and their file.

use super::*;
use burn::tensor::{Shape, TensorData};

const WIDTH: usize = 32;

fn config() -> TokenizerConfig {
    TokenizerConfig {
        family: Family::Vqvae2,
        channel_multipliers: vec![1, 1],
        z_channels: WIDTH,
        codes_per_position: 5,
        ..super::config(QuantizerKind::Ema, false)
    }
}

fn two_level() -> TwoLevelQuantizer {
    TwoLevelQuantizer::new(&mut Initializer::seeded(&device(), 3), &config())
}

fn tensor(values: &[f32], shape: [usize; 4]) -> Tensor<4> {
    Tensor::<1>::from_floats(values, &device()).reshape(shape)
}

/// What an encoder would give for 2 × 2 positions of the top map.
fn seen(seed: u64) -> Tensor<4> {
    let shape = [1, 2, 2, 3 + 4 * WIDTH];
    let values = Initializer::seeded(&device(), seed).normal(shape, 1.0);
    values.val().detach()
}

fn codes(values: &[i64], shape: [usize; 3]) -> Tensor<3, Int> {
    let data = TensorData::new(values.to_vec(), Shape::from(shape));
    Tensor::from_data(data, &device())
}

#[test]
fn a_position_has_its_own_code_and_the_four_below_it() {
    let quantizer = two_level();
    let top = codes(&[4, 2], [1, 1, 2]);
    let bottom = codes(&[0, 1, 2, 3, 4, 3, 1, 0], [1, 2, 4]);
    let joined = quantizer.join(top.clone(), bottom.clone());
    assert_eq!(joined.dims(), [1, 1, 10]);
    let expected = [4, 5, 6, 9, 8, 2, 7, 8, 6, 5];
    assert_eq!(host_codes(joined.clone()), expected);
    let [top_again, bottom_again] = quantizer.split(joined);
    assert_eq!(top_again.dims(), top.dims());
    assert_eq!(bottom_again.dims(), bottom.dims());
    assert_eq!(host_codes(top_again), host_codes(top));
    assert_eq!(host_codes(bottom_again), host_codes(bottom));
}

#[test]
fn codes_look_up_what_they_were_made_of() {
    let quantizer = two_level();
    let quantized = quantizer.forward(seen(5), None);
    assert_eq!(quantized.codes.dims(), [1, 2, 10]);
    assert_eq!(quantized.latent.dims(), [1, 2, 2, 15]);
    let looked_up = quantizer.lookup(quantized.codes.clone());
    assert_eq!(host_values(looked_up), host_values(quantized.latent));
    // Numbers of the other level.
    let other = quantized
        .codes
        .clone()
        .add_scalar(5i64)
        .remainder_scalar(10i64);
    let of_other = host_values(quantizer.lookup(other));
    assert_eq!(of_other, host_values(quantizer.lookup(quantized.codes)));
}

#[test]
fn the_bottom_level_knows_the_codes_of_the_top_one() {
    let quantizer = two_level();
    let vectors = seen(6);
    let below = |code: i64| {
        let top = quantizer.top.lookup(codes(&[code; 4], [1, 2, 2]));
        let rest = vectors.clone().narrow(3, 3, 4 * WIDTH);
        let vectors = Tensor::cat(vec![top, rest], 3);
        let step = QuantizerStep::default();
        let quantized = quantizer.forward(vectors, Some(&step));
        let [top, _] = quantizer.split(quantized.codes);
        assert_eq!(host_codes(top), [code; 4]);
        // The vectors that were compared with the bottom level's codes.
        host_values(quantized.searches[1].vectors.clone())
    };
    assert_eq!(below(2), below(2));
    assert_ne!(below(0), below(1));
}

/// The loss as the straight-through estimator has it: codes are constants, and the top level's latent moves as its
/// vector does.
#[test]
fn the_gradient_of_the_loss_is_that_of_its_estimator() {
    let config = TokenizerConfig {
        beta: 2.5,
        ..config()
    };
    let mut init = Initializer::seeded(&device(), 3);
    let quantizer = TwoLevelQuantizer::new(&mut init, &config);
    let values = host_values(seen(7));
    let shape = [1, 2, 2, 3 + 4 * WIDTH];
    let step = QuantizerStep::default();
    let input = tensor(&values, shape).require_grad();
    let quantized = quantizer.forward(input.clone(), Some(&step));
    let [top, bottom] = quantizer.split(quantized.codes);
    let top = quantizer.top.lookup(top).detach();
    let bottom = quantizer.bottom.lookup(bottom).detach();
    let gradient = host_values(input.grad(&quantized.loss.backward()).unwrap());

    let start = tensor(&values, shape).narrow(3, 0, 3);
    let loss = |values: &[f32]| -> f32 {
        let vectors = tensor(values, shape);
        let own = vectors.clone().narrow(3, 0, 3);
        let below = crate::tokenizer::fold::unfold(vectors.narrow(3, 3, 4 * WIDTH));
        let latent = top.clone() + own.clone() - start.clone();
        let made = quantizer.between.forward(latent, below);
        let commitment = (top.clone() - own).square().mean();
        let of_bottom = (bottom.clone() - made).square().mean();
        ((commitment + of_bottom) * 2.5).into_scalar()
    };
    // Of vectors of the top level, and of what was seen at the bottom one.
    let mut largest = [0.0f32; 2];
    for index in (0..values.len()).step_by(7) {
        let moved = |by: f32| {
            let mut moved = values.clone();
            moved[index] += by;
            loss(&moved)
        };
        let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
        let ours = gradient[index];
        assert!(
            (ours - slope).abs() < 1e-3 + 0.02 * slope.abs(),
            "[{index}]: {ours} instead of {slope}"
        );
        let largest = &mut largest[usize::from(index % shape[3] >= 3)];
        *largest = largest.max(slope.abs());
    }
    assert!(largest[0] > 0.1 && largest[1] > 5e-3, "{largest:?}");
}

#[test]
fn both_codebooks_are_kept() {
    let mut quantizer = Quantizer::TwoLevel(two_level());
    for bypass in [false, true] {
        let step = QuantizerStep {
            bypass,
            ..QuantizerStep::default()
        };
        let quantized = quantizer.forward_training(seen(8), &step);
        let counts: Vec<usize> = quantized
            .searches
            .iter()
            .map(|search| search.codes.dims()[0])
            .collect();
        assert_eq!(counts, [4, 16]);
        assert!(
            host_values(quantized.latent)
                .into_iter()
                .all(f32::is_finite)
        );
    }
    let paths: Vec<String> = quantizer
        .codebooks()
        .into_iter()
        .map(|codebook| codebook.path)
        .collect();
    assert_eq!(paths, ["top.embedding.weight", "bottom.embedding.weight"]);
}

#[test]
fn both_levels_survive_a_file() {
    let original = Quantizer::TwoLevel(two_level());
    let saved = parameters(&original, "quantize.", str::to_string);
    for key in [
        "quantize.top.embedding.cluster_size",
        "quantize.bottom.embedding.weight",
        "quantize.between.block.0.conv1.weight",
    ] {
        assert!(saved.contains_key(key), "{:?}", saved.keys());
    }
    let fresh = Quantizer::new(&mut Initializer::zeros(&device()), &config());
    let loaded = load_parameters(fresh, &saved, "quantize.", str::to_string).unwrap();
    let codes = |quantizer: &Quantizer| host_codes(quantizer.forward(seen(9)).codes);
    assert_eq!(codes(&loaded), codes(&original));
}
