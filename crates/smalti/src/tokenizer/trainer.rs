//! One step of stage 1: autoencoder, λ and discriminator from a single forward pass.
//!
//! The authors run the network once per optimiser and take λ from two more passes through the last layer. Here the
//! losses are differentiated with respect to the reconstruction x̂ alone; λ needs only the last layer's weight gradient
//! of each, and the weighted sum of the two gradients is then sent back through the network once. Same numbers, less
//! work. One difference: the authors' second optimiser also counts the steps before the discriminator joins, on gradients
//! of zero, so the bias corrections of its first real steps differ.

use super::adversarial::{Logits, discriminator_loss, generator_loss};
use super::discriminator::Discriminator;
use super::loss::{ReconstructionLoss, adaptive_weight, reconstruction_loss};
use super::network::Tokenizer;
use super::perceptual::Lpips;
use super::recipe::{TokenizerRecipe, TokenizerTraining};
use crate::checkpoint::{TensorMap, load_parameters, parameters};
use crate::error::Result;
use crate::initializer::Initializer;
use crate::ops::{self, Precision};
use crate::training::{Adam, AdamConfig, Metrics, Owned};
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor};

/// The networks and optimisers of a stage-1 training.
pub struct TokenizerTrainer {
    pub tokenizer: Owned<Tokenizer>,
    pub discriminator: Owned<Discriminator>,
    training: TokenizerTraining,
    lpips: Option<Lpips>,
    tokenizer_adam: Adam,
    discriminator_adam: Adam,
}

/// What a step did.
pub struct StepOutcome {
    pub metrics: Metrics,
    /// `[b, h, w]`.
    pub codes: Tensor<3, Int>,
}

/// The gradients of one step, for tests that compare them.
pub struct StepGradients {
    pub tokenizer: GradientsParams,
    pub discriminator: Option<GradientsParams>,
}

/// A forward pass, kept for the backward pass.
struct Forward {
    /// What the decoder's last convolution reads.
    features: Tensor<4>,
    reconstruction: Tensor<4>,
    codebook_loss: Tensor<1>,
    codes: Tensor<3, Int>,
}

impl TokenizerTrainer {
    /// Fresh networks on an autodiff device. `lpips` is the perceptual network, if there is to be one.
    pub fn new(recipe: &TokenizerRecipe, lpips: Option<Lpips>, device: &Device) -> Self {
        let training = recipe.training.clone();
        let mut init = Initializer::seeded(device, training.seed);
        Self {
            tokenizer: Owned::new(
                Tokenizer::new(&mut init, &recipe.network).with_precision(training.precision),
            ),
            discriminator: Owned::new(Discriminator::new(
                &mut init,
                recipe.network.out_channels,
                &training.discriminator(),
            )),
            lpips: lpips.map(|lpips| lpips.with_precision(training.precision)),
            training,
            tokenizer_adam: Adam::new(AdamConfig::tokenizer()),
            discriminator_adam: Adam::new(AdamConfig::tokenizer()),
        }
    }

    /// One step on `pixels` `[b, h, w, c]` in [-1, 1]: both networks move.
    pub fn step(
        &mut self,
        pixels: Tensor<4>,
        learning_rate: f64,
        adversarial: bool,
    ) -> StepOutcome {
        let (mut outcome, gradients, reconstruction) =
            self.tokenizer_gradients(pixels.clone(), adversarial);
        let adam = &mut self.tokenizer_adam;
        self.tokenizer
            .update(|tokenizer| adam.step(learning_rate, tokenizer, gradients));
        if adversarial {
            let fake = if self.training.two_passes {
                let tokenizer = self.tokenizer.valid();
                Tensor::from_inner(
                    tokenizer.decode(tokenizer.encode(pixels.clone().without_autodiff()).latent),
                )
            } else {
                reconstruction
            };
            let gradients = self.discriminator_gradients(pixels, fake, &mut outcome.metrics);
            let adam = &mut self.discriminator_adam;
            self.discriminator
                .update(|discriminator| adam.step(learning_rate, discriminator, gradients));
        }
        outcome
    }

    /// The gradients of a step without taking it.
    pub fn gradients(&self, pixels: Tensor<4>, adversarial: bool) -> (StepOutcome, StepGradients) {
        let (mut outcome, tokenizer, reconstruction) =
            self.tokenizer_gradients(pixels.clone(), adversarial);
        let discriminator = adversarial
            .then(|| self.discriminator_gradients(pixels, reconstruction, &mut outcome.metrics));
        let gradients = StepGradients {
            tokenizer,
            discriminator,
        };
        (outcome, gradients)
    }

    fn forward(&self, pixels: Tensor<4>) -> Forward {
        let quantized = self.tokenizer.encode(pixels);
        let latent = self.tokenizer.decoder_input(quantized.latent);
        let features = self.tokenizer.decoder.features(latent);
        let reconstruction = self.tokenizer.decoder.conv_out.forward(features.clone());
        Forward {
            reconstruction: Precision::F32.of(reconstruction),
            features,
            codebook_loss: quantized.loss,
            codes: quantized.codes,
        }
    }

    fn tokenizer_gradients(
        &self,
        pixels: Tensor<4>,
        adversarial: bool,
    ) -> (StepOutcome, GradientsParams, Tensor<4>) {
        let forward = self.forward(pixels.clone());
        let mut metrics = Metrics::default();
        let (losses, nll_gradient) = self.reconstruction_gradient(pixels, &forward.reconstruction);
        let mut total = scalar(&losses.total);
        let mut gradient = nll_gradient.clone();
        let mut adversary = None;
        if adversarial {
            let (g_loss, gan_gradient) = self.generator_gradient(&forward.reconstruction);
            let lambda = self.lambda(&forward, nll_gradient, gan_gradient.clone());
            gradient = gradient + gan_gradient * lambda;
            total += lambda * g_loss;
            adversary = Some((lambda, g_loss));
        }
        total += self.training.codebook_weight * scalar(&forward.codebook_loss);
        metrics.push("total_loss", f64::from(total));
        metrics.push("nll_loss", f64::from(scalar(&losses.total)));
        metrics.push("pixel_loss", f64::from(scalar(&losses.pixel)));
        metrics.push("p_loss", f64::from(scalar(&losses.perceptual)));
        metrics.push("quant_loss", f64::from(scalar(&forward.codebook_loss)));
        if let Some((lambda, g_loss)) = adversary {
            metrics.push("d_weight", f64::from(lambda));
            metrics.push("g_loss", f64::from(g_loss));
        }
        let reconstruction = forward.reconstruction.clone().detach();
        let surrogate = (forward.reconstruction * Tensor::from_inner(gradient)).sum()
            + forward.codebook_loss * self.training.codebook_weight;
        let gradients = GradientsParams::from_grads(surrogate.backward(), &*self.tokenizer);
        let outcome = StepOutcome {
            metrics,
            codes: forward.codes,
        };
        (outcome, gradients, reconstruction)
    }

    /// The reconstruction loss and its gradient at the reconstruction.
    fn reconstruction_gradient(
        &self,
        pixels: Tensor<4>,
        reconstruction: &Tensor<4>,
    ) -> (ReconstructionLoss, Tensor<4>) {
        let leaf = reconstruction.clone().detach().require_grad();
        let lpips = self
            .lpips
            .as_ref()
            .map(|lpips| (lpips, self.training.perceptual_weight));
        let losses = reconstruction_loss(pixels, leaf.clone(), lpips);
        let gradient = gradient_of(&leaf, &losses.total);
        (losses, gradient)
    }

    /// The generator's adversarial loss and its gradient at the reconstruction.
    fn generator_gradient(&self, reconstruction: &Tensor<4>) -> (f32, Tensor<4>) {
        let leaf = reconstruction.clone().detach().require_grad();
        let frozen = Discriminator::clone(&self.discriminator).no_grad();
        let logits = frozen.forward(self.training.precision.of(leaf.clone()));
        let loss = generator_loss(self.training.adversarial_loss, logits);
        (scalar(&loss), gradient_of(&leaf, &loss))
    }

    fn lambda(&self, forward: &Forward, nll_gradient: Tensor<4>, gan_gradient: Tensor<4>) -> f32 {
        let last = &self.tokenizer.decoder.conv_out;
        let at_last_layer = |gradient| {
            ops::conv2d_weight_gradient(
                forward.features.clone().without_autodiff(),
                last.weight.val().without_autodiff(),
                self.training.precision.of(gradient),
                last.convolution,
            )
        };
        adaptive_weight(at_last_layer(nll_gradient), at_last_layer(gan_gradient))
            * self.training.discriminator_weight
    }

    fn discriminator_gradients(
        &self,
        real: Tensor<4>,
        fake: Tensor<4>,
        metrics: &mut Metrics,
    ) -> GradientsParams {
        let precision = self.training.precision;
        let logits = Logits {
            real: self.discriminator.forward(precision.of(real)),
            fake: self.discriminator.forward(precision.of(fake)),
        };
        let loss = discriminator_loss(self.training.adversarial_loss, &logits);
        metrics.push("disc_loss", f64::from(scalar(&loss.total)));
        metrics.push("logits_real", f64::from(scalar(&loss.logits_real)));
        metrics.push("logits_fake", f64::from(scalar(&loss.logits_fake)));
        GradientsParams::from_grads(loss.total.backward(), &*self.discriminator)
    }

    /// Discriminator and optimisers, to be saved beside the model.
    pub fn state(&self) -> TensorMap {
        let mut tensors = parameters(&*self.discriminator, "discriminator.", str::to_string);
        tensors.extend(self.tokenizer_adam.state("tokenizer_adam."));
        tensors.extend(self.discriminator_adam.state("discriminator_adam."));
        tensors
    }

    /// Takes up a state written by [`TokenizerTrainer::state`] and the weights that belong to it.
    pub fn load(&mut self, tokenizer: Tokenizer, state: &TensorMap, device: &Device) -> Result<()> {
        *self.tokenizer = tokenizer.with_precision(self.training.precision);
        let discriminator = Discriminator::clone(&self.discriminator);
        *self.discriminator =
            load_parameters(discriminator, state, "discriminator.", str::to_string)?;
        self.tokenizer_adam
            .load(&*self.tokenizer, state, "tokenizer_adam.", device)?;
        self.discriminator_adam
            .load(&*self.discriminator, state, "discriminator_adam.", device)
    }
}

fn scalar(tensor: &Tensor<1>) -> f32 {
    tensor.clone().into_scalar()
}

fn gradient_of(leaf: &Tensor<4>, loss: &Tensor<1>) -> Tensor<4> {
    let mut gradients = loss.backward();
    leaf.grad_remove(&mut gradients)
        .expect("the loss was computed from the leaf")
}
