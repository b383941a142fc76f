//! Steps of a tiny tokenizer: in parts as at once, nothing moved by what is no number, frozen halves, and families
//! without an adversary.

use super::*;
use crate::checkpoint::HostTensor;
use crate::tokenizer::config::{Family, QuantizerKind, TokenizerConfig};
use burn::tensor::{Shape, TensorData};
use rand::{RngExt, SeedableRng};

const SIDE: usize = 32;

fn recipe() -> TokenizerRecipe {
    let mut recipe = TokenizerRecipe {
        network: TokenizerConfig {
            resolution: SIDE,
            channels: 32,
            channel_multipliers: vec![1, 1],
            z_channels: 32,
            embed_dim: 4,
            codebook_size: 16,
            quantizer: QuantizerKind::Nearest,
            ..TokenizerConfig::default()
        },
        ..TokenizerRecipe::plain()
    };
    recipe.training.size = SIDE;
    recipe.training.discriminator_channels = 8;
    recipe.training.discriminator_layers = 2;
    recipe
}

fn trainer(recipe: &TokenizerRecipe) -> TokenizerTrainer {
    TokenizerTrainer::new(recipe, None, &Device::flex().autodiff())
}

fn pixels(count: usize) -> Tensor<4> {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(3);
    let values: Vec<f32> = (0..count * SIDE * SIDE * 3)
        .map(|_| random.random_range(-1.0..1.0))
        .collect();
    let shape = Shape::from([count, SIDE, SIDE, 3]);
    Tensor::from_data(TensorData::new(values, shape), &Device::flex().autodiff())
}

/// The end of a run: everything takes part.
fn plan(recipe: &TokenizerRecipe) -> StepPlan {
    recipe.training.plan(500, 1.0)
}

fn all_parameters(trainer: &TokenizerTrainer) -> TensorMap {
    let mut all = parameters(&*trainer.tokenizer, "", str::to_string);
    all.extend(parameters(
        &*trainer.adversary.discriminator,
        "discriminator.",
        str::to_string,
    ));
    all
}

/// The largest difference of two sets of parameters.
fn difference(left: &TensorMap, right: &TensorMap) -> f32 {
    let values = |tensor: &HostTensor| tensor.as_f32().unwrap().to_vec();
    let pairs = left.iter().flat_map(|(key, left)| {
        let right = values(&right[key]);
        values(left).into_iter().zip(right)
    });
    pairs.fold(0.0, |worst: f32, (left, right)| {
        worst.max((left - right).abs())
    })
}

#[test]
fn a_batch_in_parts_is_the_batch_at_once() {
    let whole = recipe();
    let mut parts = recipe();
    parts.training.micro_batch = 2;
    let (mut whole, mut parts) = (trainer(&whole), trainer(&parts));
    let plan = plan(&recipe());
    let batch = pixels(5);
    let gradients = |trainer: &mut TokenizerTrainer| {
        let (outcome, gradients) = trainer.gradients(batch.clone(), &plan);
        let tokenizer = gradient_norm(&*trainer.tokenizer, &gradients.tokenizer);
        let discriminator = gradients.discriminator.unwrap();
        let discriminator = gradient_norm(&*trainer.adversary.discriminator, &discriminator);
        (outcome, tokenizer, discriminator)
    };
    let (at_once, norm, of_discriminator) = gradients(&mut whole);
    let (in_parts, norm_in_parts, of_discriminator_in_parts) = gradients(&mut parts);
    for (name, value) in at_once.metrics.iter() {
        let other = in_parts.metrics.get(name).unwrap();
        assert!(
            (value - other).abs() <= 1e-4 * value.abs(),
            "{name}: {other} instead of {value}"
        );
    }
    assert!((norm / norm_in_parts - 1.0).abs() < 1e-4);
    assert!((of_discriminator / of_discriminator_in_parts - 1.0).abs() < 1e-4);
    // Adam's first step divides by the gradient's own size, so it shows every difference of sign.
    whole.step(batch.clone(), &plan);
    parts.step(batch, &plan);
    let (whole, parts) = (all_parameters(&whole), all_parameters(&parts));
    let rate = plan.learning_rate as f32;
    // Biases before a normalisation have no gradient but rounding.
    let weights = whole.iter().filter(|(key, _)| key.ends_with(".weight"));
    let pairs = weights.flat_map(|(key, tensor)| {
        let values = |tensor: &HostTensor| tensor.as_f32().unwrap().to_vec();
        values(tensor).into_iter().zip(values(&parts[key]))
    });
    let (mut count, mut apart) = (0, 0);
    for (left, right) in pairs {
        count += 1;
        apart += usize::from((left - right).abs() > 0.1 * rate);
    }
    assert!(
        apart * 1000 < count,
        "{apart} of {count} weights moved elsewhere"
    );
}

#[test]
fn what_is_no_number_moves_nothing() {
    let recipe = recipe();
    let mut trainer = trainer(&recipe);
    let before = all_parameters(&trainer);
    let broken = pixels(2) * f32::NAN;
    let outcome = trainer.step(broken, &plan(&recipe));
    assert!(outcome.skipped.is_some());
    assert_eq!(difference(&before, &all_parameters(&trainer)), 0.0);
    let outcome = trainer.step(pixels(2), &plan(&recipe));
    assert_eq!(outcome.skipped, None);
    assert!(difference(&before, &all_parameters(&trainer)) > 0.0);
}

#[test]
fn a_frozen_encoder_keeps_all_codes() {
    let mut recipe = recipe();
    recipe.training.train = Trained::Decoder;
    let mut trainer = trainer(&recipe);
    let before = parameters(&*trainer.tokenizer, "", str::to_string);
    trainer.step(pixels(2), &plan(&recipe));
    let after = parameters(&*trainer.tokenizer, "", str::to_string);
    let moved = |key: &str| before[key] != after[key];
    let frozen = |key: &&String| {
        ["encoder.", "quant_conv.", "quantize."]
            .iter()
            .any(|part| key.starts_with(part))
    };
    assert!(!before.keys().filter(frozen).any(|key| moved(key)));
    assert!(moved("decoder.conv_out.weight") && moved("post_quant_conv.weight"));
}

#[test]
fn gradients_are_clipped_and_weights_averaged() {
    let mut recipe = recipe();
    recipe.training.gradient_clip = 1e-9;
    recipe.training.weight_average = 0.5;
    let mut clipped = trainer(&recipe);
    let start = parameters(&*clipped.tokenizer, "", str::to_string);
    clipped.step(pixels(2), &plan(&recipe));
    let newest = parameters(&*clipped.tokenizer, "", str::to_string);
    // So short a gradient drowns in Adam's epsilon.
    assert!(difference(&start, &newest) < 0.2 * plan(&recipe).learning_rate as f32);
    let average = parameters(&clipped.result(), "", str::to_string);
    let key = "decoder.conv_in.weight";
    let values = |tensors: &TensorMap| tensors[key].as_f32().unwrap().to_vec();
    let (start, newest, average) = (values(&start), values(&newest), values(&average));
    // Early on the average forgets faster: the decay of the first step is 2/11.
    for ((start, newest), average) in start.iter().zip(newest).zip(average) {
        let expected = start * 2.0 / 11.0 + newest * 9.0 / 11.0;
        assert!((average - expected).abs() < 1e-7);
    }
}

#[test]
fn a_state_continues_where_it_was() {
    let mut recipe = recipe();
    recipe.network.quantizer = QuantizerKind::EmaL2;
    recipe.training.weight_average = 0.9;
    recipe.training.restart_below = 0.2;
    let step = |trainer: &mut TokenizerTrainer, index: u64| {
        let mut plan = recipe.training.plan(index, 1.0);
        plan.quantizer.bypass = index < 2;
        trainer.step(pixels(3), &plan);
    };
    for interrupted_at in [1, 4] {
        let mut whole = trainer(&recipe);
        (0..6).for_each(|index| step(&mut whole, index));
        let mut first = trainer(&recipe);
        (0..interrupted_at).for_each(|index| step(&mut first, index));
        let (model, state) = (first.result(), first.state());
        let mut second = trainer(&recipe);
        let device = Device::flex().autodiff();
        let saved = parameters(&model, "", str::to_string);
        let fresh = Tokenizer::new(&mut Initializer::zeros(&device), &recipe.network);
        let model = load_parameters(fresh, &saved, "", str::to_string).unwrap();
        second.load(model, &state, &device).unwrap();
        (interrupted_at..6).for_each(|index| step(&mut second, index));
        assert_eq!(
            difference(&all_parameters(&whole), &all_parameters(&second)),
            0.0
        );
        let results =
            [&whole, &second].map(|trainer| parameters(&trainer.result(), "", str::to_string));
        assert_eq!(difference(&results[0], &results[1]), 0.0);
    }
}

/// Bright pictures of smooth stripes, each with its own.
fn stripes(count: usize) -> Tensor<4> {
    let value = |index: usize| {
        let [picture, x] = [index / (3 * SIDE * SIDE), index / 3 % SIDE];
        0.5 + 0.3 * (x as f32 * (0.2 + 0.1 * picture as f32)).sin()
    };
    let values: Vec<f32> = (0..count * SIDE * SIDE * 3).map(value).collect();
    let shape = Shape::from([count, SIDE, SIDE, 3]);
    Tensor::from_data(TensorData::new(values, shape), &Device::flex().autodiff())
}

/// Squared differences alone, and a learning rate for few steps.
fn without_adversary(network: TokenizerConfig) -> TokenizerRecipe {
    let mut recipe = TokenizerRecipe {
        network,
        ..recipe()
    };
    let training = &mut recipe.training;
    training.discriminator_weight = 0.0;
    (training.l1_weight, training.l2_weight) = (0.0, 1.0);
    (training.learning_rate, training.warmup_steps) = (2e-3, 0);
    recipe
}

fn two_levels() -> TokenizerConfig {
    TokenizerConfig {
        family: Family::Vqvae2,
        quantizer: QuantizerKind::Ema,
        codes_per_position: 5,
        channel_multipliers: vec![1, 1, 1],
        ..recipe().network
    }
}

#[test]
fn a_short_training_lowers_the_loss() {
    let averages = TokenizerConfig {
        quantizer: QuantizerKind::Ema,
        ..recipe().network
    };
    let gumbel = TokenizerConfig {
        quantizer: QuantizerKind::Gumbel,
        ..recipe().network
    };
    for network in [two_levels(), averages, gumbel] {
        let kind = (network.family, network.quantizer);
        let recipe = without_adversary(network);
        recipe.check().unwrap();
        let mut trainer = trainer(&recipe);
        let mut losses = Vec::new();
        for step in 0..30 {
            let plan = recipe.training.plan(step, step as f64 / 100.0);
            let outcome = trainer.step(stripes(2), &plan);
            assert_eq!(outcome.skipped, None);
            losses.push(outcome.metrics.get("nll_loss").unwrap());
        }
        let (first, last) = (losses[0], losses[29]);
        assert!(last < 0.5 * first, "{kind:?}: {first} to {last}");
    }
}

#[test]
fn what_stands_between_two_levels_is_averaged() {
    let mut recipe = without_adversary(two_levels());
    recipe.training.weight_average = 0.5;
    let mut trainer = trainer(&recipe);
    let start = parameters(&*trainer.tokenizer, "", str::to_string);
    trainer.step(stripes(2), &recipe.training.plan(0, 0.0));
    let newest = parameters(&*trainer.tokenizer, "", str::to_string);
    let average = parameters(&trainer.result(), "", str::to_string);
    let key = "quantize.between.conv_in.weight";
    assert_ne!(start[key], newest[key]);
    assert_ne!(average[key], newest[key]);
    let key = "quantize.bottom.embedding.weight";
    assert_ne!(start[key], newest[key]);
    assert_eq!(average[key], newest[key]);
}

/// A picture of four colours has four codes after k-means, and nothing is lost.
#[test]
fn colours_are_found_and_kept() {
    let colours = [
        [-1.0f32, -1.0, -1.0],
        [0.75, 0.5, -0.25],
        [0.75, 0.5, 0.25],
        [1.0, 1.0, 1.0],
    ];
    let values: Vec<f32> = (0..2 * SIDE * SIDE)
        .flat_map(|pixel| colours[pixel % 7 % 4])
        .collect();
    let shape = Shape::from([2, SIDE, SIDE, 3]);
    let device = Device::flex().autodiff();
    let pixels = Tensor::<4>::from_data(TensorData::new(values, shape), &device);
    let mut recipe = without_adversary(TokenizerConfig {
        family: Family::Colours,
        quantizer: QuantizerKind::Ema,
        channel_multipliers: vec![1],
        embed_dim: 3,
        codebook_size: colours.len(),
        ..TokenizerConfig::default()
    });
    recipe.training.micro_batch = 1;
    recipe.check().unwrap();
    let mut trainer = trainer(&recipe);
    for step in 0..6 {
        let mut plan = recipe.training.plan(step, 0.5);
        plan.quantizer.bypass = step < 2;
        let outcome = trainer.step(pixels.clone(), &plan);
        assert_eq!(outcome.skipped, None);
        assert_eq!(outcome.codes.dims(), [2, SIDE, SIDE]);
        assert!(outcome.metrics.get("pixel_loss").unwrap() < 1e-5);
    }
    let rows = parameters(&trainer.result(), "", str::to_string);
    let rows = rows["quantize.embedding.weight"].as_f32().unwrap().to_vec();
    for colour in colours {
        let near = |row: &[f32]| (0..3).all(|place| (row[place] - colour[place]).abs() < 1e-4);
        assert!(rows.chunks(3).any(near), "{colour:?} in {rows:?}");
    }
}
