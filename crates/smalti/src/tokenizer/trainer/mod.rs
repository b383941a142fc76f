//! One step of stage 1: autoencoder, codebook and discriminator.
//!
//! The authors run the network once per optimiser and take λ from two more passes through the last layer. Here the
//! losses are differentiated with respect to the reconstruction x̂ alone; λ needs only the last layer's weight gradient
//! of each, and the weighted sum of the two gradients is then sent back through the network once. Same numbers, less
//! work. One difference: the authors' second optimiser also counts the steps before the discriminator joins, on gradients
//! of zero, so the bias corrections of its first real steps differ.

mod adversary;
mod autoencoder;
#[cfg(test)]
mod tests;

pub use adversary::Adversary;

use super::network::Tokenizer;
use super::perceptual::Lpips;
use super::recipe::{StepPlan, TokenizerRecipe, TokenizerTraining, Trained};
use super::upkeep::{Upkeep, UpkeepReport};
use crate::checkpoint::{TensorMap, load_parameters, parameters};
use crate::error::Result;
use crate::initializer::Initializer;
use crate::training::{Adam, AdamConfig, Metrics, Owned, WeightAverage, clip_scale, gradient_norm};
use autoencoder::Pass;
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor};

/// The networks and optimisers of a stage-1 training.
pub struct TokenizerTrainer {
    pub tokenizer: Owned<Tokenizer>,
    pub adversary: Adversary,
    training: TokenizerTraining,
    lpips: Option<Lpips>,
    adam: Adam,
    upkeep: Upkeep,
    average: Option<WeightAverage<Tokenizer>>,
}

/// What a step did.
pub struct StepOutcome {
    pub metrics: Metrics,
    /// `[b, h, w]`.
    pub codes: Tensor<3, Int>,
    /// What was no number, if that was why nothing moved.
    pub skipped: Option<String>,
}

/// The gradients of one step, for tests that compare them.
pub struct StepGradients {
    pub tokenizer: GradientsParams,
    pub discriminator: Option<GradientsParams>,
}

/// Averages of codes would be neither the old nor the new ones; they follow at once. What stands between two levels of
/// codes is a network like any other.
fn is_codebook(path: &str) -> bool {
    path.starts_with("quantize.") && !path.starts_with("quantize.between.")
}

impl TokenizerTrainer {
    /// Fresh networks on an autodiff device. `lpips` is the perceptual network, if there is to be one.
    pub fn new(recipe: &TokenizerRecipe, lpips: Option<Lpips>, device: &Device) -> Self {
        let training = recipe.training.clone();
        let mut init = Initializer::seeded(device, training.seed);
        let tokenizer = Tokenizer::new(&mut init, &recipe.network);
        let channels = recipe.network.out_channels;
        let mut trainer = Self {
            tokenizer: Owned::new(tokenizer.with_precision(training.precision)),
            adversary: Adversary::new(&mut init, channels, &training),
            lpips: lpips.map(|lpips| lpips.with_precision(training.precision)),
            adam: Adam::new(AdamConfig::tokenizer()),
            upkeep: Upkeep::new(training.upkeep()),
            average: None,
            training,
        };
        trainer.start_average();
        trainer
    }

    fn start_average(&mut self) {
        let decay = self.training.weight_average;
        self.average =
            (decay > 0.0).then(|| WeightAverage::new(self.tokenizer.valid(), decay, is_codebook));
    }

    /// Takes the weights of a trained tokenizer to start from.
    pub fn start_from(&mut self, tokenizer: Tokenizer) {
        *self.tokenizer = tokenizer.with_precision(self.training.precision);
        self.start_average();
    }

    /// What is measured, shown and saved: the averaged network if there is one.
    pub fn result(&self) -> Tokenizer {
        match &self.average {
            Some(average) => average.module.clone(),
            None => self.tokenizer.valid(),
        }
    }

    /// One step on `pixels` `[b, h, w, c]`: both networks move, or, if anything is no number, neither.
    pub fn step(&mut self, pixels: Tensor<4>, plan: &StepPlan) -> StepOutcome {
        self.adversary.prepare(plan, &pixels);
        self.start_codebook(plan);
        let mut pass = self.autoencoder_pass(pixels.clone(), plan);
        let norm = gradient_norm(&*self.tokenizer, &pass.gradients);
        pass.metrics.push("grad_norm", f64::from(norm));
        let mut adversary = None;
        if plan.discriminator && !self.training.two_passes {
            adversary = Some(self.adversary_pass(&pixels, &mut pass, plan));
        }
        if let Some(name) = not_finite(&pass.metrics) {
            return StepOutcome {
                metrics: pass.metrics,
                codes: pass.codes,
                skipped: Some(name),
            };
        }
        let gradients = std::mem::take(&mut pass.gradients);
        self.move_tokenizer(gradients, norm, plan);
        self.keep_codebook(&mut pass, plan);
        if plan.discriminator && self.training.two_passes {
            pass.reconstruction = self.reconstruct_again(&pixels);
            adversary = Some(self.adversary_pass(&pixels, &mut pass, plan));
        }
        let skipped = not_finite(&pass.metrics);
        if let Some(gradients) = adversary.filter(|_| skipped.is_none()) {
            self.adversary.apply(gradients, plan);
        }
        StepOutcome {
            metrics: pass.metrics,
            codes: pass.codes,
            skipped,
        }
    }

    /// The gradients of a step without taking it.
    pub fn gradients(
        &mut self,
        pixels: Tensor<4>,
        plan: &StepPlan,
    ) -> (StepOutcome, StepGradients) {
        self.adversary.prepare(plan, &pixels);
        let mut pass = self.autoencoder_pass(pixels.clone(), plan);
        let discriminator = plan
            .discriminator
            .then(|| self.adversary_pass(&pixels, &mut pass, plan).gradients);
        let gradients = StepGradients {
            tokenizer: pass.gradients,
            discriminator,
        };
        let outcome = StepOutcome {
            metrics: pass.metrics,
            codes: pass.codes,
            skipped: None,
        };
        (outcome, gradients)
    }

    fn adversary_pass(
        &self,
        pixels: &Tensor<4>,
        pass: &mut Pass,
        plan: &StepPlan,
    ) -> adversary::AdversaryPass {
        let fake = pass.reconstruction.clone();
        self.adversary
            .discriminator_pass(pixels.clone(), fake, plan, &mut pass.metrics)
    }

    fn move_tokenizer(&mut self, gradients: GradientsParams, norm: f32, plan: &StepPlan) {
        let adam = &mut self.adam;
        let scale = clip_scale(norm, self.training.gradient_clip);
        self.tokenizer
            .update(|tokenizer| adam.step(plan.learning_rate, scale, tokenizer, gradients));
    }

    /// Sets the codes by k-means, when their time has come.
    fn start_codebook(&mut self, plan: &StepPlan) {
        let quantizer = &mut self.tokenizer.quantize;
        let bypass = plan.quantizer.bypass;
        let report = self.upkeep.before_step(quantizer, bypass, plan.step);
        self.forget(&report);
    }

    /// The optimiser must not push new rows where the old ones were going.
    fn forget(&mut self, report: &UpkeepReport) {
        for book in &report.rewritten {
            let path = format!("quantize.{}", book.path);
            self.adam.forget_rows(&path, &book.rows, book.width);
        }
    }

    /// The codebook's upkeep, and with it the optimiser's memory of rows that are new; then the averaged weights.
    fn keep_codebook(&mut self, pass: &mut Pass, plan: &StepPlan) {
        if self.training.train == Trained::All {
            let searches = std::mem::take(&mut pass.searches);
            let quantizer = &mut self.tokenizer.quantize;
            let bypass = plan.quantizer.bypass;
            let report = self
                .upkeep
                .after_step(quantizer, searches, bypass, plan.step);
            self.forget(&report);
            if self.training.restart_below > 0.0 {
                pass.metrics.push("restarted", report.restarted as f64);
                pass.metrics.push("dead_codes", report.dead as f64);
            }
        }
        if let Some(average) = &mut self.average {
            average.update(&self.tokenizer, plan.step + 1);
        }
    }

    fn reconstruct_again(&self, pixels: &Tensor<4>) -> Tensor<4> {
        let tokenizer = self.tokenizer.valid();
        let latent = tokenizer.encode(pixels.clone().without_autodiff()).latent;
        Tensor::from_inner(tokenizer.decode(latent))
    }

    /// Everything but the model's weights that is needed to go on, and, where the model holds averages, those as well.
    pub fn state(&self) -> TensorMap {
        let mut tensors = self.adversary.state();
        tensors.extend(self.adam.state("tokenizer_adam."));
        tensors.extend(self.upkeep.state("codebook."));
        if self.average.is_some() {
            let tokenizer = parameters(&*self.tokenizer, "tokenizer.", str::to_string);
            tensors.extend(tokenizer);
        }
        tensors
    }

    /// Takes up a state written by [`TokenizerTrainer::state`] and the model that was saved with it.
    pub fn load(&mut self, model: Tokenizer, state: &TensorMap, device: &Device) -> Result<()> {
        let model = model.with_precision(self.training.precision);
        if self.average.is_some() && state.keys().any(|key| key.starts_with("tokenizer.")) {
            let tokenizer = load_parameters(model.clone(), state, "tokenizer.", str::to_string)?;
            *self.tokenizer = tokenizer;
            self.average = Some(WeightAverage::new(
                model.valid(),
                self.training.weight_average,
                is_codebook,
            ));
        } else {
            self.start_from(model);
        }
        self.upkeep.load(state, "codebook.");
        self.adam
            .load(&*self.tokenizer, state, "tokenizer_adam.", device)?;
        self.adversary.load(state, device)
    }
}

fn not_finite(metrics: &Metrics) -> Option<String> {
    let mut found = metrics.iter().filter(|(_, value)| !value.is_finite());
    found.next().map(|(name, _)| name.to_string())
}
