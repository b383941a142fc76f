//! The autoencoder's half of a step: losses and their gradients at the reconstruction, λ, and one backward pass.
//!
//! A batch may go through the network in parts. λ and the discriminator's batch statistics belong to the whole batch, so
//! the parts run forward once without a graph; then the gradient at every reconstruction is known, and each part runs
//! again with a graph to be differentiated. The step is that of the whole batch at once.

use super::TokenizerTrainer;
use crate::data::KindName;
use crate::ops::{self, Precision};
use crate::tokenizer::loss::{
    ReconstructionLoss, ReconstructionWeights, adaptive_weight, label_map_loss, reconstruction_loss,
};
use crate::tokenizer::quantizer::{QuantizerStep, Search};
use crate::tokenizer::recipe::{StepPlan, Trained};
use crate::training::Metrics;
use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Int, Tensor};

/// What a forward and backward pass over a batch found.
pub(super) struct Pass {
    pub(super) metrics: Metrics,
    pub(super) gradients: GradientsParams,
    /// `[b, h, w, c]`, apart from the graph.
    pub(super) reconstruction: Tensor<4>,
    pub(super) codes: Tensor<3, Int>,
    pub(super) searches: Vec<Search>,
}

/// A forward pass with its graph.
struct Forward {
    /// What the decoder's last convolution reads.
    features: Tensor<4>,
    reconstruction: Tensor<4>,
    codebook_loss: Tensor<1>,
    codes: Tensor<3, Int>,
    searches: Vec<Search>,
}

/// What of a forward pass decides the gradient at the reconstruction, apart from the graph.
struct Draft {
    features: Tensor<4>,
    reconstruction: Tensor<4>,
}

/// The gradient at the reconstruction of every part, and the losses it comes from.
struct Wanted {
    gradients: Vec<Tensor<4>>,
    metrics: Metrics,
    total: f32,
}

impl TokenizerTrainer {
    pub(super) fn autoencoder_pass(&self, pixels: Tensor<4>, plan: &StepPlan) -> Pass {
        let parts = split(pixels, self.training.micro_batch);
        let mut whole = None;
        let drafts: Vec<Draft> = if parts.len() == 1 {
            let forward = self.forward(parts[0].clone(), plan.quantizer);
            let draft = forward.draft();
            whole = Some(forward);
            vec![draft]
        } else {
            parts
                .iter()
                .enumerate()
                .map(|part| self.draft(part, plan))
                .collect()
        };
        let wanted = self.wanted(&parts, &drafts, plan);
        let reconstructions = drafts.into_iter().map(|draft| draft.reconstruction);
        let reconstruction = Tensor::cat(reconstructions.collect(), 0);
        let forwards = parts.iter().enumerate().map(|(index, part)| {
            let again = || self.forward(part.clone(), of_part(plan, index));
            whole.take().unwrap_or_else(again)
        });
        let shares = shares(&parts);
        self.backward(forwards, wanted, &shares, reconstruction)
    }

    fn forward(&self, pixels: Tensor<4>, step: QuantizerStep) -> Forward {
        let quantized = match self.training.train {
            Trained::All => {
                let vectors = self.tokenizer.vectors(pixels);
                self.tokenizer.quantize.forward_training(vectors, &step)
            }
            Trained::Decoder => {
                let frozen = self.tokenizer.valid();
                frozen.encode(pixels.without_autodiff()).with_autodiff()
            }
        };
        let latent = self.tokenizer.decoder_input(quantized.latent);
        let features = self.tokenizer.decoder.features(latent);
        let reconstruction = self.tokenizer.decoder.finish(features.clone());
        Forward {
            reconstruction: Precision::F32.of(reconstruction),
            features,
            codebook_loss: quantized.loss,
            codes: quantized.codes,
            searches: quantized.searches,
        }
    }

    fn draft(&self, (index, pixels): (usize, &Tensor<4>), plan: &StepPlan) -> Draft {
        let tokenizer = self.tokenizer.valid();
        let vectors = tokenizer.vectors(pixels.clone().without_autodiff());
        let step = of_part(plan, index);
        let quantized = tokenizer.quantize.forward_training(vectors, &step);
        let features = tokenizer
            .decoder
            .features(tokenizer.decoder_input(quantized.latent));
        let reconstruction = tokenizer.decoder.finish(features.clone());
        Draft {
            reconstruction: Tensor::from_inner(Precision::F32.of(reconstruction)),
            features,
        }
    }

    /// The gradient that goes back from each reconstruction: that of the reconstruction loss and, times λ, that of the
    /// discriminator.
    fn wanted(&self, parts: &[Tensor<4>], drafts: &[Draft], plan: &StepPlan) -> Wanted {
        let mut sums = LossSums::default();
        let mut gradients = Vec::new();
        let shares = shares(parts);
        for ((pixels, draft), &share) in parts.iter().zip(drafts).zip(&shares) {
            let (losses, gradient) =
                self.reconstruction_gradient(pixels.clone(), &draft.reconstruction);
            sums.add(&losses, share);
            gradients.push(gradient * share);
        }
        let mut metrics = sums.metrics();
        let mut total = sums.total;
        if plan.adversarial > 0.0 {
            let all = drafts.iter().map(|draft| draft.reconstruction.clone());
            let all = Tensor::cat(all.collect(), 0);
            let (g_loss, gradient) = self.adversary.generator_gradient(all);
            let adversarial = split(gradient, self.training.micro_batch);
            let lambda = self.lambda(drafts, &gradients, &adversarial);
            let applied = lambda.min(self.training.lambda_max)
                * self.training.discriminator_weight
                * plan.adversarial;
            metrics.push("lambda", f64::from(lambda));
            metrics.push("d_weight", f64::from(applied));
            metrics.push("g_loss", f64::from(g_loss));
            total += applied * g_loss;
            for (gradient, adversarial) in gradients.iter_mut().zip(adversarial) {
                *gradient = gradient.clone() + adversarial * applied;
            }
        }
        Wanted {
            gradients,
            metrics,
            total,
        }
    }

    fn backward(
        &self,
        forwards: impl Iterator<Item = Forward>,
        wanted: Wanted,
        shares: &[f32],
        reconstruction: Tensor<4>,
    ) -> Pass {
        let mut accumulator = GradientsAccumulator::new();
        let (mut codes, mut searches) = (Vec::new(), Vec::<Vec<Search>>::new());
        let mut codebook_loss = 0.0;
        for ((forward, gradient), &share) in forwards.zip(wanted.gradients).zip(shares) {
            codebook_loss += share * scalar(&forward.codebook_loss);
            codes.push(forward.codes);
            searches.push(forward.searches);
            if !self.tokenizer.has_gradients() {
                continue;
            }
            let surrogate = (forward.reconstruction * Tensor::from_inner(gradient)).sum()
                + forward.codebook_loss * (self.training.codebook_weight * share);
            let gradients = GradientsParams::from_grads(surrogate.backward(), &*self.tokenizer);
            accumulator.accumulate(&*self.tokenizer, gradients);
        }
        let mut metrics = wanted.metrics;
        let total = wanted.total + self.training.codebook_weight * codebook_loss;
        metrics.push("quant_loss", f64::from(codebook_loss));
        metrics.push("total_loss", f64::from(total));
        Pass {
            metrics,
            gradients: accumulator.grads(),
            reconstruction,
            codes: Tensor::cat(codes, 0),
            searches: Search::join(searches),
        }
    }

    /// The reconstruction loss and its gradient at the reconstruction.
    fn reconstruction_gradient(
        &self,
        pixels: Tensor<4>,
        reconstruction: &Tensor<4>,
    ) -> (ReconstructionLoss, Tensor<4>) {
        let leaf = reconstruction.clone().detach().require_grad();
        if self.training.data_kind == KindName::Labels {
            let loss = label_map_loss(pixels, leaf.clone());
            let gradient = gradient_of(&leaf, &loss);
            return (ReconstructionLoss::of_label_maps(loss), gradient);
        }
        let weights = ReconstructionWeights {
            l1: self.training.l1_weight,
            l2: self.training.l2_weight,
            perceptual: self.training.perceptual_weight,
        };
        let losses = reconstruction_loss(pixels, leaf.clone(), self.lpips.as_ref(), weights);
        let gradient = gradient_of(&leaf, &losses.total);
        (losses, gradient)
    }

    /// λ of the whole batch, before its limit; 0 where there is no layer to compare gradients at.
    fn lambda(&self, drafts: &[Draft], nll: &[Tensor<4>], adversarial: &[Tensor<4>]) -> f32 {
        let Some(last) = self.tokenizer.decoder.last() else {
            return 0.0;
        };
        let at_last_layer = |gradients: &[Tensor<4>]| {
            let parts = drafts.iter().zip(gradients).map(|(draft, gradient)| {
                ops::conv2d_weight_gradient(
                    draft.features.clone(),
                    last.weight.val().without_autodiff(),
                    self.training.precision.of(gradient.clone()),
                    last.convolution,
                )
            });
            parts
                .reduce(|sum, part| sum + part)
                .expect("a batch has at least one part")
        };
        adaptive_weight(at_last_layer(nll), at_last_layer(adversarial))
    }
}

impl Forward {
    fn draft(&self) -> Draft {
        Draft {
            features: self.features.clone().without_autodiff(),
            reconstruction: self.reconstruction.clone().detach(),
        }
    }
}

/// Means over the batch, from means over its parts.
#[derive(Default)]
struct LossSums {
    total: f32,
    pixel: f32,
    perceptual: Option<f32>,
}

impl LossSums {
    fn add(&mut self, losses: &ReconstructionLoss, share: f32) {
        self.total += share * scalar(&losses.total);
        self.pixel += share * scalar(&losses.pixel);
        if let Some(perceptual) = &losses.perceptual {
            *self.perceptual.get_or_insert(0.0) += share * scalar(perceptual);
        }
    }

    fn metrics(&self) -> Metrics {
        let mut metrics = Metrics::default();
        metrics.push("nll_loss", f64::from(self.total));
        metrics.push("pixel_loss", f64::from(self.pixel));
        if let Some(perceptual) = self.perceptual {
            metrics.push("p_loss", f64::from(perceptual));
        }
        metrics
    }
}

/// A batch in parts of at most `most` pictures; 0 leaves it whole.
fn split(batch: Tensor<4>, most: usize) -> Vec<Tensor<4>> {
    if most == 0 || batch.dims()[0] <= most {
        return vec![batch];
    }
    batch.split(most, 0)
}

/// The share of the pictures that is in each part.
fn shares(parts: &[Tensor<4>]) -> Vec<f32> {
    let counts = parts.iter().map(|part| part.dims()[0] as f32);
    let total: f32 = counts.clone().sum();
    counts.map(|count| count / total).collect()
}

/// The quantiser's part of the plan for a part of the batch: it draws numbers of its own, the same ones every time.
fn of_part(plan: &StepPlan, part: usize) -> QuantizerStep {
    QuantizerStep {
        seed: plan.quantizer.seed.wrapping_add(part as u64),
        ..plan.quantizer
    }
}

pub(super) fn scalar(tensor: &Tensor<1>) -> f32 {
    tensor.clone().into_scalar()
}

/// The gradient of `loss` at `leaf`, without autodiff.
pub(super) fn gradient_of(leaf: &Tensor<4>, loss: &Tensor<1>) -> Tensor<4> {
    let mut gradients = loss.backward();
    leaf.grad_remove(&mut gradients)
        .expect("the loss was computed from the leaf")
}
