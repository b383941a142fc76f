//! LPIPS: how different two pictures look to a person, by the features of a trained classifier
//! (taming/modules/losses/lpips.py; Zhang et al., CVPR 2018, version 0.1).

use crate::checkpoint::{HostTensor, TensorMap};
use crate::error::{Error, Result};
use crate::layers::Conv2d;
use crate::ops::{self, Activation, Convolution, Padding, Precision};
use crate::weights::catalogue::Architecture;
use burn::module::{Module, Param};
use burn::tensor::{Device, Shape, Tensor, TensorData};

/// How a convolution of a classifier moves, and what surrounds it.
struct Stage {
    convolution: Convolution,
    /// Max pooling before it, as (size, stride).
    pool: Option<(usize, usize)>,
    /// Whether its activation is one of the five that are compared.
    compared: bool,
}

fn stages(architecture: Architecture) -> Vec<Stage> {
    let vgg = |index| Stage {
        convolution: Convolution::padded(1),
        pool: [5, 10, 17, 24].contains(&index).then_some((2, 2)),
        compared: [2, 7, 14, 21, 28].contains(&index),
    };
    let alex = |index| Stage {
        convolution: match index {
            0 => Convolution {
                stride: 4,
                padding: Padding::all(2),
            },
            3 => Convolution::padded(2),
            _ => Convolution::padded(1),
        },
        pool: [3, 6].contains(&index).then_some((3, 2)),
        compared: true,
    };
    let convolutions = architecture.convolutions().iter();
    convolutions
        .map(|convolution| match architecture {
            Architecture::Vgg => vgg(convolution.index),
            Architecture::Alex => alex(convolution.index),
        })
        .collect()
}

/// The smallest picture side whose features still have a pixel.
pub fn smallest_side(architecture: Architecture) -> usize {
    match architecture {
        Architecture::Vgg => 16,
        Architecture::Alex => 31,
    }
}

/// The network that weights belong to: VGG16 alone has so many convolutions.
fn architecture_of(weights: &TensorMap) -> Result<Architecture> {
    let belongs = |architecture: &Architecture| {
        let last = architecture
            .convolutions()
            .last()
            .map_or(0, |convolution| convolution.index);
        weights.contains_key(&format!("features.{last}.weight"))
    };
    Architecture::ALL.into_iter().find(belongs).ok_or_else(|| {
        Error::input("these are not LPIPS weights: no features of VGG16 or AlexNet in them")
    })
}

/// The mean and deviation of ImageNet's colours, for pixels in [-1, 1].
const SHIFT: [f32; 3] = [-0.030, -0.088, -0.188];
const SCALE: [f32; 3] = [0.458, 0.448, 0.450];

/// The LPIPS distance, without the training-time dropout of the authors' heads. Its weights never change.
#[derive(Debug, Clone)]
pub struct Lpips {
    pub architecture: Architecture,
    convs: Vec<Conv2d>,
    heads: Vec<Tensor<1>>,
    shift: Tensor<4>,
    scale: Tensor<4>,
    precision: Precision,
}

impl Lpips {
    /// Builds the network from weights under the keys `features.N.{weight,bias}` (torchvision's) and
    /// `linK.model.1.weight` (the lpips heads).
    ///
    /// # Errors
    /// A missing tensor or one of another shape, named.
    pub fn new(weights: &TensorMap, device: &Device) -> Result<Self> {
        let architecture = architecture_of(weights)?;
        let device = device.clone().inner();
        let mut convs = Vec::new();
        for (shape, stage) in architecture.convolutions().iter().zip(stages(architecture)) {
            let kernel = [shape.output, shape.input, shape.kernel, shape.kernel];
            let key = format!("features.{}", shape.index);
            let weight = load::<4>(weights, &format!("{key}.weight"), &kernel, kernel, &device)?;
            let bias = load::<1>(
                weights,
                &format!("{key}.bias"),
                &[shape.output],
                [shape.output],
                &device,
            )?;
            convs.push(Conv2d {
                weight: Param::from_tensor(weight).set_require_grad(false),
                bias: Some(Param::from_tensor(bias).set_require_grad(false)),
                convolution: stage.convolution,
            });
        }
        let mut heads = Vec::new();
        for (index, width) in architecture.heads().into_iter().enumerate() {
            let key = format!("lin{index}.model.1.weight");
            heads.push(load(weights, &key, &[1, width, 1, 1], [width], &device)?);
        }
        let colour = |values: [f32; 3]| {
            Tensor::from_data(
                TensorData::new(values.to_vec(), Shape::from([1, 1, 1, 3])),
                &device,
            )
        };
        Ok(Self {
            architecture,
            convs,
            heads,
            shift: colour(SHIFT),
            scale: colour(SCALE),
            precision: Precision::F32,
        })
    }

    /// The same network with features in another format.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// How many numbers its convolutions hold.
    pub fn num_params(&self) -> usize {
        self.convs.iter().map(Module::num_params).sum()
    }

    /// The distance of each pair of pictures `[b, h, w, 3 or 1]` in [-1, 1]: `[b]`. Gradients flow to both.
    pub fn distance(&self, left: Tensor<4>, right: Tensor<4>) -> Tensor<1> {
        let (left, right) = (self.features(left), self.features(right));
        let mut total: Option<Tensor<1>> = None;
        for ((left, right), head) in left.into_iter().zip(right).zip(&self.heads) {
            let layer = ops::feature_distance(left, right, head.clone());
            total = Some(match total {
                Some(total) => total + layer,
                None => layer,
            });
        }
        total.expect("both architectures compare five activations")
    }

    fn features(&self, pixels: Tensor<4>) -> Vec<Tensor<4>> {
        // One channel (depth) is broadcast to three here, as in the authors' scaling layer.
        let hidden = (pixels - self.shift.clone()) / self.scale.clone();
        let mut hidden = self.precision.of(hidden);
        let mut compared = Vec::new();
        for (stage, conv) in stages(self.architecture).iter().zip(&self.convs) {
            if let Some((size, stride)) = stage.pool {
                hidden = ops::max_pool(hidden, size, stride);
            }
            hidden = conv.forward_activated(hidden, Activation::Relu);
            if stage.compared {
                compared.push(hidden.clone());
            }
        }
        compared
    }
}

fn tensor<'a>(weights: &'a TensorMap, key: &str) -> Result<&'a HostTensor> {
    weights
        .get(key)
        .ok_or_else(|| Error::input(format!("LPIPS weights: `{key}` is missing")))
}

/// A tensor that lies in the file as `stored`, as `shape`.
fn load<const D: usize>(
    weights: &TensorMap,
    key: &str,
    stored: &[usize],
    shape: [usize; D],
    device: &Device,
) -> Result<Tensor<D>> {
    let tensor = tensor(weights, key)?;
    match tensor.as_f32() {
        Some(values) if tensor.shape == stored => Ok(Tensor::from_data(
            TensorData::new(values.to_vec(), Shape::from(shape)),
            device,
        )),
        _ => Err(Error::input(format!(
            "LPIPS weights: `{key}` has shape {:?}; {stored:?} is expected",
            tensor.shape
        ))),
    }
}
