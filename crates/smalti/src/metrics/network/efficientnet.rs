//! EfficientNet-lite0 up to its features; `weights::efficientnet` says what it consists of.

use super::folded::Folded;
use crate::checkpoint::TensorMap;
use crate::error::Result;
use crate::ops::Activation;
use crate::weights::classifier::NormalizedConvolution;
use crate::weights::efficientnet::{self, blocks};
use burn::tensor::{Device, Tensor};

/// The network.
#[derive(Debug, Clone)]
pub(super) struct EfficientNet {
    stem: Folded,
    blocks: Vec<Block>,
    head: Folded,
}

/// An inverted bottleneck.
#[derive(Debug, Clone)]
struct Block {
    expand: Option<Folded>,
    depthwise: Folded,
    project: Folded,
    skips: bool,
}

impl EfficientNet {
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn new(weights: &TensorMap, device: &Device) -> Result<Self> {
        let folded = |layer: &NormalizedConvolution| Folded::new(layer, weights, device);
        let block = |block: &efficientnet::Block| -> Result<Block> {
            Ok(Block {
                expand: block.expand.as_ref().map(folded).transpose()?,
                depthwise: folded(&block.depthwise)?,
                project: folded(&block.project)?,
                skips: block.skips,
            })
        };
        Ok(Self {
            stem: folded(&efficientnet::stem())?,
            blocks: blocks().iter().map(block).collect::<Result<_>>()?,
            head: folded(&efficientnet::head())?,
        })
    }

    /// `[n, h, w, 3]` to `[n, h', w', 1280]`.
    pub fn forward(&self, pixels: Tensor<4>) -> Tensor<4> {
        let mut hidden = self.stem.forward(pixels, Activation::Relu6);
        for block in &self.blocks {
            hidden = block.forward(hidden);
        }
        self.head.forward(hidden, Activation::Relu6)
    }
}

impl Block {
    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let residual = self.skips.then(|| input.clone());
        let wide = match &self.expand {
            Some(expand) => expand.forward(input, Activation::Relu6),
            None => input,
        };
        let wide = self.depthwise.forward_depthwise(wide, Activation::Relu6);
        self.project.forward_residual(wide, residual)
    }
}
