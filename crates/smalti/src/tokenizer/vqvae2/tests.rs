//! The grid of both levels, what is refused, and codes that are the picture.

use super::super::config::Family;
use super::super::network::Tokenizer;
use super::super::testing::{assert_near, init, random};
use super::*;
use crate::checkpoint::host_codes;

fn config() -> TokenizerConfig {
    TokenizerConfig {
        family: Family::Vqvae2,
        channels: 64,
        channel_multipliers: vec![1, 1, 2],
        residual_blocks: 1,
        z_channels: 64,
        embed_dim: 6,
        codebook_size: 16,
        quantizer: QuantizerKind::Ema,
        codes_per_position: 5,
        ..TokenizerConfig::default()
    }
}

#[test]
fn the_top_map_has_half_the_sides_of_the_bottom_one() {
    assert_eq!(config().factor(), 4);
    assert_eq!(config().grid([16, 12]), [4, 15]);
    assert_eq!(config().pixels_of([4, 15]), [16, 12]);
    assert_eq!(config().codes(), 32);
}

#[test]
fn two_levels_are_enough() {
    let config = TokenizerConfig {
        channel_multipliers: vec![1, 1],
        ..config()
    };
    let tokenizer = Tokenizer::new(&mut init(), &config);
    let quantized = tokenizer.encode(random([1, 6, 4, 3], 3));
    assert_eq!(quantized.codes.dims(), [1, 3, 10]);
    assert_eq!(tokenizer.decode(quantized.latent).dims(), [1, 6, 4, 3]);
}

#[test]
fn codes_decode_to_what_their_latents_do() {
    let tokenizer = Tokenizer::new(&mut init(), &config());
    let quantized = tokenizer.encode(random([2, 16, 12, 3], 5));
    assert_eq!(quantized.codes.dims(), [2, 4, 15]);
    for (place, code) in host_codes(quantized.codes.clone()).into_iter().enumerate() {
        let numbers = if place % 5 == 0 { 0..16 } else { 16..32 };
        assert!(numbers.contains(&code), "{code} at {place}");
    }
    let straight = tokenizer.decode(quantized.latent);
    assert_near(tokenizer.decode_codes(quantized.codes), straight);
}

#[test]
fn configurations_are_checked() {
    config().check().unwrap();
    let refused = |config: TokenizerConfig, part: &str| {
        let message = config.check().unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    };
    let single = TokenizerConfig {
        channel_multipliers: vec![1],
        ..config()
    };
    refused(single, "at least 2");
    let narrow = TokenizerConfig {
        z_channels: 40,
        ..config()
    };
    refused(narrow, "z_channels is 40");
    let learned = TokenizerConfig {
        quantizer: QuantizerKind::Nearest,
        ..config()
    };
    refused(learned, "ema or ema-l2");
    let few = TokenizerConfig {
        codes_per_position: 4,
        ..config()
    };
    refused(few, "set it to 5");
    let mut used = TokenizerConfig {
        used_codes: 32,
        ..config()
    };
    used.check().unwrap();
    used.used_codes = 33;
    refused(used, "only 32 codes");
}

#[test]
fn the_least_is_less_than_there_are() {
    let tokenizer = Tokenizer::new(&mut init(), &config());
    let (least, all) = (least_parameters(&config()), tokenizer.num_params());
    assert!(least < all && 3 * least > all, "{least} of {all}");
    let hostile = TokenizerConfig {
        channels: usize::MAX,
        ..config()
    };
    assert_eq!(hostile.least_parameters(), usize::MAX);
}
