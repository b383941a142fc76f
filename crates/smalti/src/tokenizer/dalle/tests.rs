//! The range of vectors and pixels, and what configurations are refused.

use super::super::testing::{init, random};
use super::*;
use crate::checkpoint::{TensorMap, host_values, parameters};
use burn::tensor::Device;

fn config() -> TokenizerConfig {
    TokenizerConfig {
        channels: 32,
        channel_multipliers: vec![1, 2, 4],
        residual_blocks: 1,
        z_channels: 128,
        embed_dim: 6,
        codebook_size: 10,
        ..TokenizerConfig::default()
    }
}

#[test]
fn vectors_are_not_negative() {
    let encoder = Encoder::new(&mut init(), &config());
    let vectors = host_values(encoder.forward(random([2, 16, 12, 3], 1)));
    assert!(vectors.iter().all(|&value| value >= 0.0));
}

#[test]
fn the_margins_of_the_range_are_taken_off() {
    // Logits of 0.1, one half and 0.9 are black, grey and white; the scale that follows them is left out.
    let edge = 9f32.ln();
    let output = Tensor::<1>::from_floats([-edge, 0.0, edge, 7.0, 8.0, 9.0], &Device::flex());
    let pixels = host_values(Decoder::pixels(output.reshape([1, 1, 1, 6])));
    for (pixel, truth) in pixels.iter().zip([-1.0, 0.0, 1.0]) {
        assert!((pixel - truth).abs() < 1e-6, "{pixels:?}");
    }
    assert_eq!(pixels.len(), 3);
}

#[test]
fn a_path_counts_one_over_the_square_of_all_blocks() {
    let encoder = Encoder::new(&mut init(), &config());
    let gains: Vec<f32> = encoder
        .group
        .iter()
        .flat_map(|group| group.block.iter().map(|block| block.gain))
        .collect();
    assert_eq!(gains, [1.0 / 9.0; 3]);
}

#[test]
fn configurations_are_checked() {
    assert!(check(&config()).is_ok());
    let narrow = TokenizerConfig {
        z_channels: 64,
        ..config()
    };
    let error = check(&narrow).unwrap_err().to_string();
    assert!(error.contains("z_channels is 64") && error.contains("128"));
    let odd = TokenizerConfig {
        channels: 6,
        ..config()
    };
    let error = check(&odd).unwrap_err().to_string();
    assert!(error.contains("multiple of 4"), "{error}");
}

#[test]
fn the_least_is_less_than_there_are() {
    let config = config();
    let count = |tensors: TensorMap| -> usize {
        let sizes = tensors
            .values()
            .map(|tensor| tensor.shape.iter().product::<usize>());
        sizes.sum()
    };
    let encoder = Encoder::new(&mut init(), &config);
    let decoder = Decoder::new(&mut init(), &config);
    let networks = count(parameters(&encoder, "", str::to_string))
        + count(parameters(&decoder, "", str::to_string));
    let quantizer = config.codebook_size * (config.z_channels + 1 + config.embed_dim);
    let least = least_parameters(&config);
    assert!(least > 0 && least < networks + quantizer, "{least}");
    let hostile = TokenizerConfig {
        channels: usize::MAX,
        ..config
    };
    assert_eq!(least_parameters(&hostile), usize::MAX);
}
