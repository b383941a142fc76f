//! MaskGIT's tokenizer as its PyTorch port stores it: `maskgit-vqgan-imagenet-f16-256.bin` of bytedance/1d-tokenizer,
//! and the `pytorch_model.bin` of huggingface/open-muse, whose keys are the same (scripts/convert_maskgit_vqgan.py
//! there). They are our keys too.

use super::levels::{dims, levels_of_blocks, weights};
use crate::checkpoint::{HostTensor, TensorMap};
use crate::error::Result;
use crate::tokenizer::config::{Family, QuantizerKind, TokenizerConfig};

/// The picture side the published model was trained with; it does not show in the weights.
const RESOLUTION: usize = 256;

/// Whether these are tensors of this family.
pub fn detect(tensors: &TensorMap) -> bool {
    let telling = [
        "encoder.mid.0.conv1.weight",
        "decoder.up.1.upsample_conv.weight",
        "quantize.embedding.weight",
    ];
    telling.iter().all(|key| tensors.contains_key(*key))
}

/// The configuration, and the tensors by the paths of our fields.
///
/// # Errors
/// A tensor that is missing or has a shape that no such network has, by name.
pub fn plan(mut tensors: TensorMap) -> Result<(TokenizerConfig, TensorMap)> {
    let [codebook_size, embed_dim] = dims::<2>(&tensors, "quantize.embedding.weight")?;
    let config = TokenizerConfig {
        family: Family::Maskgit,
        resolution: RESOLUTION,
        embed_dim,
        codebook_size,
        quantizer: QuantizerKind::Nearest,
        ..levels_of_blocks(&tensors)?
    };
    to_our_range(&mut tensors)?;
    Ok((config, tensors))
}

/// The published decoder writes pixels in [0, 1], ours in [-1, 1]: twice its last convolution, less 1.
fn to_our_range(tensors: &mut TensorMap) -> Result<()> {
    let parts = [
        ("decoder.conv_out.weight", 0.0_f32),
        ("decoder.conv_out.bias", -1.0),
    ];
    for (key, shift) in parts {
        let published = weights(tensors, key)?;
        let values = published.iter().map(|&value| value * 2.0 + shift).collect();
        if let Some(tensor) = tensors.get_mut(key) {
            *tensor = HostTensor::f32(tensor.shape.clone(), values);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::parameters;
    use crate::initializer::Initializer;
    use crate::tokenizer::maskgit::{Decoder, Encoder};
    use burn::tensor::Device;

    fn small() -> TokenizerConfig {
        TokenizerConfig {
            family: Family::Maskgit,
            resolution: 256,
            channels: 32,
            channel_multipliers: vec![1, 2, 2],
            residual_blocks: 2,
            attention_resolutions: Vec::new(),
            z_channels: 5,
            embed_dim: 5,
            codebook_size: 7,
            quantizer: QuantizerKind::Nearest,
            ..TokenizerConfig::default()
        }
    }

    fn published() -> TensorMap {
        let mut init = Initializer::seeded(&Device::flex(), 3);
        let encoder = Encoder::new(&mut init, &small());
        let decoder = Decoder::new(&mut init, &small());
        let mut tensors = parameters(&encoder, "encoder.", str::to_string);
        tensors.extend(parameters(&decoder, "decoder.", str::to_string));
        let codebook = HostTensor::f32([7, 5], vec![0.5; 35]);
        tensors.insert("quantize.embedding.weight".to_string(), codebook);
        tensors
    }

    #[test]
    fn the_network_is_read_off_the_shapes() {
        let published = published();
        assert!(detect(&published));
        let (config, tensors) = plan(published.clone()).unwrap();
        assert_eq!(config, small());
        assert!(tensors.keys().eq(published.keys()));
        for (key, tensor) in &tensors {
            let as_published = published[key] == *tensor;
            assert_eq!(as_published, !key.starts_with("decoder.conv_out."), "{key}");
        }
    }

    #[test]
    fn the_last_convolution_writes_our_range() {
        let mut published = published();
        let bias = HostTensor::f32([3], vec![0.0, 0.5, 1.0]);
        published.insert("decoder.conv_out.bias".to_string(), bias);
        let (_, tensors) = plan(published.clone()).unwrap();
        let bias = tensors["decoder.conv_out.bias"].as_f32().unwrap();
        assert_eq!(bias, [-1.0, 0.0, 1.0]);
        let key = "decoder.conv_out.weight";
        let doubled = weights(&published, key).unwrap().iter();
        let doubled: Vec<f32> = doubled.map(|&value| value * 2.0).collect();
        assert_eq!(weights(&tensors, key).unwrap(), doubled);
    }

    #[test]
    fn what_is_missing_is_named() {
        for key in [
            "encoder.conv_in.weight",
            "decoder.conv_out.bias",
            "quantize.embedding.weight",
        ] {
            let mut tensors = published();
            tensors.remove(key);
            let error = plan(tensors).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
