//! The discriminator's half of a step: what it tells the decoder, and how it learns.

use super::autoencoder::{gradient_of, scalar};
use crate::checkpoint::{TensorMap, load_parameters, parameters};
use crate::error::Result;
use crate::initializer::Initializer;
use crate::tokenizer::adversarial::{
    LeCam, Logits, discriminator_loss, generator_loss, r1_penalty,
};
use crate::tokenizer::discriminator::Discriminator;
use crate::tokenizer::recipe::{StepPlan, TokenizerTraining};
use crate::training::{Adam, AdamConfig, Metrics, Owned, clip_scale, gradient_norm};
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};

/// The discriminator, its optimiser and its regularisers.
pub struct Adversary {
    pub discriminator: Owned<Discriminator>,
    adam: Adam,
    lecam: LeCam,
    training: TokenizerTraining,
}

/// What the discriminator learned from one batch, not applied yet.
pub(super) struct AdversaryPass {
    pub(super) gradients: GradientsParams,
    norm: f32,
    /// Mean logits of real and reconstructed pictures.
    means: [f32; 2],
}

impl Adversary {
    pub(super) fn new(
        init: &mut Initializer,
        channels: usize,
        training: &TokenizerTraining,
    ) -> Self {
        let discriminator = Discriminator::new(init, channels, &training.discriminator_config());
        Self {
            discriminator: Owned::new(discriminator),
            adam: Adam::new(AdamConfig::tokenizer()),
            lecam: LeCam::default(),
            training: training.clone(),
        }
    }

    /// Lets normalisation layers that start from data see the first batch.
    pub(super) fn prepare(&mut self, plan: &StepPlan, pixels: &Tensor<4>) {
        if plan.discriminator && !self.discriminator.is_initialized() {
            let pixels = self.training.precision.of(pixels.clone());
            self.discriminator
                .update(|discriminator| discriminator.initialize(pixels));
        }
    }

    /// The generator's adversarial loss and its gradient at the reconstructions `[b, h, w, c]`.
    pub(super) fn generator_gradient(&self, reconstruction: Tensor<4>) -> (f32, Tensor<4>) {
        let leaf = reconstruction.detach().require_grad();
        let frozen = Discriminator::clone(&self.discriminator).no_grad();
        let logits = frozen.forward(self.training.precision.of(leaf.clone()));
        let loss = generator_loss(self.training.adversarial_loss, logits);
        (scalar(&loss), gradient_of(&leaf, &loss))
    }

    /// The gradients of the discriminator's losses on real pictures and reconstructions.
    pub(super) fn discriminator_pass(
        &self,
        real: Tensor<4>,
        fake: Tensor<4>,
        plan: &StepPlan,
        metrics: &mut Metrics,
    ) -> AdversaryPass {
        let precision = self.training.precision;
        let logits = Logits {
            real: self.discriminator.forward(precision.of(real.clone())),
            fake: self.discriminator.forward(precision.of(fake)),
        };
        let loss = discriminator_loss(self.training.adversarial_loss, &logits);
        let mut push = |name: &'static str, value: f32| metrics.push(name, f64::from(value));
        push("disc_loss", scalar(&loss.total));
        push("logits_real", scalar(&loss.logits_real));
        push("logits_fake", scalar(&loss.logits_fake));
        push("disc_accuracy", scalar(&loss.accuracy));
        let means = [scalar(&loss.logits_real), scalar(&loss.logits_fake)];
        let mut total = loss.total;
        if self.training.lecam_weight > 0.0 {
            let mut lecam = self.lecam;
            lecam.update(means[0], means[1]);
            let penalty = lecam.penalty(&logits);
            push("lecam_loss", scalar(&penalty));
            total = total + penalty * self.training.lecam_weight;
        }
        if self.training.r1_weight > 0.0 && plan.step.is_multiple_of(self.training.r1_every) {
            let penalty = r1_penalty(&self.discriminator, real);
            push("r1_loss", penalty.value);
            let weight = self.training.r1_weight * self.training.r1_every as f32;
            total = total + penalty.surrogate * weight;
        }
        let gradients = GradientsParams::from_grads(total.backward(), &*self.discriminator);
        let norm = gradient_norm(&*self.discriminator, &gradients);
        push("disc_grad_norm", norm);
        AdversaryPass {
            gradients,
            norm,
            means,
        }
    }

    pub(super) fn apply(&mut self, pass: AdversaryPass, plan: &StepPlan) {
        let [real, fake] = pass.means;
        self.lecam.update(real, fake);
        let adam = &mut self.adam;
        let (rate, gradients) = (plan.learning_rate, pass.gradients);
        let scale = clip_scale(pass.norm, self.training.gradient_clip);
        self.discriminator
            .update(|discriminator| adam.step(rate, scale, discriminator, gradients));
    }

    pub(super) fn state(&self) -> TensorMap {
        let mut tensors = parameters(&*self.discriminator, "discriminator.", str::to_string);
        tensors.extend(self.adam.state("discriminator_adam."));
        tensors.extend(self.lecam.state("lecam."));
        tensors
    }

    pub(super) fn load(&mut self, state: &TensorMap, device: &Device) -> Result<()> {
        let discriminator = Discriminator::clone(&self.discriminator);
        *self.discriminator =
            load_parameters(discriminator, state, "discriminator.", str::to_string)?;
        self.lecam.load(state, "lecam.")?;
        self.adam
            .load(&*self.discriminator, state, "discriminator_adam.", device)
    }
}
