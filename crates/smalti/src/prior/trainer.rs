//! One step of stage 2 (`Net2NetTransformer` of taming/models/cond_transformer.py).

mod checkpointed;

use self::checkpointed::Checkpointed;
use super::codes::token_tensor;
use super::condition::Condition;
use super::config::PriorConfig;
use super::gpt::Gpt;
use super::network::Prior;
use super::recipe::PriorTraining;
use super::sequences::Sequences;
pub use super::sequences::sequences;
use crate::checkpoint::{TensorMap, host_values, load_parameters, parameters};
use crate::error::{Error, Result};
use crate::initializer::Initializer;
use crate::ops;
use crate::training::{Adam, Owned, WeightAverage, clip_scale, gradient_norm};
use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Int, Shape, Tensor, TensorData};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// What the weights themselves are called in a state, where the model has their averages.
const WEIGHTS: &str = "weights.";

/// Pictures that are measured at once.
const MEASURED: usize = 8;

/// The network and optimiser of a stage-2 training.
pub struct PriorTrainer {
    pub prior: Owned<Prior>,
    config: PriorConfig,
    training: PriorTraining,
    adam: Adam,
    average: Option<WeightAverage<Prior>>,
    device: Device,
}

/// What a step found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PriorStep {
    /// Mean loss per code.
    pub nats: f64,
    /// The length of the gradient, where that was needed.
    pub gradient_norm: Option<f32>,
}

/// Sequences that go through the network together.
struct Batch {
    inputs: Vec<Vec<i64>>,
    targets: Vec<Vec<i64>>,
    /// The vector of each sequence's text, or nothing.
    texts: Vec<Vec<f32>>,
    /// Which sequences are learned without their condition.
    dropped: Vec<bool>,
}

impl PriorTrainer {
    /// A fresh network on an autodiff device.
    pub fn new(config: &PriorConfig, training: &PriorTraining, device: &Device) -> Self {
        let mut init = Initializer::seeded(device, training.seed);
        let mut trainer = Self {
            prior: Owned::new(Prior::new(&mut init, config).with_precision(training.precision)),
            config: config.clone(),
            adam: Adam::new(training.adam(&config.network)),
            average: None,
            training: training.clone(),
            device: device.clone(),
        };
        trainer.average = trainer.average_of(trainer.prior.valid());
        trainer
    }

    fn average_of(&self, prior: Prior) -> Option<WeightAverage<Prior>> {
        let decay = self.training.weight_average;
        (decay > 0.0).then(|| WeightAverage::new(prior, decay, |_| false))
    }

    /// What is measured, shown and saved: the averaged network if there is one. Without autodiff.
    pub fn result(&self) -> Prior {
        match &self.average {
            Some(average) => average.module.clone(),
            None => self.prior.valid(),
        }
    }

    /// One step on these pictures of `set`. `step` seeds all that is random.
    ///
    /// # Errors
    /// A set without the condition that the prior is for.
    pub fn step(
        &mut self,
        set: &dyn Sequences,
        pictures: &[usize],
        learning_rate: f64,
        step: u64,
    ) -> Result<PriorStep> {
        let mut random = ChaCha8Rng::seed_from_u64(self.training.seed);
        random.set_stream(step);
        // Dropout masks come from the device's own generator.
        let seed = random.random();
        self.device.seed(seed);
        let mut batch = Batch::new(&self.config, set, pictures)?;
        self.leave_out(&mut batch, &mut random);
        self.corrupt(&mut batch.inputs, &mut random);
        let (gradients, nats) = self.gradients(&batch, seed);
        let clip = self.training.gradient_clip;
        let gradient_norm = (clip > 0.0).then(|| gradient_norm(&*self.prior, &gradients));
        let scale = gradient_norm.map_or(1.0, |norm| clip_scale(norm, clip));
        let adam = &mut self.adam;
        self.prior
            .update(|prior| adam.step(learning_rate, scale, prior, gradients));
        if let Some(average) = &mut self.average {
            average.update(&self.prior, step + 1);
        }
        Ok(PriorStep {
            nats,
            gradient_norm,
        })
    }

    /// The gradient of the mean loss, computed part by part, and the loss. Blocks that run twice draw what they drop
    /// from `seed`.
    fn gradients(&self, batch: &Batch, seed: u64) -> (GradientsParams, f64) {
        let all = batch.inputs.len();
        let most = match self.training.micro_batch {
            0 => all,
            most => most,
        };
        let mut accumulator = GradientsAccumulator::new();
        let mut nats = 0.0;
        for (number, first) in (0..all).step_by(most.max(1)).enumerate() {
            let part = batch.part(first, most);
            let share = part.inputs.len() as f64 / all as f64;
            let loss = match &*self.prior {
                Prior::Gpt(gpt) if self.training.checkpoint_blocks => {
                    let seed = [seed, number as u64];
                    Checkpointed::new(self, gpt, &part, seed).backward(share, &mut accumulator)
                }
                _ => self.backward(&part, share, &mut accumulator),
            };
            nats += share * loss;
        }
        (accumulator.grads(), nats)
    }

    /// The mean loss of a part of a batch. Its gradient, times the part's share of the batch, is added to `sum`.
    fn backward(&self, part: &Batch, share: f64, sum: &mut GradientsAccumulator<Prior>) -> f64 {
        let loss = losses(&self.prior, &self.config, part, &self.device).mean();
        let nats = loss.clone().into_scalar::<f32>();
        let loss = loss * share as f32;
        let gradients = GradientsParams::from_grads(loss.backward(), &*self.prior);
        sum.accumulate(&*self.prior, gradients);
        f64::from(nats)
    }

    /// Leaves the condition out with probability `condition_dropout`: a token that no condition has stands in the place
    /// of each of its tokens.
    fn leave_out(&self, batch: &mut Batch, random: &mut ChaCha8Rng) {
        if self.training.condition_dropout <= 0.0 {
            return;
        }
        let tokens = self.config.condition.tokens_before();
        for (sequence, dropped) in batch.inputs.iter_mut().zip(&mut batch.dropped) {
            *dropped = random.random::<f64>() < self.training.condition_dropout;
            if let (true, Some(nothing)) = (*dropped, self.config.nothing_token) {
                sequence[..tokens].fill(nothing as i64);
            }
        }
    }

    /// Replaces input codes by random ones with probability 1 − `pkeep`; the targets stay clean.
    fn corrupt(&self, inputs: &mut [Vec<i64>], random: &mut ChaCha8Rng) {
        if self.training.pkeep >= 1.0 {
            return;
        }
        let vocabulary = self
            .config
            .nothing_token
            .unwrap_or(self.config.vocabulary_size) as i64;
        let condition = self.config.condition.tokens_before();
        for code in inputs
            .iter_mut()
            .flat_map(|sequence| &mut sequence[condition..])
        {
            if random.random::<f64>() >= self.training.pkeep {
                *code = random.random_range(0..vocabulary);
            }
        }
    }

    /// The optimiser, and the weights where the model has their averages, to be saved beside the model.
    pub fn state(&self) -> TensorMap {
        let mut state = self.adam.state("adam.");
        if self.average.is_some() {
            state.extend(parameters(&*self.prior, WEIGHTS, str::to_string));
        }
        state
    }

    /// Takes up a state written by [`PriorTrainer::state`] and the network that was saved with it.
    ///
    /// # Errors
    /// A state that does not fit the network.
    pub fn load(&mut self, prior: Prior, state: &TensorMap) -> Result<()> {
        let prior = prior.with_precision(self.training.precision);
        self.average = self.average_of(prior.valid());
        let has_weights = state.keys().any(|key| key.starts_with(WEIGHTS));
        *self.prior = match self.average.is_some() && has_weights {
            true => load_parameters(prior, state, WEIGHTS, str::to_string)?,
            false => prior,
        };
        let device = self.device.clone();
        self.adam.load(&*self.prior, state, "adam.", &device)
    }
}

impl Batch {
    fn new(config: &PriorConfig, set: &dyn Sequences, pictures: &[usize]) -> Result<Self> {
        let inputs = sequences(config, set, pictures)?;
        Ok(Self {
            targets: inputs.clone(),
            inputs,
            texts: texts(config, set, pictures)?,
            dropped: vec![false; pictures.len()],
        })
    }

    /// At most `count` sequences, from number `first` on.
    fn part(&self, first: usize, count: usize) -> Self {
        let end = first.saturating_add(count).min(self.inputs.len());
        Self {
            inputs: self.inputs[first..end].to_vec(),
            targets: self.targets[first..end].to_vec(),
            texts: self.texts[first..end].to_vec(),
            dropped: self.dropped[first..end].to_vec(),
        }
    }

    /// The vectors before the tokens, `[b, vectors, width]`, where the condition is a text.
    fn prefix(&self, gpt: &Gpt, device: &Device) -> Option<Tensor<3>> {
        let text = gpt.text.as_ref()?;
        let length = self.texts.first().map_or(0, Vec::len);
        let data = TensorData::new(self.texts.concat(), Shape::from([self.texts.len(), length]));
        let texts = Tensor::<2>::from_data(data, device);
        Some(text.forward_training(texts, &self.dropped))
    }
}

/// The vectors of the pictures' texts; empty ones where the condition is no text.
fn texts(config: &PriorConfig, set: &dyn Sequences, pictures: &[usize]) -> Result<Vec<Vec<f32>>> {
    let Condition::Text(condition) = &config.condition else {
        return Ok(vec![Vec::new(); pictures.len()]);
    };
    let vector = |&picture: &usize| {
        let vector = set.text(picture);
        if vector.len() == condition.length {
            return Ok(vector);
        }
        Err(Error::input(format!(
            "the codes come with texts of {} numbers, but this prior reads {}",
            vector.len(),
            condition.length
        )))
    };
    pictures.iter().map(vector).collect()
}

/// Minus the log-probability in nats of every code of every row, `[rows · codes]`: each given the condition and the
/// codes of `inputs` before it. For conditions of tokens.
pub fn next_code_loss(
    prior: &Prior,
    config: &PriorConfig,
    inputs: &[Vec<i64>],
    targets: &[Vec<i64>],
    device: &Device,
) -> Tensor<1> {
    let logits = code_logits(prior, config, token_tensor(inputs, device));
    code_losses(config, logits, targets, device)
}

fn losses(prior: &Prior, config: &PriorConfig, batch: &Batch, device: &Device) -> Tensor<1> {
    let tokens = token_tensor(&batch.inputs, device);
    let logits = match prior {
        Prior::Gpt(gpt) => logits_after(gpt, config, batch.prefix(gpt, device), tokens),
        Prior::PixelSnail(network) => network.forward(tokens),
    };
    code_losses(config, logits, &batch.targets, device)
}

/// The losses of `logits` `[b, codes, vocabulary]`, `[b · codes]`; rows of targets begin with the condition's tokens.
fn code_losses(
    config: &PriorConfig,
    logits: Tensor<3>,
    targets: &[Vec<i64>],
    device: &Device,
) -> Tensor<1> {
    let [batch, codes, vocabulary] = logits.dims();
    let first = config.condition.tokens_before();
    let targets = token_tensor(targets, device)
        .slice([0..batch, first..first + codes])
        .reshape([batch * codes]);
    ops::cross_entropy(logits.reshape([batch * codes, vocabulary]), targets)
}

/// Logits `[b, codes, vocabulary]` for every code of `tokens` `[b, condition + codes]`.
pub fn code_logits(prior: &Prior, config: &PriorConfig, tokens: Tensor<2, Int>) -> Tensor<3> {
    match prior {
        Prior::Gpt(gpt) => logits_after(gpt, config, None, tokens),
        Prior::PixelSnail(network) => network.forward(tokens),
    }
}

/// [`code_logits`] of a GPT with vectors `[b, count, width]` before the tokens.
fn logits_after(
    gpt: &Gpt,
    config: &PriorConfig,
    prefix: Option<Tensor<3>>,
    tokens: Tensor<2, Int>,
) -> Tensor<3> {
    let logits = gpt.forward_vectors(vectors_read(gpt, prefix, tokens));
    logits_of_codes(config, logits)
}

/// What a GPT reads, `[b, t, width]`: vectors before the tokens, and the embeddings of all tokens but the last.
fn vectors_read(gpt: &Gpt, prefix: Option<Tensor<3>>, tokens: Tensor<2, Int>) -> Tensor<3> {
    let [batch, length] = tokens.dims();
    let read = gpt.tok_emb.forward(tokens.slice([0..batch, 0..length - 1]));
    match prefix {
        Some(prefix) => Tensor::cat(vec![prefix, read], 1),
        None => read,
    }
}

/// Of `logits` `[b, t, vocabulary]` after every position those for codes, `[b, codes, vocabulary]`.
fn logits_of_codes(config: &PriorConfig, logits: Tensor<3>) -> Tensor<3> {
    let [batch, positions, _] = logits.dims();
    let first = config.condition.length();
    if first == 1 {
        return logits;
    }
    logits.slice([0..batch, first - 1..positions, 0..config.vocabulary_size])
}

/// Mean nats per code of each picture of `set`, in batches.
///
/// # Errors
/// A set without the condition that the prior is for.
pub fn nats_per_code(
    prior: &Prior,
    config: &PriorConfig,
    set: &dyn Sequences,
    pictures: &[usize],
    device: &Device,
) -> Result<Vec<f64>> {
    let all = nats_of_codes(prior, config, set, pictures, device)?;
    let mean = |codes: &Vec<f64>| codes.iter().sum::<f64>() / codes.len() as f64;
    Ok(all.iter().map(mean).collect())
}

/// The nats of every code of each picture of `set`, in the order of the prior; in batches.
///
/// # Errors
/// A set without the condition that the prior is for.
pub fn nats_of_codes(
    prior: &Prior,
    config: &PriorConfig,
    set: &dyn Sequences,
    pictures: &[usize],
    device: &Device,
) -> Result<Vec<Vec<f64>>> {
    let mut all = Vec::with_capacity(pictures.len());
    for chunk in pictures.chunks(MEASURED) {
        let batch = Batch::new(config, set, chunk)?;
        let losses = host_values(losses(prior, config, &batch, device));
        let rows = losses.chunks_exact(losses.len() / chunk.len());
        all.extend(rows.map(|row| {
            row.iter()
                .map(|&loss| f64::from(loss))
                .collect::<Vec<f64>>()
        }));
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
