//! Networks whose features pictures are compared by, and whose classes the Inception Score is made of: what FID, KID,
//! precision and recall take in. Figures of different networks, or of pictures prepared in different ways, have
//! nothing to do with one another; so a network tells its name, the checksum of its weights, and how it prepares
//! pictures.

mod efficientnet;
pub mod file;
mod folded;
mod inception;
mod pictures;
pub mod preprocess;

pub use file::{Features, read_features};
pub use preprocess::{Preprocessing, Resampling};

use crate::checkpoint::TensorMap;
use crate::error::{Error, Result};
use crate::ops::{self, Precision};
use crate::weights::catalogue::Kind;
use crate::weights::classifier::Classifier;
use crate::weights::import::import;
use burn::tensor::{Device, Tensor, activation};
use efficientnet::EfficientNet;
use folded::{means, tensor, values};
use inception::Inception;
use sha2::{Digest, Sha256};
use std::path::Path;

/// Pictures that go through a network at a time: its widest layers take some megabytes for each.
const AT_ONCE: usize = 16;

/// The smallest picture that Inception-v3 leaves a pixel of.
const SMALLEST_INCEPTION: usize = 75;

/// A classifier that gives the features of pictures, and their classes. In f32; its weights never change.
///
/// ```no_run
/// use smalti::metrics::FeatureNetwork;
/// use smalti::{Device, Tensor};
///
/// let file = "assets/weights/efficientnet-lite0.safetensors";
/// let network = FeatureNetwork::open(file.as_ref(), &Device::flex())?;
/// let pixels = Tensor::<4>::zeros([2, 256, 256, 3], &Device::flex());
/// let features = network.features(pixels)?;
/// assert_eq!(features.dims(), [2, network.dimension()]);
/// # Ok::<(), smalti::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct FeatureNetwork {
    classifier: Classifier,
    checksum: String,
    preprocessing: Preprocessing,
    layers: Layers,
    head: Head,
}

#[derive(Debug, Clone)]
enum Layers {
    Inception(Inception),
    EfficientNet(Box<EfficientNet>),
}

/// The last layer: `weight` `[classes, d]`, `bias` `[classes]`.
#[derive(Debug, Clone)]
struct Head {
    weight: Tensor<2>,
    bias: Tensor<1>,
}

impl FeatureNetwork {
    /// Reads a classifier's weights, published or imported, and finds out which one they are of.
    ///
    /// # Errors
    /// What reading the file says; [`Error::File`] when they are of no classifier.
    pub fn open(path: &Path, device: &Device) -> Result<Self> {
        let (kind, weights) = import(&[path], None)?;
        match kind {
            Kind::Classifier(classifier) => Self::new(classifier, &weights, device),
            Kind::Lpips(_) | Kind::Hed => Err(Error::file(
                path,
                format!(
                    "these are the weights `{}`; features come from a classifier, `inception-fid` for one",
                    kind.network().name
                ),
            )),
        }
    }

    /// Builds the network from weights under the keys of [`Classifier::tensors`], with its usual preprocessing:
    /// pytorch-fid's for FID's Inception-v3.
    ///
    /// # Errors
    /// A missing tensor or one of another shape, named.
    pub fn new(classifier: Classifier, weights: &TensorMap, device: &Device) -> Result<Self> {
        let device = device.clone().inner();
        let inception = |ported| Inception::new(ported, weights, &device).map(Layers::Inception);
        let (layers, preprocessing) = match classifier {
            Classifier::Inception => (inception(true)?, Preprocessing::PYTORCH_FID),
            Classifier::InceptionTorchvision => (inception(false)?, Preprocessing::TORCHVISION),
            Classifier::EfficientNetLite0 => (
                Layers::EfficientNet(Box::new(EfficientNet::new(weights, &device)?)),
                Preprocessing::EFFICIENTNET_LITE0,
            ),
        };
        let (classes, dimension) = (classifier.classes(), classifier.dimension());
        let of_head = |part: &str, shape: &[usize]| {
            let key = format!("{}.{part}", classifier.head());
            values(weights, &key, shape).map(<[f32]>::to_vec)
        };
        let weight = of_head("weight", &[classes, dimension])?;
        let bias = of_head("bias", &[classes])?;
        Ok(Self {
            classifier,
            checksum: checksum(classifier, weights),
            preprocessing,
            layers,
            head: Head {
                weight: tensor(weight, [classes, dimension], &device),
                bias: tensor(bias, [classes], &device),
            },
        })
    }

    /// The same network with pictures prepared in another way.
    ///
    /// # Errors
    /// When there are no such pictures, or the network leaves no pixel of them.
    pub fn with_preprocessing(self, preprocessing: Preprocessing) -> Result<Self> {
        preprocessing.check()?;
        if matches!(self.layers, Layers::Inception(_)) && preprocessing.side < SMALLEST_INCEPTION {
            return Err(Error::input(format!(
                "pictures of side {} are too small for {}: {SMALLEST_INCEPTION} at least",
                preprocessing.side,
                self.classifier.label()
            )));
        }
        Ok(Self {
            preprocessing,
            ..self
        })
    }

    /// Which classifier it is.
    pub fn classifier(&self) -> Classifier {
        self.classifier
    }

    /// The name it has in the catalogue of weights.
    pub fn name(&self) -> &'static str {
        self.classifier.network().name
    }

    /// SHA-256 of the weights, in hexadecimal digits: of names, shapes and values, so that the published file and the
    /// imported one have the same.
    pub fn checksum(&self) -> &str {
        &self.checksum
    }

    /// What is done to pictures first.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// How many numbers its features are.
    pub fn dimension(&self) -> usize {
        self.classifier.dimension()
    }

    /// How many classes it tells apart; see [`Classifier::classes`] for their order.
    pub fn classes(&self) -> usize {
        self.classifier.classes()
    }

    /// The features of pictures `[n, h, w, 3 or 1]` in [-1, 1], of any size: `[n, d]`. Other programs read pictures
    /// from files, so pictures should be rounded to 8 bits before.
    ///
    /// # Errors
    /// When there are no pictures, or they have no pixels or another number of channels.
    pub fn features(&self, pixels: Tensor<4>) -> Result<Tensor<2>> {
        let count = pixels.dims()[0];
        if count == 0 {
            return Err(Error::input("there are no pictures to take features of"));
        }
        let mut features = Vec::new();
        for first in (0..count).step_by(AT_ONCE) {
            let some = pixels.clone().narrow(0, first, AT_ONCE.min(count - first));
            let prepared = self.preprocessing.apply(some)?;
            features.push(means(match &self.layers {
                Layers::Inception(network) => network.forward(prepared),
                Layers::EfficientNet(network) => network.forward(prepared),
            }));
        }
        Ok(Tensor::cat(features, 0))
    }

    /// The logits of the classes, `[n, classes]`, from features `[n, d]`.
    pub fn logits(&self, features: Tensor<2>) -> Tensor<2> {
        self.last_layer(features, Some(self.head.bias.clone()))
    }

    /// The same without the last layer's bias, as the Inception Score has them (openai/improved-gan,
    /// inception_score/model.py; `logits_unbiased` of torch-fidelity).
    pub fn unbiased_logits(&self, features: Tensor<2>) -> Tensor<2> {
        self.last_layer(features, None)
    }

    /// The probabilities of the classes, `[n, classes]`, from features `[n, d]`.
    pub fn probabilities(&self, features: Tensor<2>) -> Tensor<2> {
        activation::softmax(self.logits(features), 1)
    }

    fn last_layer(&self, features: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
        let [count, dimension] = features.dims();
        let rows = features.reshape([1, count, dimension]);
        ops::linear(rows, self.head.weight.clone(), bias, Precision::F32)
            .reshape([count, self.classes()])
    }
}

fn checksum(classifier: Classifier, weights: &TensorMap) -> String {
    let mut hash = Sha256::new();
    for (key, shape) in classifier.tensors() {
        hash.update(format!("{key} {shape:?}\n"));
        let values = weights.get(&key).and_then(|tensor| tensor.as_f32());
        for some in values.unwrap_or_default().chunks(1 << 14) {
            let bytes: Vec<u8> = some.iter().flat_map(|value| value.to_le_bytes()).collect();
            hash.update(bytes);
        }
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
