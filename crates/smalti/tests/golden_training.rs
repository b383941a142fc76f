//! Losses and one whole step of stage 1 against the authors' own.

mod common;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use common::*;
use smalti::checkpoint::{HostTensor, TensorMap, load_parameters};
use smalti::tokenizer::discriminator::Discriminator;
use smalti::tokenizer::trainer::TokenizerTrainer;
use smalti::tokenizer::{Lpips, QuantizerKind, TokenizerConfig, TokenizerRecipe};

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
        ..TokenizerRecipe::default()
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
    trainer.tokenizer = load_parameters(trainer.tokenizer, &initial, "", str::to_string).unwrap();
    let discriminator = without_prefix(&initial, "loss.discriminator.");
    trainer.discriminator = load_parameters(
        trainer.discriminator,
        &discriminator,
        "",
        Discriminator::key,
    )
    .unwrap();

    let (outcome, mut gradients) = trainer.gradients(picture(&io["batch"], &device), true);
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
        let (theirs, ours) = (
            step[theirs].as_f64().unwrap(),
            outcome.metrics.get(ours).unwrap(),
        );
        let tolerance = if ours == outcome.metrics.get("d_weight").unwrap() {
            1e-3
        } else {
            1e-4
        };
        let off = (ours - theirs).abs() / theirs.abs();
        assert!(off <= tolerance, "{ours} for {theirs}: off by {off:e}");
    }

    let tokenizer = named(&trainer.tokenizer, &mut gradients.tokenizer);
    let mut squares = 0.0;
    for (name, gradient) in &tokenizer {
        let theirs = &io[&format!("grad.{name}")];
        assert_eq!(gradient.shape, theirs.shape);
        let (ours, theirs) = (gradient.as_f32().unwrap(), theirs.as_f32().unwrap());
        let largest = theirs
            .iter()
            .fold(0.0f32, |largest, value| largest.max(value.abs()));
        // A convolution's bias before a normalisation of its own mean has a gradient that is nothing but rounding.
        assert_near(
            &format!("gradient of {name}"),
            ours,
            theirs,
            (1e-3 * largest).max(1e-6),
        );
        squares += ours
            .iter()
            .map(|&value| f64::from(value) * f64::from(value))
            .sum::<f64>();
    }
    let norm = step["grad_norm_ae"].as_f64().unwrap();
    assert!(
        (squares.sqrt() / norm - 1.0).abs() < 1e-3,
        "norm {} for {norm}",
        squares.sqrt()
    );
    let stored = io
        .keys()
        .filter(|key| key.starts_with("grad.") && !key.contains("discriminator"))
        .count();
    assert_eq!(
        stored,
        tokenizer.len(),
        "every stored gradient was compared"
    );
    check_discriminator(
        &trainer,
        gradients.discriminator.as_mut().unwrap(),
        &io,
        &step,
    );
}

/// Of the discriminator's gradients the golden keeps the first values and the norm of each.
fn check_discriminator(
    trainer: &TokenizerTrainer,
    gradients: &mut GradientsParams,
    io: &TensorMap,
    step: &serde_json::Value,
) {
    let mut squares = 0.0;
    for (path, gradient) in named(&trainer.discriminator, gradients) {
        let name = format!("loss.discriminator.{}", Discriminator::key(&path));
        let ours = gradient.as_f32().unwrap();
        let head = io[&format!("grad_head.{name}")].as_f32().unwrap();
        let norm = io[&format!("grad_norm.{name}")].as_f32().unwrap()[0];
        let square: f64 = ours
            .iter()
            .map(|&value| f64::from(value) * f64::from(value))
            .sum();
        let largest = ours
            .iter()
            .fold(0.0f32, |largest, value| largest.max(value.abs()));
        assert_near(&name, &ours[..head.len()], head, 1e-3 * largest);
        assert_near(
            &format!("norm of {name}"),
            &[square.sqrt() as f32],
            &[norm],
            1e-3 * norm,
        );
        squares += square;
    }
    let norm = step["grad_norm_disc"].as_f64().unwrap();
    assert!(
        (squares.sqrt() / norm - 1.0).abs() < 1e-3,
        "norm {} for {norm}",
        squares.sqrt()
    );
}
