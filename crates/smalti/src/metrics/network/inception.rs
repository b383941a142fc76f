//! Inception-v3 up to its features, both as FID is measured with and as torchvision has it; `weights::inception` says
//! what it consists of.

use super::folded::Folded;
use crate::checkpoint::TensorMap;
use crate::error::Result;
use crate::ops::{self, Activation, Padding};
use crate::weights::classifier::NormalizedConvolution;
use crate::weights::inception::{Branch, Pooling, blocks};
use burn::tensor::{Device, Tensor};

/// The network.
#[derive(Debug, Clone)]
pub(super) struct Inception {
    blocks: Vec<Vec<Path>>,
}

/// A branch of a block.
#[derive(Debug, Clone)]
struct Path {
    pooling: Option<Pooling>,
    chain: Vec<Folded>,
    fork: Vec<Folded>,
}

impl Inception {
    /// `ported`: with TensorFlow's poolings.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn new(ported: bool, weights: &TensorMap, device: &Device) -> Result<Self> {
        let path = |branch: &Branch| Path::new(branch, weights, device);
        let blocks = blocks(ported);
        let blocks = blocks
            .iter()
            .map(|block| block.iter().map(path).collect::<Result<Vec<Path>>>());
        Ok(Self {
            blocks: blocks.collect::<Result<_>>()?,
        })
    }

    /// `[n, h, w, 3]` to `[n, h', w', 2048]`.
    pub fn forward(&self, pixels: Tensor<4>) -> Tensor<4> {
        let mut hidden = pixels;
        for block in &self.blocks {
            let outputs = block.iter().flat_map(|path| path.forward(hidden.clone()));
            let mut outputs: Vec<Tensor<4>> = outputs.collect();
            hidden = match outputs.len() {
                1 => outputs.remove(0),
                _ => Tensor::cat(outputs, 3),
            };
        }
        hidden
    }
}

impl Path {
    fn new(branch: &Branch, weights: &TensorMap, device: &Device) -> Result<Self> {
        let layers = |layers: &[NormalizedConvolution]| -> Result<Vec<Folded>> {
            layers
                .iter()
                .map(|layer| Folded::new(layer, weights, device))
                .collect()
        };
        Ok(Self {
            pooling: branch.pooling,
            chain: layers(&branch.chain)?,
            fork: layers(&branch.fork)?,
        })
    }

    /// What lies side by side at the path's end.
    fn forward(&self, input: Tensor<4>) -> Vec<Tensor<4>> {
        let mut hidden = match self.pooling {
            None => input,
            Some(Pooling::Halving) => ops::max_pool(input, 3, 2),
            // After a ReLU nothing is below the zeros of the padding, so they are never the largest.
            Some(Pooling::Largest) => ops::max_pool(ops::pad(input, Padding::all(1)), 3, 1),
            Some(Pooling::Mean { counted }) => ops::average_neighbours(input, counted),
        };
        for layer in &self.chain {
            hidden = layer.forward(hidden, Activation::Relu);
        }
        if self.fork.is_empty() {
            return vec![hidden];
        }
        let ends = self.fork.iter();
        ends.map(|layer| layer.forward(hidden.clone(), Activation::Relu))
            .collect()
    }
}
