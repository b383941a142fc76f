//! Losses and one whole step of stage 1 against the authors' own.

mod common;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Distribution, Tensor};
use common::*;
use smalti::checkpoint::{HostTensor, TensorMap, load_parameters};
use smalti::tokenizer::discriminator::Discriminator;
use smalti::tokenizer::trainer::TokenizerTrainer;
use smalti::tokenizer::{Lpips, QuantizerKind, Tokenizer, TokenizerConfig, TokenizerRecipe};

#[test]
fn lpips() {
    let Some(weights) = perceptual_weights("lpips-vgg") else {
        return;
    };
    let Some(io) = golden("lpips-vgg/io.safetensors") else {
        return;
    };
    let io = read(&io);
    let lpips = Lpips::new(&weights, &device()).unwrap();
    let get = |name: &str| picture(&io[name], &device());
    let pairs = [get("a"), get("noisy"), get("b"), get("a").neg()];
    let ours: Vec<f32> = pairs
        .into_iter()
        .flat_map(|other| values(lpips.distance(get("a"), other)))
        .collect();
    assert_near(
        "LPIPS",
        &ours,
        io["lpips_aa_anoisy_ab_aneg"].as_f32().unwrap(),
        1e-4,
    );
}

fn recipe() -> TokenizerRecipe {
    let mut recipe = TokenizerRecipe {
        network: TokenizerConfig {
            resolution: 64,
            channels: 32,
            channel_multipliers: vec![1, 2, 2],
            residual_blocks: 1,
            attention_resolutions: vec![16],
            z_channels: 64,
            embed_dim: 64,
            codebook_size: 128,
            quantizer: QuantizerKind::Nearest,
            legacy_beta: true,
            ..TokenizerConfig::default()
        },
        ..TokenizerRecipe::plain()
    };
    recipe.training.discriminator_weight = 0.8;
    recipe
}

fn without_prefix(tensors: &TensorMap, prefix: &str) -> TensorMap {
    tensors
        .iter()
        .filter_map(|(key, tensor)| Some((key.strip_prefix(prefix)?.to_string(), tensor.clone())))
        .collect()
}

/// Gradients by parameter path.
struct Named<'a> {
    path: Vec<String>,
    gradients: &'a mut GradientsParams,
    found: Vec<(String, HostTensor)>,
}

impl ModuleVisitor for Named<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        let variant = container.starts_with("Enum");
        self.path.push(if variant {
            String::new()
        } else {
            name.to_string()
        });
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let parts: Vec<&str> = self
            .path
            .iter()
            .map(String::as_str)
            .filter(|part| !part.is_empty())
            .collect();
        let gradient = self
            .gradients
            .remove::<D>(param.id)
            .expect("every parameter has a gradient");
        let tensor = HostTensor::f32(param.dims().to_vec(), values(gradient));
        self.found.push((parts.join("."), tensor));
    }
}

fn named(module: &impl Module, gradients: &mut GradientsParams) -> Vec<(String, HostTensor)> {
    let mut visitor = Named {
        path: Vec::new(),
        gradients,
        found: Vec::new(),
    };
    module.visit(&mut visitor);
    visitor.found
}

#[test]
fn one_step_of_stage_one() {
    let Some(weights) = perceptual_weights("lpips-vgg") else {
        return;
    };
    let Some(initial) = golden("train-step-f4-tiny/initial.safetensors") else {
        return;
    };
    let Some(io) = golden("train-step-f4-tiny/io.safetensors") else {
        return;
    };
    let Some(step) = golden("train-step-f4-tiny/step.json") else {
        return;
    };
    let (initial, io) = (read(&initial), read(&io));
    let step: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(step).unwrap()).unwrap();

    let device = device().autodiff();
    let lpips = Lpips::new(&weights, &device).unwrap();
    let mut trainer = TokenizerTrainer::new(&recipe(), Some(lpips), &device);
    trainer
        .tokenizer
        .update(|tokenizer| load_parameters(tokenizer, &initial, "", str::to_string).unwrap());
    let discriminator = without_prefix(&initial, "loss.discriminator.");
    trainer
        .adversary
        .discriminator
        .update(|fresh| load_parameters(fresh, &discriminator, "", Discriminator::key).unwrap());

    let plan = recipe().training.plan(1, 1.0);
    let (outcome, mut gradients) = trainer.gradients(picture(&io["batch"], &device), &plan);
    for (theirs, ours) in [
        ("total_loss", "total_loss"),
        ("quant_loss", "quant_loss"),
        ("nll_loss", "nll_loss"),
        ("rec_loss", "nll_loss"),
        ("p_loss", "p_loss"),
        ("g_loss", "g_loss"),
        ("disc_loss", "disc_loss"),
        ("logits_real", "logits_real"),
        ("logits_fake", "logits_fake"),
        ("d_weight", "d_weight"),
    ] {
        let tolerance = if theirs == "d_weight" { 1e-3 } else { 1e-4 };
        let expected = step[theirs].as_f64().unwrap();
        let off = (outcome.metrics.get(ours).unwrap() - expected).abs() / expected.abs();
        println!("{theirs}: off by {off:.1e}, allowed {tolerance:.0e}");
        assert!(off <= tolerance, "{theirs}: off by {off:e}");
    }

    let stored = io.keys().filter(|key| key.starts_with("grad.")).count();
    let tokenizer = named(&*trainer.tokenizer, &mut gradients.tokenizer);
    assert_eq!(stored, tokenizer.len(), "every stored gradient is compared");
    let norm = step["grad_norm_ae"].as_f64().unwrap();
    let ours = norm_of(&tokenizer);
    assert!((ours / norm - 1.0).abs() < 1e-3, "norm {ours} for {norm}");
    let (worst, name) = worst_gradient(&tokenizer, &io);
    assert!(
        worst < FLIPPED,
        "gradient of {name}: off by {worst:e} of its largest value"
    );
    let discriminator = gradients.discriminator.as_mut().unwrap();
    let discriminator = named(&*trainer.adversary.discriminator, discriminator);
    let norm = step["grad_norm_disc"].as_f64().unwrap();
    let ours = norm_of(&discriminator);
    assert!((ours / norm - 1.0).abs() < 1e-3, "norm {ours} for {norm}");
    let (worst, name) = worst_discriminator_gradient(&discriminator, &io);
    assert!(
        worst < FLIPPED,
        "gradient of {name}: off by {worst:e} of its largest value"
    );
    assert_some_rounding_agrees(&mut trainer, &io);
}

/// How far a gradient may be off while rounding has yet to decide about activations near zero, as a fraction of the
/// largest value in its tensor.
const FLIPPED: f32 = 2e-2;

/// A few activations of LPIPS and of the discriminator lie so near zero that rounding decides whether their ReLU lets the
/// gradient through; each moves every gradient by thousandths. So gradients must agree for some weights that are
/// equal up to rounding: those of decoder and discriminator are moved by at most a unit in the last place, at random.
fn assert_some_rounding_agrees(trainer: &mut TokenizerTrainer, io: &TensorMap) {
    let device = trainer.tokenizer.device();
    let (original, discriminator) = (
        Tokenizer::clone(&trainer.tokenizer),
        Discriminator::clone(&trainer.adversary.discriminator),
    );
    let (mut least, mut least_discriminator) = (f32::MAX, f32::MAX);
    for seed in 0..64 {
        device.seed(seed);
        *trainer.tokenizer = original.clone();
        trainer.tokenizer.decoder = original.decoder.clone().map(&mut LastBit);
        *trainer.adversary.discriminator = discriminator.clone().map(&mut LastBit);
        let plan = recipe().training.plan(1, 1.0);
        let (_, mut gradients) = trainer.gradients(picture(&io["batch"], &device), &plan);
        let (worst, _) = worst_gradient(&named(&*trainer.tokenizer, &mut gradients.tokenizer), io);
        least = least.min(worst);
        let mut gradients = gradients.discriminator.unwrap();
        let gradients = named(&*trainer.adversary.discriminator, &mut gradients);
        let (worst, _) = worst_discriminator_gradient(&gradients, io);
        least_discriminator = least_discriminator.min(worst);
        println!(
            "rounding {seed}: gradients off by {least:.1e}, discriminator's {least_discriminator:.1e}"
        );
        if least.max(least_discriminator) < 1e-3 {
            break;
        }
    }
    assert!(
        least < 1e-3,
        "autoencoder: no rounding agrees better than {least:e}"
    );
    assert!(
        least_discriminator < 1e-3,
        "discriminator: no rounding agrees better than {least_discriminator:e}"
    );
}

/// The same for the discriminator, of whose gradients the golden keeps the first values and the norm of each.
fn worst_discriminator_gradient(ours: &[(String, HostTensor)], io: &TensorMap) -> (f32, String) {
    let mut worst = (0.0, String::new());
    for (path, gradient) in ours {
        let name = format!("loss.discriminator.{}", Discriminator::key(path));
        let ours = gradient.as_f32().unwrap();
        let head = io[&format!("grad_head.{name}")].as_f32().unwrap();
        let norm = io[&format!("grad_norm.{name}")].as_f32().unwrap()[0];
        let length: f64 = ours
            .iter()
            .map(|&value| f64::from(value).powi(2))
            .sum::<f64>()
            .sqrt();
        let largest = ours
            .iter()
            .fold(0.0f32, |largest, value| largest.max(value.abs()));
        let deviation = (difference(&ours[..head.len()], head) / largest)
            .max((length as f32 - norm).abs() / norm);
        if deviation > worst.0 {
            worst = (deviation, name);
        }
    }
    worst
}

/// Moves every weight by at most a unit in the last place.
struct LastBit;

impl ModuleMapper for LastBit {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|weight| {
            let weight = weight.inner();
            let noise = weight.random_like(Distribution::Uniform(-1.2e-7, 1.2e-7));
            Tensor::from_inner(weight.clone() + weight * noise).require_grad()
        })
    }
}

fn norm_of(gradients: &[(String, HostTensor)]) -> f64 {
    let values = gradients
        .iter()
        .flat_map(|(_, gradient)| gradient.as_f32().unwrap());
    values
        .map(|&value| f64::from(value).powi(2))
        .sum::<f64>()
        .sqrt()
}

/// The largest deviation of a gradient, as a fraction of the largest value in its tensor.
fn worst_gradient(ours: &[(String, HostTensor)], io: &TensorMap) -> (f32, String) {
    let mut worst = (0.0, String::new());
    for (name, gradient) in ours {
        let theirs = &io[&format!("grad.{name}")];
        assert_eq!(gradient.shape, theirs.shape);
        let (ours, theirs) = (gradient.as_f32().unwrap(), theirs.as_f32().unwrap());
        let largest = theirs
            .iter()
            .fold(0.0f32, |largest, value| largest.max(value.abs()));
        // The bias before a normalisation has no gradient but rounding; so has that of the attention's keys.
        let deviation = difference(ours, theirs) / largest.max(1e-3);
        if deviation > worst.0 {
            worst = (deviation, name.clone());
        }
    }
    worst
}

/// Pixels of a photograph's square of 256 pixels from column `left`, as floats of 8-bit values.
fn square_of(photo: &str, left: u32) -> Option<Vec<u8>> {
    let path = repository().join("assets/photos").join(photo);
    if !path.is_file() {
        println!("SKIPPED: {photo} is not here (scripts/fetch-assets photos)");
        return None;
    }
    let photo = smalti::data::read_image(&path, [255; 3]).unwrap();
    let square = image::imageops::crop_imm(&photo, left, 0, 256, 256).to_image();
    Some(square.into_raw())
}

/// Distances of photographs that the lpips package gives, for both networks.
#[test]
fn lpips_of_photographs() {
    let (Some(chelsea), Some(moved)) = (square_of("chelsea.png", 0), square_of("chelsea.png", 2))
    else {
        return;
    };
    let Some(coffee) = square_of("coffee.png", 0) else {
        return;
    };
    let coarse: Vec<u8> = chelsea.iter().map(|value| value >> 4 << 4).collect();
    let negative: Vec<u8> = chelsea.iter().map(|value| 255 - value).collect();
    let pixels = |bytes: Vec<u8>| smalti::data::squares(&[bytes], 256, &device());
    for (name, expected) in [
        ("lpips-alex", [0.03351, 0.03698, 0.52563, 0.74907]),
        ("lpips-vgg", [0.09295, 0.12387, 0.63567, 0.72527]),
    ] {
        let Some(weights) = perceptual_weights(name) else {
            return;
        };
        let lpips = Lpips::new(&weights, &device()).unwrap();
        let others = [&moved, &coarse, &negative, &coffee];
        let ours: Vec<f32> = others
            .into_iter()
            .flat_map(|other| {
                values(lpips.distance(pixels(chelsea.clone()), pixels(other.clone())))
            })
            .collect();
        assert_near(name, &ours, &expected, 1e-4);
    }
}
