//! What the networks take in the plain formulation: their parameters, and the multiply-adds of a forward pass.
//!
//! Convolutions, products of matrices, attention and the search for codes count. Norms and activations do not: they are
//! small beside them.

use crate::prior::PriorConfig;
use crate::tokenizer::TokenizerConfig;
use crate::weights::catalogue::Architecture;
use std::iter::Sum;
use std::ops::Add;

/// A part of a network: how many numbers it has learned, and how many multiply-adds a forward pass takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    pub parameters: u64,
    pub multiply_adds: u64,
}

impl Add for Work {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            parameters: self.parameters + other.parameters,
            multiply_adds: self.multiply_adds + other.multiply_adds,
        }
    }
}

impl Sum for Work {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |sum, part| sum + part)
    }
}

/// From a picture of `side` × `side` pixels to the vectors before quantisation.
pub fn encode(config: &TokenizerConfig, side: usize) -> Work {
    let last = config.levels() - 1;
    let mut width = config.channels;
    let mut parts = vec![convolution([config.in_channels, width], 3, area(side, 0))];
    for index in 0..=last {
        let channels = [width, config.width(index)];
        parts.push(level(config, index, channels, config.residual_blocks, side));
        width = config.width(index);
        if index < last {
            parts.push(convolution([width; 2], 3, area(side, index + 1)));
        }
    }
    let positions = area(side, last);
    parts.extend([
        middle(width, positions),
        norm(width),
        convolution([width, config.z_channels], 3, positions),
        convolution([config.z_channels, config.embed_dim], 1, positions),
    ]);
    parts.into_iter().sum()
}

/// From those vectors to codes: the product of every vector with every code. The codes are its parameters.
pub fn search(config: &TokenizerConfig, side: usize) -> Work {
    let positions = area(side, config.levels() - 1);
    product(config.codebook_size * config.embed_dim, positions)
}

/// From code vectors to a picture of `side` × `side` pixels.
pub fn decode(config: &TokenizerConfig, side: usize) -> Work {
    let last = config.levels() - 1;
    let positions = area(side, last);
    let mut width = config.width(last);
    let mut parts = vec![
        convolution([config.embed_dim, config.z_channels], 1, positions),
        convolution([config.z_channels, width], 3, positions),
        middle(width, positions),
    ];
    for index in (0..=last).rev() {
        let channels = [width, config.width(index)];
        parts.push(level(
            config,
            index,
            channels,
            config.residual_blocks + 1,
            side,
        ));
        width = config.width(index);
        if index > 0 {
            parts.push(convolution([width; 2], 3, area(side, index - 1)));
        }
    }
    parts.push(norm(width));
    parts.push(convolution([width, config.out_channels], 3, area(side, 0)));
    parts.into_iter().sum()
}

/// The features that LPIPS compares, VGG16's, of one picture of `side` × `side` pixels.
pub fn perceptual_features(side: usize) -> Work {
    let (mut side, mut previous) = (side, 0);
    let convolutions = Architecture::Vgg.convolutions().iter();
    let stages = convolutions.map(|layer| {
        // Indices count layers. A convolution and its ReLU are two; where there is a third, it halves the side.
        if layer.index - previous > 2 {
            side /= 2;
        }
        previous = layer.index;
        convolution([layer.input, layer.output], layer.kernel, area(side, 0))
    });
    stages.sum()
}

/// The patch discriminator on a picture of `side` × `side` pixels in three channels.
pub fn discriminator(channels: usize, layers: usize, side: usize) -> Work {
    let width = |layer: usize| channels << layer.min(3);
    // 4×4 convolutions with a border of one.
    let smaller = |side: usize, stride: usize| (side - 2) / stride + 1;
    let mut side = smaller(side, 2);
    let mut parts = vec![convolution([3, channels], 4, area(side, 0))];
    for layer in 1..=layers {
        side = smaller(side, if layer == layers { 1 } else { 2 });
        // The norm stands in for the bias.
        parts.push(product(16 * width(layer - 1) * width(layer), area(side, 0)));
        parts.push(norm(width(layer)));
    }
    side = smaller(side, 1);
    parts.push(convolution([width(layers), 1], 4, area(side, 0)));
    parts.into_iter().sum()
}

/// `tokens` tokens of one sequence through the transformer, after `first` that it has seen already.
pub fn prior(config: &PriorConfig, first: usize, tokens: usize) -> Work {
    let (layers, width) = (config.layers, config.width);
    let tables = (config.vocabulary_size + config.block_size) * width;
    let biases_and_norms = (13 * layers + 2) * width;
    // Every position is multiplied with the keys and with the values that it sees.
    let attention = Work {
        parameters: 0,
        multiply_adds: cached_values(config, first, tokens),
    };
    product(prior_matrices(config), tokens) + attention + values(tables) + values(biases_and_norms)
}

/// How many numbers the matrices hold that every token is multiplied with.
pub fn prior_matrices(config: &PriorConfig) -> usize {
    let width = config.width;
    12 * config.layers * width * width + width * config.vocabulary_size
}

/// How many numbers of keys and values `tokens` tokens see together, each its own and those of all before it, after
/// `first` others.
pub fn cached_values(config: &PriorConfig, first: usize, tokens: usize) -> u64 {
    let seen = (first + 1..=first + tokens).sum::<usize>();
    2 * config.layers as u64 * config.width as u64 * seen as u64
}

/// Positions of a square grid at a level, 0 being the highest resolution.
fn area(side: usize, level: usize) -> usize {
    (side >> level).pow(2)
}

/// Parameters that nothing is multiplied with, or too little to count.
fn values(count: usize) -> Work {
    Work {
        parameters: count as u64,
        multiply_adds: 0,
    }
}

/// A matrix of `weights` numbers times `vectors` vectors.
fn product(weights: usize, vectors: usize) -> Work {
    Work {
        parameters: weights as u64,
        multiply_adds: weights as u64 * vectors as u64,
    }
}

fn norm(channels: usize) -> Work {
    values(2 * channels)
}

/// A convolution with bias and `positions` outputs.
fn convolution([inputs, outputs]: [usize; 2], kernel: usize, positions: usize) -> Work {
    product(inputs * outputs * kernel * kernel, positions) + values(outputs)
}

fn residual_block([inputs, outputs]: [usize; 2], positions: usize) -> Work {
    let shortcut = if inputs == outputs {
        Work::default()
    } else {
        convolution([inputs, outputs], 1, positions)
    };
    norm(inputs)
        + convolution([inputs, outputs], 3, positions)
        + norm(outputs)
        + convolution([outputs; 2], 3, positions)
        + shortcut
}

fn attention_block(channels: usize, positions: usize) -> Work {
    let projections = (0..4).map(|_| convolution([channels; 2], 1, positions));
    let attention = Work {
        parameters: 0,
        multiply_adds: 2 * (positions * positions * channels) as u64,
    };
    norm(channels) + projections.sum::<Work>() + attention
}

fn middle(channels: usize, positions: usize) -> Work {
    let residual = residual_block([channels; 2], positions);
    residual + attention_block(channels, positions) + residual
}

/// The blocks of one level, `count` of them, with the attention after each if the level has it.
fn level(
    config: &TokenizerConfig,
    index: usize,
    [inputs, outputs]: [usize; 2],
    count: usize,
    side: usize,
) -> Work {
    let positions = area(side, index);
    let attentions = if config.has_attention(index) {
        count
    } else {
        0
    };
    let first = residual_block([inputs, outputs], positions);
    let others = (1..count).map(|_| residual_block([outputs; 2], positions));
    let attentions = (0..attentions).map(|_| attention_block(outputs, positions));
    first + others.chain(attentions).sum::<Work>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Size;
    use crate::initializer::Initializer;
    use crate::prior::Gpt;
    use crate::tokenizer::Tokenizer;
    use crate::tokenizer::discriminator::{Discriminator, DiscriminatorConfig};
    use burn::module::Module;
    use burn::tensor::Device;

    /// The multiply-adds come from the same list of layers as the parameters, so that these check the list.
    fn whole_tokenizer(size: Size, side: usize) -> Work {
        let config = size.tokenizer();
        encode(&config, side) + search(&config, side) + decode(&config, side)
    }

    #[test]
    fn parameters_are_those_of_the_networks() {
        let mut init = Initializer::zeros(&Device::flex());
        for size in [Size::Full, Size::Tiny] {
            let tokenizer = Tokenizer::new(&mut init, &size.tokenizer());
            let counted = whole_tokenizer(size, 64).parameters;
            assert_eq!(counted, tokenizer.num_params() as u64);
        }
        let config = Size::Tiny.prior();
        let counted = prior(&config, 0, 1).parameters;
        assert_eq!(counted, Gpt::new(&mut init, &config).num_params() as u64);
        let network = Discriminator::new(&mut init, 3, &DiscriminatorConfig::default());
        let counted = discriminator(64, 3, 256).parameters;
        assert_eq!(counted, network.num_params() as u64);
    }

    #[test]
    fn the_full_sizes_are_the_published_ones() {
        assert_eq!(whole_tokenizer(Size::Full, 256).parameters, 76_073_859);
        assert_eq!(prior(&Size::Full.prior(), 0, 256).parameters, 304_932_864);
    }

    #[test]
    fn multiply_adds_are_the_known_ones() {
        let tera = |multiply_adds: u64| 2.0 * multiply_adds as f64 / 1e12;
        let reconstruction = tera(whole_tokenizer(Size::Full, 256).multiply_adds);
        assert!((0.37..0.40).contains(&reconstruction), "{reconstruction}");
        // Six operations per parameter and token, and attention on top.
        let step = 3.0 * tera(prior(&Size::Full.prior(), 0, 256).multiply_adds);
        assert!((0.46..0.48).contains(&step), "{step}");
        // VGG16 is known for its 15.5 G multiply-adds, 0.12 G of them in layers that LPIPS leaves out.
        assert_eq!(perceptual_features(224).multiply_adds, 15_346_630_656);
        assert_eq!(perceptual_features(224).parameters, 14_714_688);
    }

    #[test]
    fn a_sequence_costs_what_its_tokens_cost() {
        let config = Size::Tiny.prior();
        let whole = prior(&config, 0, 10).multiply_adds;
        let parts = [(0, 4), (4, 1), (5, 5)].map(|(first, tokens)| prior(&config, first, tokens));
        assert_eq!(
            whole,
            parts.map(|part| part.multiply_adds).iter().sum::<u64>()
        );
    }
}
