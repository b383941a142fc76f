//! Open-MAGVIT2's image tokenizers (TencentARC/SEED-Voken): `imagenet_256_L.ckpt`, `imagenet_128_L.ckpt` and
//! `pretrain256_{16384,262144}.ckpt`, Lightning files with `state_dict`. The keys are ours; the network is read off
//! the shapes.
//!
//! The quantiser has no weights: bit i of a code, the least significant first, is set where channel i of a vector is
//! above 0, and the decoder reads -1 and 1 (src/Open_MAGVIT2/modules/vqvae/lookup_free_quantize.py).

use super::levels::levels_of_blocks;
use crate::checkpoint::TensorMap;
use crate::error::{Error, Result};
use crate::tokenizer::config::{Family, QuantizerKind, TokenizerConfig};

/// What the network's keys begin with.
const PARTS: [&str; 2] = ["encoder.", "decoder."];

/// The most bits a code may have; the published models have 14 and 18.
const MOST_BITS: usize = 20;

/// Whether these are tensors of this family.
pub fn detect(tensors: &TensorMap) -> bool {
    let telling = [
        "encoder.conv_in.weight",
        "encoder.mid_block.0.conv1.weight",
        "decoder.adaptive.0.gamma.weight",
    ];
    telling.iter().all(|key| tensors.contains_key(*key))
}

/// The configuration, and the tensors by the paths of our fields: the averaged ones where there are such.
///
/// # Errors
/// A tensor that is missing or has a shape that no such network has, by name.
pub fn plan(tensors: TensorMap) -> Result<(TokenizerConfig, TensorMap)> {
    let mut tensors = with_averages(tensors)?;
    tensors.retain(|key, _| is_part(key));
    let network = levels_of_blocks(&tensors)?;
    let (levels, bits) = (network.levels(), network.z_channels);
    if bits > MOST_BITS {
        return Err(Error::input(format!(
            "`encoder.conv_out.weight` makes codes of {bits} bits; the most is {MOST_BITS}"
        )));
    }
    let config = TokenizerConfig {
        family: Family::Magvit2,
        // The published models of 4 levels were trained with pictures of 128 pixels, those of 5 with 256.
        resolution: if levels < 5 { 128 } else { 256 },
        embed_dim: bits,
        codebook_size: 1 << bits,
        quantizer: QuantizerKind::Lfq,
        lfq_high_bit_first: false,
        ..network
    };
    Ok((config, tensors))
}

fn is_part(key: &str) -> bool {
    PARTS.iter().any(|part| key.starts_with(part))
}

/// Puts the averages over the training in the place of the parameters they were taken of, as the published evaluation
/// does (`ema_scope` of src/Open_MAGVIT2/models/lfqgan.py). Their keys are `model_ema.` and the parameter's without
/// its dots.
fn with_averages(mut tensors: TensorMap) -> Result<TensorMap> {
    let average = |key: &String| (key.clone(), format!("model_ema.{}", key.replace('.', "")));
    let parts = tensors.keys().filter(|key| is_part(key));
    let pairs: Vec<(String, String)> = parts.map(average).collect();
    if !pairs
        .iter()
        .any(|(_, average)| tensors.contains_key(average))
    {
        return Ok(tensors);
    }
    for (key, average) in pairs {
        let Some(tensor) = tensors.remove(&average) else {
            return Err(Error::input(format!(
                "`{average}` is missing: other parameters have averages under `model_ema.`, but `{key}` has none"
            )));
        };
        tensors.insert(key, tensor);
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{HostTensor, Values, parameters};
    use crate::initializer::Initializer;
    use crate::tokenizer::magvit2::{Decoder, Encoder};
    use burn::tensor::Device;

    fn small() -> TokenizerConfig {
        TokenizerConfig {
            family: Family::Magvit2,
            resolution: 128,
            channels: 32,
            channel_multipliers: vec![1, 2, 2],
            residual_blocks: 2,
            attention_resolutions: Vec::new(),
            z_channels: 5,
            embed_dim: 5,
            codebook_size: 32,
            quantizer: QuantizerKind::Lfq,
            lfq_high_bit_first: false,
            ..TokenizerConfig::default()
        }
    }

    fn published() -> TensorMap {
        let mut init = Initializer::seeded(&Device::flex(), 3);
        let encoder = Encoder::new(&mut init, &small());
        let decoder = Decoder::new(&mut init, &small());
        let mut tensors = parameters(&encoder, "encoder.", str::to_string);
        tensors.extend(parameters(&decoder, "decoder.", str::to_string));
        let loss = HostTensor::f32([1], vec![0.0]);
        tensors.insert("loss.discriminator.main.0.bias".to_string(), loss);
        tensors
    }

    /// An average that is told from its parameter by being 7 everywhere.
    fn averaged(tensors: &TensorMap) -> TensorMap {
        let average = |(key, tensor): (&String, &HostTensor)| {
            let count = tensor.shape.iter().product();
            let sevens = HostTensor::f32(tensor.shape.clone(), vec![7.0; count]);
            (format!("model_ema.{}", key.replace('.', "")), sevens)
        };
        let mut all: TensorMap = tensors.iter().map(average).collect();
        all.extend(tensors.clone());
        let decay = HostTensor::f32([1], vec![0.999]);
        all.insert("model_ema.decay".to_string(), decay);
        all
    }

    #[test]
    fn the_network_is_read_off_the_shapes() {
        let published = published();
        assert!(detect(&published));
        let (config, tensors) = plan(published.clone()).unwrap();
        assert_eq!(config, small());
        assert_eq!(tensors.len() + 1, published.len());
        for (key, tensor) in &tensors {
            assert!(published[key] == *tensor, "{key}");
        }
    }

    #[test]
    fn averages_take_the_place_of_parameters() {
        let (config, tensors) = plan(averaged(&published())).unwrap();
        assert_eq!(config, small());
        assert_eq!(tensors.len() + 1, published().len());
        for (key, tensor) in &tensors {
            let Values::F32(values) = &tensor.values else {
                panic!("{key}");
            };
            assert!(values.iter().all(|&value| value == 7.0), "{key}");
        }
    }

    #[test]
    fn some_averages_are_too_few() {
        let mut tensors = averaged(&published());
        tensors.remove("model_ema.decoderconv_outbias");
        let error = plan(tensors).unwrap_err().to_string();
        assert!(error.contains("model_ema.decoderconv_outbias"), "{error}");
    }

    #[test]
    fn codes_of_too_many_bits_are_refused() {
        let mut tensors = published();
        let wide = HostTensor::f32([40, 64, 1, 1], vec![0.0; 40 * 64]);
        tensors.insert("encoder.conv_out.weight".to_string(), wide);
        let error = plan(tensors).unwrap_err().to_string();
        assert!(error.contains("40 bits"), "{error}");
    }
}
