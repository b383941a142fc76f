//! What holds for the networks of every family: shapes, gradients, and the last convolution. The paper's own are
//! compared with golden files.

use super::super::config::QuantizerKind;
use super::super::testing::{assert_near, init, random, unmoved};
use super::*;

fn small(
    family: Family,
    [z_channels, embed_dim]: [usize; 2],
    multipliers: [usize; 3],
) -> TokenizerConfig {
    TokenizerConfig {
        family,
        channels: 32,
        channel_multipliers: multipliers.to_vec(),
        residual_blocks: 1,
        z_channels,
        embed_dim,
        ..TokenizerConfig::default()
    }
}

/// Networks of two halvings, each with the channels that its encoder gives and its decoder takes.
fn networks() -> [(TokenizerConfig, [usize; 2]); 4] {
    let two_levels = TokenizerConfig {
        channels: 64,
        quantizer: QuantizerKind::Ema,
        codes_per_position: 5,
        ..small(Family::Vqvae2, [64, 6], [1, 1, 2])
    };
    [
        (small(Family::Maskgit, [8, 8], [1, 2, 2]), [8, 8]),
        (small(Family::Magvit2, [6, 6], [1, 2, 2]), [6, 6]),
        (small(Family::Dalle, [128, 6], [1, 2, 4]), [128, 6]),
        (two_levels, [6 + 4 * 64, 5 * 6]),
    ]
}

#[test]
fn two_halvings_make_a_factor_of_four() {
    for (config, [given, taken]) in networks() {
        let encoder = Encoder::new(&mut init(), &config);
        let decoder = Decoder::new(&mut init(), &config);
        let vectors = encoder.forward(random([2, 16, 12, 3], 1));
        assert_eq!(vectors.dims(), [2, 4, 3, given]);
        let latent = random([2, 4, 3, taken], 2);
        assert_eq!(decoder.forward(latent.clone()).dims(), [2, 16, 12, 3]);
        let features = decoder.features(latent);
        assert_eq!(features.dims(), [2, 16, 12, config.channels]);
    }
}

#[test]
fn the_last_convolution_of_the_features_is_the_picture() {
    for (config, [_, taken]) in networks() {
        let decoder = Decoder::new(&mut init(), &config);
        let latent = random([1, 3, 2, taken], 3);
        let output = decoder.finish(decoder.features(latent.clone()));
        let pixels = match config.family {
            Family::Dalle => dalle::Decoder::pixels(output),
            _ => output,
        };
        assert_near(pixels, decoder.forward(latent));
    }
}

#[test]
fn every_parameter_learns() {
    let none = Vec::<String>::new();
    for (config, [_, taken]) in networks() {
        let encoder = Encoder::new(&mut init(), &config);
        let output = encoder.forward(random([1, 16, 16, 3], 4));
        assert_eq!(unmoved(&encoder, output), none, "{:?}", config.family);
        let decoder = Decoder::new(&mut init(), &config);
        let output = decoder.forward(random([1, 3, 2, taken], 5));
        assert_eq!(unmoved(&decoder, output), none, "{:?}", config.family);
    }
}
