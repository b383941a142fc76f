//! One step of stage 2 (`Net2NetTransformer` of taming/models/cond_transformer.py).

use super::codes::{CodeSet, token_tensor};
use super::config::PriorConfig;
use super::gpt::Gpt;
use super::recipe::PriorTraining;
use crate::checkpoint::{TensorMap, host_values};
use crate::error::Result;
use crate::initializer::Initializer;
use crate::ops;
use crate::training::{Adam, Owned};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// The network and optimiser of a stage-2 training.
pub struct PriorTrainer {
    pub gpt: Owned<Gpt>,
    config: PriorConfig,
    training: PriorTraining,
    adam: Adam,
    device: Device,
}

impl PriorTrainer {
    /// A fresh network on an autodiff device.
    pub fn new(config: &PriorConfig, training: &PriorTraining, device: &Device) -> Self {
        let mut init = Initializer::seeded(device, training.seed);
        Self {
            gpt: Owned::new(Gpt::new(&mut init, config).with_precision(training.precision)),
            config: config.clone(),
            adam: Adam::new(training.adam()),
            training: training.clone(),
            device: device.clone(),
        }
    }

    /// One step on these pictures of `set`; returns the mean loss in nats per code. `step` seeds all that is random.
    pub fn step(
        &mut self,
        set: &CodeSet,
        pictures: &[usize],
        learning_rate: f64,
        step: u64,
    ) -> Result<f64> {
        let mut random = ChaCha8Rng::seed_from_u64(self.training.seed);
        random.set_stream(step);
        // Dropout masks come from the device's own generator.
        self.device.seed(random.random());
        let mut inputs = sequences(&self.config, set, pictures)?;
        let targets = inputs.clone();
        self.corrupt(&mut inputs, &mut random);
        let loss = next_code_loss(&self.gpt, &self.config, &inputs, &targets, &self.device).mean();
        let value: f32 = loss.clone().into_scalar();
        let gradients = GradientsParams::from_grads(loss.backward(), &*self.gpt);
        let adam = &mut self.adam;
        self.gpt
            .update(|gpt| adam.step(learning_rate, 1.0, gpt, gradients));
        Ok(f64::from(value))
    }

    /// Replaces input codes by random ones with probability 1 − `pkeep`; the targets stay clean.
    fn corrupt(&self, inputs: &mut [Vec<i64>], random: &mut ChaCha8Rng) {
        if self.training.pkeep >= 1.0 {
            return;
        }
        let vocabulary = self.config.vocabulary_size as i64;
        let condition = self.config.condition.length();
        for code in inputs
            .iter_mut()
            .flat_map(|sequence| &mut sequence[condition..])
        {
            if random.random::<f64>() >= self.training.pkeep {
                *code = random.random_range(0..vocabulary);
            }
        }
    }

    /// The optimiser, to be saved beside the model.
    pub fn state(&self) -> TensorMap {
        self.adam.state("adam.")
    }

    /// Takes up a state written by [`PriorTrainer::state`] and the weights that belong to it.
    pub fn load(&mut self, gpt: Gpt, state: &TensorMap) -> Result<()> {
        *self.gpt = gpt.with_precision(self.training.precision);
        let device = self.device.clone();
        self.adam.load(&*self.gpt, state, "adam.", &device)
    }
}

/// Condition tokens and codes of each picture, one row each.
pub fn sequences(config: &PriorConfig, set: &CodeSet, pictures: &[usize]) -> Result<Vec<Vec<i64>>> {
    pictures
        .iter()
        .map(|&picture| {
            let mut tokens = config.condition.tokens(set.class(picture))?;
            tokens.extend(set.picture(picture));
            Ok(tokens)
        })
        .collect()
}

/// Minus the log-probability in nats of every code of every row, `[rows · codes]`: each given the condition and the codes
/// of `inputs` before it.
pub fn next_code_loss(
    gpt: &Gpt,
    config: &PriorConfig,
    inputs: &[Vec<i64>],
    targets: &[Vec<i64>],
    device: &Device,
) -> Tensor<1> {
    let logits = code_logits(gpt, config, token_tensor(inputs, device));
    let [batch, codes, vocabulary] = logits.dims();
    let first = config.condition.length();
    let targets = token_tensor(targets, device)
        .slice([0..batch, first..first + codes])
        .reshape([batch * codes]);
    ops::cross_entropy(logits.reshape([batch * codes, vocabulary]), targets)
}

/// Logits `[b, codes, vocabulary]` for every code of `tokens` `[b, condition + codes]`.
pub fn code_logits(gpt: &Gpt, config: &PriorConfig, tokens: Tensor<2, Int>) -> Tensor<3> {
    let [batch, length] = tokens.dims();
    let first = config.condition.length();
    let logits = gpt.forward(tokens.slice([0..batch, 0..length - 1]));
    if first == 1 {
        return logits;
    }
    logits.slice([0..batch, first - 1..length - 1, 0..config.vocabulary_size])
}

/// Mean nats per code of each picture of `set`, in batches.
pub fn nats_per_code(
    gpt: &Gpt,
    config: &PriorConfig,
    set: &CodeSet,
    pictures: &[usize],
    device: &Device,
) -> Result<Vec<f64>> {
    let mut all = Vec::with_capacity(pictures.len());
    for chunk in pictures.chunks(8) {
        let rows = sequences(config, set, chunk)?;
        let losses = host_values(next_code_loss(gpt, config, &rows, &rows, device));
        let codes = losses.len() / chunk.len();
        for picture in losses.chunks(codes) {
            all.push(picture.iter().map(|&loss| f64::from(loss)).sum::<f64>() / codes as f64);
        }
    }
    Ok(all)
}
