//! Causal convolutions, and the gated residual block made of them (that of PixelSNAIL and, before it, of PixelCNN++).

use crate::initializer::Initializer;
use crate::layers::Conv2d;
use crate::ops::{self, Convolution, Padding};
use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig};
use burn::tensor::Tensor;

/// Two convolutions, the second of which is half a gate, added to their input.
#[derive(Module, Debug)]
pub struct GatedResidual {
    pub conv1: Conv2d,
    pub conv2: Conv2d,
    /// 1×1, of what comes from elsewhere.
    pub auxiliary: Option<Conv2d>,
    /// 1×1, of the condition.
    pub condition: Option<Conv2d>,
    drop: Dropout,
}

/// A convolution that sees `kernel` rows and columns, of which its own are the last (down-right shifted).
fn causal(init: &mut Initializer, channels: [usize; 2], kernel: usize) -> Conv2d {
    let padding = Padding {
        top: kernel - 1,
        left: kernel - 1,
        ..Padding::default()
    };
    Conv2d::new(init, channels, kernel, Convolution { stride: 1, padding })
}

impl GatedResidual {
    /// A block over `channels` with `hidden` ones inside.
    pub(super) fn new(
        init: &mut Initializer,
        [channels, hidden]: [usize; 2],
        kernel: usize,
        dropout: f64,
    ) -> Self {
        Self {
            conv1: causal(init, [channels, hidden], kernel),
            conv2: causal(init, [hidden, 2 * channels], kernel),
            auxiliary: None,
            condition: None,
            drop: DropoutConfig::new(dropout).init(),
        }
    }

    /// The same with `channels` from elsewhere.
    pub(super) fn with_auxiliary(self, init: &mut Initializer, channels: usize) -> Self {
        let hidden = self.conv1.weight.dims()[0];
        Self {
            auxiliary: Some(Conv2d::pointwise(init, [channels, hidden])),
            ..self
        }
    }

    /// The same with a condition of `channels`.
    pub(super) fn with_condition(self, init: &mut Initializer, channels: usize) -> Self {
        let gated = self.conv2.weight.dims()[0];
        Self {
            condition: Some(Conv2d::pointwise(init, [channels, gated]).without_bias()),
            ..self
        }
    }

    /// `[b, h, w, channels]` to the same; `auxiliary` is `[b, h, w, its channels]`, and `condition` has one cell or as
    /// many as the input.
    pub(super) fn forward(
        &self,
        input: Tensor<4>,
        auxiliary: Option<Tensor<4>>,
        condition: Option<&Tensor<4>>,
    ) -> Tensor<4> {
        let activated = ops::elu(input.clone());
        let hidden = match (&self.auxiliary, auxiliary) {
            (Some(layer), Some(auxiliary)) => {
                let beside = layer.forward(ops::elu(auxiliary));
                self.conv1.forward_residual(activated, beside)
            }
            _ => self.conv1.forward(activated),
        };
        let gated = self.conv2.forward(self.drop.forward(ops::elu(hidden)));
        let gated = match (&self.condition, condition) {
            (Some(layer), Some(condition)) => gated + layer.forward(condition.clone()),
            _ => gated,
        };
        input + ops::gated(gated)
    }
}
