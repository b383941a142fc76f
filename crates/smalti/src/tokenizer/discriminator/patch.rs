//! The patch discriminator: says for every patch of a picture whether it is real (`NLayerDiscriminator` of
//! taming/modules/discriminator/model.py).

use super::act_norm::ActNorm;
use super::config::{DiscriminatorConfig, DiscriminatorNorm};
use super::signal::Signal;
use crate::initializer::Initializer;
use crate::layers::{BatchNorm, Conv2d};
use crate::ops::{Convolution, Padding, Precision};
use burn::module::Module;
use burn::tensor::Tensor;

/// PatchGAN. It only ever runs in training, so batch normalisation always uses the statistics of its batch.
#[derive(Module, Debug)]
pub struct PatchDiscriminator {
    pub convs: Vec<Conv2d>,
    /// One after every convolution but the first and the last, or none at all.
    pub norms: Vec<Norm>,
}

/// Either of the normalisations.
#[derive(Module, Debug)]
pub enum Norm {
    Batch(BatchNorm),
    Act(ActNorm),
}

impl PatchDiscriminator {
    /// `layers` convolutions of stride 2, widths doubling from `channels` to at most eight times that, then two of
    /// stride 1 (paper: 3 layers, 64 channels). Weights N(0, 0.02), scales of batch normalisation N(1, 0.02).
    pub fn new(init: &mut Initializer, in_channels: usize, config: &DiscriminatorConfig) -> Self {
        let width = |layer: usize| config.channels * (1 << layer.min(3));
        // Batch normalisation takes the mean away, and a bias with it.
        let bias = config.norm != DiscriminatorNorm::Batch;
        let mut convs = vec![convolution(init, [in_channels, config.channels], 2, true)];
        let mut norms = Vec::new();
        for layer in 1..=config.layers {
            let stride = if layer == config.layers { 1 } else { 2 };
            let shape = [width(layer - 1), width(layer)];
            convs.push(convolution(init, shape, stride, bias));
            norms.extend(norm(init, shape[1], config.norm));
        }
        convs.push(convolution(init, [width(config.layers), 1], 1, true));
        Self { convs, norms }
    }

    /// The smallest picture side that leaves at least one logit.
    pub fn smallest_side(layers: usize) -> usize {
        // Each stride-1 4×4 convolution with padding 1 takes one pixel off; the strided ones halve.
        3 << layers
    }

    pub(super) fn run(&self, signal: Signal) -> Signal {
        let last = self.convs.len() - 1;
        let mut hidden = self.first(signal);
        for index in 1..last {
            hidden = self.between(index, hidden);
        }
        hidden.convolve(self.convs[last].filter(), self.convs[last].convolution)
    }

    fn first(&self, signal: Signal) -> Signal {
        signal.convolve_activated(self.convs[0].filter(), self.convs[0].convolution)
    }

    /// Convolution number `index` with what follows it.
    fn between(&self, index: usize, signal: Signal) -> Signal {
        let (filter, convolution) = (self.convs[index].filter(), self.convs[index].convolution);
        match self.norms.get(index - 1) {
            Some(Norm::Batch(norm)) => signal
                .convolve(filter, convolution)
                .normalize_activated(norm),
            Some(Norm::Act(norm)) => signal.convolve_activated(norm.fold(filter), convolution),
            None => signal.convolve_activated(filter, convolution),
        }
    }

    pub(super) fn is_initialized(&self) -> bool {
        self.norms.iter().all(|norm| match norm {
            Norm::Batch(_) => true,
            Norm::Act(norm) => norm.is_initialized(),
        })
    }

    pub(super) fn initialize(mut self, pixels: Tensor<4>) -> Self {
        if self.is_initialized() {
            return self;
        }
        // Statistics of the first batch are taken in f32, whatever the training computes in.
        let mut hidden = self.first(Signal::plain(Precision::F32.of(pixels)));
        for index in 1..self.convs.len() - 1 {
            if let Some(Norm::Act(norm)) = self.norms.get_mut(index - 1)
                && !norm.is_initialized()
            {
                norm.initialize(self.convs[index].forward(hidden.value.clone()));
            }
            hidden = self.between(index, hidden);
        }
        self
    }
}

fn norm(init: &mut Initializer, channels: usize, kind: DiscriminatorNorm) -> Option<Norm> {
    match kind {
        DiscriminatorNorm::Batch => Some(Norm::Batch(BatchNorm::new(init, channels))),
        DiscriminatorNorm::Act => Some(Norm::Act(ActNorm::new(init, channels))),
        DiscriminatorNorm::None => None,
    }
}

fn convolution(init: &mut Initializer, channels: [usize; 2], stride: usize, bias: bool) -> Conv2d {
    let shape = Convolution {
        stride,
        padding: Padding::all(1),
    };
    let mut conv = Conv2d::new(init, channels, 4, shape);
    conv.weight = init.normal([channels[1], channels[0], 4, 4], 0.02);
    if !bias {
        conv.bias = None;
    }
    conv
}
