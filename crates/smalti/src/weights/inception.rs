//! Inception-v3 (Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2015) as a list of
//! layers, under torchvision's names (torchvision/models/inception.py), which pytorch-fid's file has too.

use super::classifier::NormalizedConvolution;

/// Paths through the network side by side, whose channels are put together; one path is the plain rest of the network.
pub type Block = Vec<Branch>;

/// A path through a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// What comes first.
    pub pooling: Option<Pooling>,
    /// Layers one after the other.
    pub chain: Vec<NormalizedConvolution>,
    /// Layers that all read the end of the chain, and whose channels are put together. Without any the chain is all.
    pub fork: Vec<NormalizedConvolution>,
}

/// A pooling of 3×3 pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// The largest, of every second window, none of which reaches beyond the border.
    Halving,
    /// The largest around every pixel.
    Largest,
    /// The mean around every pixel. The zeros beyond the border are `counted`, or they are left out of the mean.
    Mean { counted: bool },
}

/// The end of a layer's name, its channels out, and the height and width of its kernel.
type Step = (&'static str, usize, [usize; 2]);

const POINT: [usize; 2] = [1, 1];
const SQUARE: [usize; 2] = [3, 3];

/// The network up to its features, which are the means of the last block's channels. Every convolution is followed by
/// its normalisation (epsilon 1e-3) and ReLU. `ported`: with TensorFlow's poolings, as FID is measured.
pub fn blocks(ported: bool) -> Vec<Block> {
    let mean = Pooling::Mean { counted: !ported };
    // The graph of 2015 has the largest here where its authors have means; FID is what it is with it.
    let last = if ported { Pooling::Largest } else { mean };
    vec![
        vec![plain(vec![
            unpadded(layer("Conv2d_1a_3x3", [3, 32], SQUARE), 2),
            unpadded(layer("Conv2d_2a_3x3", [32, 32], SQUARE), 1),
            layer("Conv2d_2b_3x3", [32, 64], SQUARE),
        ])],
        vec![pooled(
            Pooling::Halving,
            vec![
                layer("Conv2d_3b_1x1", [64, 80], POINT),
                unpadded(layer("Conv2d_4a_3x3", [80, 192], SQUARE), 1),
            ],
        )],
        vec![pooled(Pooling::Halving, Vec::new())],
        with_5x5("Mixed_5b", [192, 32], mean),
        with_5x5("Mixed_5c", [256, 64], mean),
        with_5x5("Mixed_5d", [288, 64], mean),
        halving("Mixed_6a", 288),
        with_7x7("Mixed_6b", 128, mean),
        with_7x7("Mixed_6c", 160, mean),
        with_7x7("Mixed_6d", 160, mean),
        with_7x7("Mixed_6e", 192, mean),
        halving_with_7x7("Mixed_7a", 768),
        forked("Mixed_7b", 1280, mean),
        forked("Mixed_7c", 2048, last),
    ]
}

/// All layers of the network.
pub fn layers(ported: bool) -> Vec<NormalizedConvolution> {
    let branches = blocks(ported).into_iter().flatten();
    branches
        .flat_map(|branch| branch.chain.into_iter().chain(branch.fork))
        .collect()
}

fn layer(name: &str, [input, output]: [usize; 2], kernel: [usize; 2]) -> NormalizedConvolution {
    NormalizedConvolution {
        weight: format!("{name}.conv.weight"),
        norm: format!("{name}.bn"),
        shape: [output, input, kernel[0], kernel[1]],
        stride: 1,
        padded: true,
    }
}

fn unpadded(layer: NormalizedConvolution, stride: usize) -> NormalizedConvolution {
    NormalizedConvolution {
        stride,
        padded: false,
        ..layer
    }
}

/// Layers of a block, each reading the one before it, the first `input` channels.
fn chain(block: &str, input: usize, steps: &[Step]) -> Vec<NormalizedConvolution> {
    let mut input = input;
    let mut layers = Vec::new();
    for &(name, output, kernel) in steps {
        layers.push(layer(&format!("{block}.{name}"), [input, output], kernel));
        input = output;
    }
    layers
}

/// A chain whose last layer halves the resolution.
fn halving_chain(block: &str, input: usize, steps: &[Step]) -> Vec<NormalizedConvolution> {
    let mut layers = chain(block, input, steps);
    if let Some(last) = layers.pop() {
        layers.push(unpadded(last, 2));
    }
    layers
}

fn plain(chain: Vec<NormalizedConvolution>) -> Branch {
    Branch {
        pooling: None,
        chain,
        fork: Vec::new(),
    }
}

fn pooled(pooling: Pooling, chain: Vec<NormalizedConvolution>) -> Branch {
    Branch {
        pooling: Some(pooling),
        ..plain(chain)
    }
}

/// torchvision's InceptionA: channels in, and channels of the pooled branch.
fn with_5x5(name: &str, [input, pool]: [usize; 2], mean: Pooling) -> Block {
    let chain = |steps: &[Step]| chain(name, input, steps);
    vec![
        plain(chain(&[("branch1x1", 64, POINT)])),
        plain(chain(&[
            ("branch5x5_1", 48, POINT),
            ("branch5x5_2", 64, [5, 5]),
        ])),
        plain(chain(&[
            ("branch3x3dbl_1", 64, POINT),
            ("branch3x3dbl_2", 96, SQUARE),
            ("branch3x3dbl_3", 96, SQUARE),
        ])),
        pooled(mean, chain(&[("branch_pool", pool, POINT)])),
    ]
}

/// torchvision's InceptionB.
fn halving(name: &str, input: usize) -> Block {
    let chain = |steps: &[Step]| halving_chain(name, input, steps);
    vec![
        plain(chain(&[("branch3x3", 384, SQUARE)])),
        plain(chain(&[
            ("branch3x3dbl_1", 64, POINT),
            ("branch3x3dbl_2", 96, SQUARE),
            ("branch3x3dbl_3", 96, SQUARE),
        ])),
        pooled(Pooling::Halving, Vec::new()),
    ]
}

/// torchvision's InceptionC, of 768 channels: `width` is that of the layers between.
fn with_7x7(name: &str, width: usize, mean: Pooling) -> Block {
    let chain = |steps: &[Step]| chain(name, 768, steps);
    vec![
        plain(chain(&[("branch1x1", 192, POINT)])),
        plain(chain(&[
            ("branch7x7_1", width, POINT),
            ("branch7x7_2", width, [1, 7]),
            ("branch7x7_3", 192, [7, 1]),
        ])),
        plain(chain(&[
            ("branch7x7dbl_1", width, POINT),
            ("branch7x7dbl_2", width, [7, 1]),
            ("branch7x7dbl_3", width, [1, 7]),
            ("branch7x7dbl_4", width, [7, 1]),
            ("branch7x7dbl_5", 192, [1, 7]),
        ])),
        pooled(mean, chain(&[("branch_pool", 192, POINT)])),
    ]
}

/// torchvision's InceptionD.
fn halving_with_7x7(name: &str, input: usize) -> Block {
    let chain = |steps: &[Step]| halving_chain(name, input, steps);
    vec![
        plain(chain(&[
            ("branch3x3_1", 192, POINT),
            ("branch3x3_2", 320, SQUARE),
        ])),
        plain(chain(&[
            ("branch7x7x3_1", 192, POINT),
            ("branch7x7x3_2", 192, [1, 7]),
            ("branch7x7x3_3", 192, [7, 1]),
            ("branch7x7x3_4", 192, SQUARE),
        ])),
        pooled(Pooling::Halving, Vec::new()),
    ]
}

/// torchvision's InceptionE.
fn forked(name: &str, input: usize, pooling: Pooling) -> Block {
    let fork = |ends: [&'static str; 2]| -> Vec<NormalizedConvolution> {
        let kernels = [[1, 3], [3, 1]];
        let layers = ends.into_iter().zip(kernels);
        layers
            .flat_map(|(end, kernel)| chain(name, 384, &[(end, 384, kernel)]))
            .collect()
    };
    let chain = |steps: &[Step]| chain(name, input, steps);
    vec![
        plain(chain(&[("branch1x1", 320, POINT)])),
        Branch {
            fork: fork(["branch3x3_2a", "branch3x3_2b"]),
            ..plain(chain(&[("branch3x3_1", 384, POINT)]))
        },
        Branch {
            fork: fork(["branch3x3dbl_3a", "branch3x3dbl_3b"]),
            ..plain(chain(&[
                ("branch3x3dbl_1", 448, POINT),
                ("branch3x3dbl_2", 384, SQUARE),
            ]))
        },
        pooled(pooling, chain(&[("branch_pool", 192, POINT)])),
    ]
}
