//! Gradient checkpointing (Chen et al., "Training deep nets with sublinear memory cost", 2016): of every block of a GPT
//! only the input is kept, and the block runs again, with a graph, when its gradients are computed.

use super::{Batch, PriorTrainer, code_losses, logits_of_codes, vectors_read};
use crate::prior::codes::token_tensor;
use crate::prior::{Gpt, Prior};
use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Gradients, Tensor};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// A part of a batch on its way through the network.
pub(super) struct Checkpointed<'a> {
    trainer: &'a PriorTrainer,
    gpt: &'a Gpt,
    part: &'a Batch,
    /// What the masks of the embeddings and of each block are drawn from, so that they are the same when these run
    /// again; empty where nothing is dropped.
    seeds: Vec<u64>,
}

impl<'a> Checkpointed<'a> {
    /// `gpt` is the trainer's; the seeds are the step's and the number of the part.
    pub(super) fn new(
        trainer: &'a PriorTrainer,
        gpt: &'a Gpt,
        part: &'a Batch,
        [step, number]: [u64; 2],
    ) -> Self {
        let config = &trainer.config;
        let dropouts = [
            config.embedding_dropout,
            config.residual_dropout,
            config.attention_dropout,
        ];
        let drops = dropouts.iter().any(|&dropout| dropout > 0.0);
        let count = if drops { 1 + gpt.blocks.len() } else { 0 };
        let mut random = ChaCha8Rng::seed_from_u64(step);
        random.set_stream(number);
        Self {
            trainer,
            gpt,
            part,
            seeds: (0..count).map(|_| random.random()).collect(),
        }
    }

    /// The mean loss of the part. Its gradient, times the part's share of the batch, is added to `sum`.
    pub(super) fn backward(&self, share: f64, sum: &mut GradientsAccumulator<Prior>) -> f64 {
        let (mut inputs, output) = self.forward();
        let output = leaf(output);
        let loss = self.loss(output.clone());
        let nats = loss.clone().into_scalar::<f32>();
        let mut gradient = self.gradient_at(&output, loss * share as f32, sum);
        while let Some(input) = inputs.pop() {
            let input = leaf(input);
            let output = self.block(self.gpt, inputs.len(), input.clone());
            gradient = self.gradient_at(&input, continued(output, gradient), sum);
        }
        let embeddings = self.embeddings(self.gpt);
        self.add(continued(embeddings, gradient).backward(), sum);
        f64::from(nats)
    }

    /// What each block reads, and what the last one makes; without a graph.
    fn forward(&self) -> (Vec<Tensor<3>>, Tensor<3>) {
        // Unlike `valid`, this leaves dropout at work.
        let gpt = self.gpt.clone().no_grad();
        let mut hidden = self.embeddings(&gpt);
        let mut inputs = Vec::with_capacity(gpt.blocks.len());
        for number in 0..gpt.blocks.len() {
            inputs.push(hidden.clone());
            hidden = self.block(&gpt, number, hidden);
        }
        (inputs, hidden)
    }

    fn embeddings(&self, gpt: &Gpt) -> Tensor<3> {
        self.seed(0);
        let device = &self.trainer.device;
        let tokens = token_tensor(&self.part.inputs, device);
        gpt.enter(vectors_read(gpt, self.part.prefix(gpt, device), tokens))
    }

    fn block(&self, gpt: &Gpt, number: usize, input: Tensor<3>) -> Tensor<3> {
        self.seed(1 + number);
        gpt.block(number, input)
    }

    fn loss(&self, hidden: Tensor<3>) -> Tensor<1> {
        let (config, device) = (&self.trainer.config, &self.trainer.device);
        let logits = logits_of_codes(config, self.gpt.logits(hidden));
        code_losses(config, logits, &self.part.targets, device).mean()
    }

    fn seed(&self, place: usize) {
        if let Some(&seed) = self.seeds.get(place) {
            self.trainer.device.seed(seed);
        }
    }

    /// The gradient of `loss` at `read`, a leaf that it was computed from; those of parameters are added to `sum`.
    fn gradient_at(
        &self,
        read: &Tensor<3>,
        loss: Tensor<1>,
        sum: &mut GradientsAccumulator<Prior>,
    ) -> Tensor<3> {
        let mut gradients = loss.backward();
        let gradient = read
            .grad_remove(&mut gradients)
            .expect("the loss was computed from the leaf");
        self.add(gradients, sum);
        gradient
    }

    fn add(&self, gradients: Gradients, sum: &mut GradientsAccumulator<Prior>) {
        let prior = &*self.trainer.prior;
        sum.accumulate(prior, GradientsParams::from_grads(gradients, prior));
    }
}

/// A tensor from which a graph begins.
fn leaf(tensor: Tensor<3>) -> Tensor<3> {
    tensor.detach().require_grad()
}

/// A number whose gradient at `output` is `gradient`, which has no graph.
fn continued(output: Tensor<3>, gradient: Tensor<3>) -> Tensor<1> {
    (output * Tensor::from_inner(gradient)).sum()
}
