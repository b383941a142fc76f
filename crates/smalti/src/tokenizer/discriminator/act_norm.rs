//! ActNorm (taming/modules/util.py; Kingma and Dhariwal, "Glow", 2018): an affine map of every channel that starts as
//! the normalisation of the first batch and is learned from there.

use crate::checkpoint::host_values;
use crate::initializer::Initializer;
use crate::ops::Filter;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// `scale` · (x + `loc`), both `[1, channels, 1, 1]`.
///
/// The authors keep a flag `initialized` beside. Here a layer has seen no data as long as `loc` is 0 and `scale` is 1
/// in every channel: no batch has such statistics, and nothing moves the parameters before the first.
#[derive(Module, Debug)]
pub struct ActNorm {
    pub loc: Param<Tensor<4>>,
    pub scale: Param<Tensor<4>>,
}

impl ActNorm {
    /// A layer that passes everything on until it is initialised.
    pub fn new(init: &Initializer, channels: usize) -> Self {
        Self {
            loc: init.constant([1, channels, 1, 1], 0.0),
            scale: init.constant([1, channels, 1, 1], 1.0),
        }
    }

    /// Whether it has seen a first batch.
    pub fn is_initialized(&self) -> bool {
        let all = |values: Vec<f32>, fresh: f32| values.iter().all(|&value| value == fresh);
        !(all(host_values(self.loc.val()), 0.0) && all(host_values(self.scale.val()), 1.0))
    }

    /// Takes mean and unbiased standard deviation of every channel of `[b, h, w, channels]`, so that this very batch
    /// becomes normalised.
    pub fn initialize(&mut self, input: Tensor<4>) {
        let [batch, height, width, channels] = input.dims();
        let rows: Tensor<2> = input
            .without_autodiff()
            .reshape([batch * height * width, channels]);
        let (variance, mean) = rows.var_mean(0);
        self.loc = with_values(&self.loc, mean.neg());
        self.scale = with_values(&self.scale, (variance.sqrt() + 1e-6).recip());
    }

    /// The filter of a convolution with this layer after it: one convolution does the work of both.
    pub fn fold(&self, filter: Filter) -> Filter {
        let channels = filter.weight.dims()[0];
        let loc: Tensor<1> = self.loc.val().reshape([channels]);
        let scale: Tensor<1> = self.scale.val().reshape([channels]);
        let bias = match filter.bias {
            Some(bias) => bias + loc,
            None => loc,
        };
        Filter {
            weight: filter.weight * scale.clone().reshape([channels, 1, 1, 1]),
            bias: Some(bias * scale),
        }
    }
}

/// The same parameter with other values, `[1, channels]`.
fn with_values(param: &Param<Tensor<4>>, values: Tensor<2>) -> Param<Tensor<4>> {
    let shape = param.dims();
    param.clone().map(|old| {
        let values = values.reshape(shape).into_data();
        let new: Tensor<4> = Tensor::from_data(values, &old.device());
        new.set_require_grad(old.is_require_grad())
    })
}
