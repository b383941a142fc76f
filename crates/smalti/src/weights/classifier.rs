//! Classifiers of ImageNet by whose features pictures are judged: which there are, and the tensors they consist of.

use super::catalogue::{NETWORKS, Network};
use super::{efficientnet, inception};

/// A classifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Classifier {
    /// Inception-v3 of TensorFlow's graph of 2015-12-05, which FID and the Inception Score are defined with
    /// (mseitzer/pytorch-fid, src/pytorch_fid/inception.py).
    Inception,
    /// Inception-v3 as torchvision has it: other weights, and averages that count the padding.
    InceptionTorchvision,
    /// EfficientNet-lite0: small, and to be had without its authors' server.
    EfficientNetLite0,
}

/// A convolution without bias, and the batch normalisation behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NormalizedConvolution {
    /// The key of its kernel.
    pub weight: String,
    /// What the keys of its normalisation begin with.
    pub norm: String,
    /// Channels out, channels in (1 where every channel is convolved by itself), height and width of the kernel.
    pub shape: [usize; 4],
    pub stride: usize,
    /// Whether zeros around the picture make up for the extent of the kernel.
    pub padded: bool,
}

impl NormalizedConvolution {
    /// Its tensors and their shapes.
    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let mut tensors = vec![(self.weight.clone(), self.shape.to_vec())];
        for part in ["weight", "bias", "running_mean", "running_var"] {
            tensors.push((format!("{}.{part}", self.norm), vec![self.shape[0]]));
        }
        tensors
    }
}

impl Classifier {
    /// All of them.
    pub const ALL: [Classifier; 3] = [
        Classifier::Inception,
        Classifier::InceptionTorchvision,
        Classifier::EfficientNetLite0,
    ];

    /// The catalogue's entry for it.
    pub fn network(self) -> &'static Network {
        match self {
            Classifier::Inception => &NETWORKS[2],
            Classifier::InceptionTorchvision => &NETWORKS[3],
            Classifier::EfficientNetLite0 => &NETWORKS[4],
        }
    }

    /// Its usual name.
    pub fn label(self) -> &'static str {
        match self {
            Classifier::Inception => "the Inception-v3 of FID",
            Classifier::InceptionTorchvision => "torchvision's Inception-v3",
            Classifier::EfficientNetLite0 => "EfficientNet-lite0",
        }
    }

    /// How many numbers its features are.
    pub fn dimension(self) -> usize {
        match self {
            Classifier::Inception | Classifier::InceptionTorchvision => 2048,
            Classifier::EfficientNetLite0 => 1280,
        }
    }

    /// How many classes it tells apart. The 1008 of FID's Inception-v3 are ImageNet's 1000 in an order of their own,
    /// and some that mean nothing; the others' are in the usual order.
    pub fn classes(self) -> usize {
        match self {
            Classifier::Inception => 1008,
            Classifier::InceptionTorchvision | Classifier::EfficientNetLite0 => 1000,
        }
    }

    /// What the keys of its last layer, which makes logits out of features, begin with.
    pub fn head(self) -> &'static str {
        match self {
            Classifier::Inception | Classifier::InceptionTorchvision => "fc",
            Classifier::EfficientNetLite0 => "_fc",
        }
    }

    /// Every tensor of the network and its shape, under the keys of the published files.
    pub fn tensors(self) -> Vec<(String, Vec<usize>)> {
        let layers = match self {
            Classifier::Inception => inception::layers(true),
            Classifier::InceptionTorchvision => inception::layers(false),
            Classifier::EfficientNetLite0 => efficientnet::layers(),
        };
        let (head, classes) = (self.head(), self.classes());
        let last = [
            (format!("{head}.weight"), vec![classes, self.dimension()]),
            (format!("{head}.bias"), vec![classes]),
        ];
        let layers = layers.iter().flat_map(NormalizedConvolution::tensors);
        layers.chain(last).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_classifier_has_its_entry() {
        for classifier in Classifier::ALL {
            let kind = super::super::catalogue::Kind::Classifier(classifier);
            assert_eq!(classifier.network().kind, kind);
        }
    }

    #[test]
    fn tensor_lists_have_the_published_number_of_values() {
        let count = |classifier: Classifier| -> usize {
            let tensors = classifier.tensors();
            let names: BTreeSet<&String> = tensors.iter().map(|(name, _)| name).collect();
            assert_eq!(names.len(), tensors.len());
            tensors
                .iter()
                .map(|(_, shape)| shape.iter().product::<usize>())
                .sum()
        };
        // Parameters as PyTorch counts them, and two statistics for every normalised channel.
        assert_eq!(count(Classifier::Inception), 23_850_960 + 34_432);
        let torchvision = count(Classifier::InceptionTorchvision);
        assert_eq!(torchvision, 23_834_568 + 34_432);
        assert_eq!(count(Classifier::EfficientNetLite0), 4_652_008 + 42_016);
    }
}
