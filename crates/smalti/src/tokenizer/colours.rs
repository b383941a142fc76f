//! The tokenizer that has no networks: a code is the number of a colour, one for every pixel (Chen et al., "Generative
//! Pretraining from Pixels", section 4; f = 1 of figure 7 in "Taming Transformers"). The colours are centres of k-means
//! over the pixels of the training pictures.

use super::config::{QuantizerKind, TokenizerConfig};
use crate::error::{Error, Result};
use burn::module::Module;

/// Encoder and decoder: what they are given is what they give.
#[derive(Module, Debug)]
pub struct Unchanged;

/// Says what is wrong with a configuration of this family.
///
/// # Errors
/// Levels, codes that are no colours, or another quantiser than the nearest colour.
pub fn check(config: &TokenizerConfig) -> Result<()> {
    let levels = config.channel_multipliers.len();
    if levels != 1 {
        return Err(Error::input(format!(
            "channel_multipliers has {levels} entries; colours stand for single pixels, with no level below: write [1]"
        )));
    }
    let sizes = [config.in_channels, config.embed_dim, config.out_channels];
    if sizes != [config.in_channels; 3] {
        return Err(Error::input(format!(
            "in_channels, embed_dim and out_channels are {sizes:?}; a colour is a pixel, so they must be equal"
        )));
    }
    if config.quantizer != QuantizerKind::Ema {
        return Err(Error::input(
            "colours are averages of the pixels nearest to them: set quantizer to ema",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::config::Family;
    use super::super::network::Tokenizer;
    use super::super::quantizer::Quantizer;
    use super::super::testing::{init, random};
    use super::*;
    use crate::checkpoint::{host_codes, host_values};
    use burn::module::Param;
    use burn::tensor::{Device, Tensor};

    fn config() -> TokenizerConfig {
        TokenizerConfig {
            family: Family::Colours,
            channel_multipliers: vec![1],
            embed_dim: 3,
            codebook_size: 4,
            quantizer: QuantizerKind::Ema,
            ..TokenizerConfig::default()
        }
    }

    #[test]
    fn a_pixel_becomes_the_nearest_colour() {
        let mut tokenizer = Tokenizer::new(&mut init(), &config());
        let colours = [
            [-1.0f32, -1.0, -1.0],
            [1.0, 1.0, 1.0],
            [1.0, -1.0, -1.0],
            [-1.0, -1.0, 0.5],
        ];
        let table = Tensor::<2>::from_floats(colours, &Device::flex().autodiff());
        let Quantizer::Ema(quantizer) = &mut tokenizer.quantize else {
            panic!("the configuration says ema");
        };
        quantizer.embedding.weight = Param::from_tensor(table);
        let pixels = [0.9f32, -0.8, -0.7, -0.4, -0.9, -0.5, 0.2, 0.9, 0.8];
        let pixels = Tensor::<1>::from_floats(pixels, &Device::flex().autodiff());
        let quantized = tokenizer.encode(pixels.reshape([1, 1, 3, 3]));
        assert_eq!(host_codes(quantized.codes.clone()), [2, 0, 1]);
        let expected = [1.0, -1.0, -1.0, -1.0, -1.0, -1.0, 1.0, 1.0, 1.0];
        let decoded = tokenizer.decode_codes(quantized.codes);
        assert_eq!(host_values(decoded), expected);
        assert_eq!(host_values(tokenizer.decode(quantized.latent)), expected);
    }

    #[test]
    fn every_pixel_has_a_code_of_its_own() {
        let config = config();
        assert_eq!(config.factor(), 1);
        assert_eq!(config.grid([5, 7]), [5, 7]);
        assert_eq!(config.pixels_of([5, 7]), [5, 7]);
        let tokenizer = Tokenizer::new(&mut init(), &config);
        let quantized = tokenizer.encode(random([2, 5, 7, 3], 1));
        assert_eq!(quantized.codes.dims(), [2, 5, 7]);
        assert_eq!(tokenizer.decode(quantized.latent).dims(), [2, 5, 7, 3]);
    }

    #[test]
    fn there_are_no_parameters_but_the_colours() {
        let tokenizer = Tokenizer::new(&mut init(), &config());
        assert_eq!(config().least_parameters(), tokenizer.num_params());
        assert!(!tokenizer.has_gradients());
    }

    #[test]
    fn configurations_are_checked() {
        config().check().unwrap();
        let refused = |config: TokenizerConfig, part: &str| {
            let message = config.check().unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        };
        let channel_multipliers = vec![1, 2];
        refused(
            TokenizerConfig {
                channel_multipliers,
                ..config()
            },
            "write [1]",
        );
        refused(
            TokenizerConfig {
                embed_dim: 8,
                ..config()
            },
            "[3, 8, 3]",
        );
        refused(
            TokenizerConfig {
                quantizer: QuantizerKind::L2,
                ..config()
            },
            "quantizer to ema",
        );
    }
}
