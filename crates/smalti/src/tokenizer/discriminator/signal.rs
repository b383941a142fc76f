//! What flows through a discriminator: feature maps and, where it is asked for, how fast they change as the pixels move
//! in some direction. The second is forward-mode differentiation. Its result can be differentiated by the parameters
//! once more in the ordinary way, which is how R1 comes by its second derivatives.

use super::blur::blur;
use crate::layers::BatchNorm;
use crate::ops::{self, Activation, Convolution, Filter};
use burn::tensor::Tensor;

/// Feature maps `[b, h, w, c]`, and their rate of change of the same shape.
#[derive(Clone)]
pub struct Signal {
    pub value: Tensor<4>,
    pub tangent: Option<Tensor<4>>,
}

impl Signal {
    /// Pixels alone.
    pub fn plain(pixels: Tensor<4>) -> Self {
        Self {
            value: pixels,
            tangent: None,
        }
    }

    /// Pixels that move along `direction`.
    pub fn moving(pixels: Tensor<4>, direction: Tensor<4>) -> Self {
        Self {
            value: pixels,
            tangent: Some(direction),
        }
    }

    /// A convolution.
    pub fn convolve(self, filter: Filter, convolution: Convolution) -> Self {
        self.convolve_then(filter, convolution, Activation::None)
    }

    /// A convolution and a leaky ReLU.
    pub fn convolve_activated(self, filter: Filter, convolution: Convolution) -> Self {
        let Self { value, tangent } =
            self.convolve_then(filter, convolution, Activation::LeakyRelu);
        Self {
            tangent: tangent.map(|tangent| tangent * slopes(&value)),
            value,
        }
    }

    /// The convolution of the tangent is still to be multiplied with the activation's slopes.
    fn convolve_then(
        self,
        filter: Filter,
        convolution: Convolution,
        activation: Activation,
    ) -> Self {
        let tangent = self.tangent.map(|tangent| {
            let linear = Filter {
                weight: filter.weight.clone(),
                bias: None,
            };
            ops::conv2d(tangent, linear, None, convolution, Activation::None)
        });
        Self {
            value: ops::conv2d(self.value, filter, None, convolution, activation),
            tangent,
        }
    }

    /// Batch normalisation and a leaky ReLU.
    pub fn normalize_activated(self, norm: &BatchNorm) -> Self {
        let Self { value, tangent } = self;
        let tangent = tangent.map(|tangent| normalized_tangent(norm, value.clone(), tangent));
        let value = norm.forward(value, Activation::LeakyRelu);
        Self {
            tangent: tangent.map(|tangent| tangent * slopes(&value)),
            value,
        }
    }

    /// A blur; see [`blur`].
    pub fn blurred(self, padding: usize) -> Self {
        self.map(|maps| blur(maps, padding))
    }

    /// A linear function without offset.
    pub fn map(self, linear: impl Fn(Tensor<4>) -> Tensor<4>) -> Self {
        Self {
            value: linear(self.value),
            tangent: self.tangent.map(linear),
        }
    }

    /// A sum.
    pub fn plus(self, other: Self) -> Self {
        let tangents = self.tangent.zip(other.tangent);
        Self {
            value: self.value + other.value,
            tangent: tangents.map(|(left, right)| left + right),
        }
    }
}

/// The slopes of a leaky ReLU, by what it gave; constants.
fn slopes(activated: &Tensor<4>) -> Tensor<4> {
    let negative = activated.clone().detach().lower_elem(0.0).float();
    negative * -0.8 + 1.0
}

/// How fast `weight` · (x − mean) / deviation changes where x changes by `tangent`. With n the normalised values and
/// t the tangent without its mean, that is `weight` · (t − n · mean(n · t)) / deviation.
fn normalized_tangent(norm: &BatchNorm, input: Tensor<4>, tangent: Tensor<4>) -> Tensor<4> {
    let [batch, height, width, channels] = input.dims();
    let rows = |maps: Tensor<4>| -> Tensor<2> { maps.reshape([batch * height * width, channels]) };
    let (variance, mean) = rows(input.clone()).var_mean_bias(0);
    let deviation = (variance + BatchNorm::EPSILON).sqrt();
    let normalized = (rows(input) - mean) / deviation.clone();
    let tangent = rows(tangent);
    let centred = tangent.clone() - tangent.mean_dim(0);
    let shared = (normalized.clone() * centred.clone()).mean_dim(0);
    let weight = norm.weight.val().reshape([1, channels]);
    ((centred - normalized * shared) / deviation * weight).reshape([batch, height, width, channels])
}
