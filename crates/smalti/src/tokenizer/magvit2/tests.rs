//! Keys, and what the decoder takes from the codes of a whole picture.

use super::super::testing::{assert_near, init, keys, published_keys, random};
use super::*;
use crate::checkpoint::host_values;
use burn::tensor::Device;

fn config() -> TokenizerConfig {
    TokenizerConfig {
        channels: 32,
        channel_multipliers: vec![1, 2, 2],
        residual_blocks: 1,
        z_channels: 6,
        embed_dim: 6,
        ..TokenizerConfig::default()
    }
}

#[test]
fn the_style_of_a_picture_is_its_own() {
    // Pictures of two codes of one channel: -1 and 1, then 1 and 1.
    let values = Tensor::<1>::from_floats([-1.0, 1.0, 1.0, 1.0], &Device::flex());
    let style = Style::of(&values.reshape([2, 1, 2, 1]));
    assert_eq!(host_values(style.mean), [0.0, 1.0]);
    // Divided by the count less one, with the epsilon inside the root.
    let deviation = host_values(style.deviation);
    assert!((deviation[0] - 2f32.sqrt()).abs() < 1e-6, "{deviation:?}");
    assert!((deviation[1] - 1e-3).abs() < 1e-6, "{deviation:?}");
}

#[test]
fn pictures_of_a_batch_are_decoded_as_alone() {
    let decoder = Decoder::new(&mut init(), &config());
    let latents = random([2, 2, 3, 6], 5);
    let together = decoder.forward(latents.clone());
    for picture in 0..2 {
        let alone = decoder.forward(latents.clone().narrow(0, picture, 1));
        assert_near(alone, together.clone().narrow(0, picture, 1));
    }
}

#[test]
fn a_single_code_makes_a_picture() {
    let decoder = Decoder::new(&mut init(), &config());
    let picture = host_values(decoder.forward(random([1, 1, 1, 6], 6)));
    assert!(picture.iter().all(|value| value.is_finite()));
}

#[test]
fn keys_are_the_published_ones() {
    let published = |multipliers: &[usize]| TokenizerConfig {
        channel_multipliers: multipliers.to_vec(),
        residual_blocks: 4,
        ..config()
    };
    let files = [
        ("magvit2-256", published(&[1, 1, 2, 2, 4])),
        ("magvit2-128", published(&[1, 2, 2, 4])),
    ];
    for (name, config) in files {
        let encoder = Encoder::new(&mut init(), &config);
        assert_eq!(keys(&encoder), published_keys(name, "encoder."));
        let decoder = Decoder::new(&mut init(), &config);
        assert_eq!(keys(&decoder), published_keys(name, "decoder."));
    }
}
