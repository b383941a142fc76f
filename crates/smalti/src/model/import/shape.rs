//! The shape of the paper's network, read off the sizes of its tensors. They have the authors' names here
//! (taming/modules/diffusionmodules/model.py) and nothing before these.

use super::names;
use crate::checkpoint::{HostTensor, TensorMap};
use crate::error::{Error, Result};
use crate::tokenizer::{QuantizerKind, TokenizerConfig};

/// Nothing in the weights tells the size of the pictures a network was trained on; most were trained on this.
const RESOLUTION: usize = 256;

/// The configuration of the tokenizer that `tensors` are of, but for `kind`, which they do not show.
///
/// # Errors
/// A tensor that is missing or of a shape that no such network has, by name.
pub fn infer(tensors: &TensorMap, kind: QuantizerKind) -> Result<TokenizerConfig> {
    let channels = size(tensors, "encoder.conv_in.weight", 0)?;
    let levels = names::count(tensors, "encoder.down.");
    let mut multipliers = Vec::new();
    let mut attention_resolutions = Vec::new();
    for level in 0..levels {
        let key = format!("encoder.down.{level}.block.0.conv1.weight");
        multipliers.push(multiplier(&key, size(tensors, &key, 0)?, channels)?);
        let attention = format!("encoder.down.{level}.attn.0.q.weight");
        if tensors.contains_key(&attention) {
            attention_resolutions.push(RESOLUTION.checked_shr(level as u32).unwrap_or(0));
        }
    }
    let table = match kind {
        QuantizerKind::Gumbel => "quantize.embed.weight",
        _ => "quantize.embedding.weight",
    };
    let config = TokenizerConfig {
        resolution: RESOLUTION,
        in_channels: size(tensors, "encoder.conv_in.weight", 1)?,
        out_channels: size(tensors, "decoder.conv_out.weight", 0)?,
        channels,
        channel_multipliers: multipliers,
        residual_blocks: names::count(tensors, "encoder.down.0.block."),
        attention_resolutions,
        z_channels: size(tensors, "encoder.conv_out.weight", 0)?,
        embed_dim: size(tensors, "quant_conv.weight", 0)?,
        codebook_size: size(tensors, table, 0)?,
        ..authors(kind)
    };
    config.check()?;
    Ok(config)
}

/// The losses of the authors' quantisers: `VQModel` never passes `legacy` on, so every model was trained with the old
/// weighting, and 1e-8 is what `GumbelVQ` weighs the divergence with if not told otherwise.
pub fn authors(kind: QuantizerKind) -> TokenizerConfig {
    TokenizerConfig {
        quantizer: kind,
        kl_weight: 1e-8,
        beta: 0.25,
        legacy_beta: true,
        ..TokenizerConfig::default()
    }
}

fn multiplier(key: &str, width: usize, channels: usize) -> Result<usize> {
    if channels != 0 && width.is_multiple_of(channels) {
        return Ok(width / channels);
    }
    Err(Error::input(format!(
        "`{key}` has {width} channels, which is no multiple of the {channels} of the first convolution"
    )))
}

fn size(tensors: &TensorMap, key: &str, axis: usize) -> Result<usize> {
    let tensor = tensors
        .get(key)
        .ok_or_else(|| Error::input(format!("`{key}` is missing")))?;
    let size = tensor.shape.get(axis).copied();
    size.ok_or_else(|| {
        Error::input(format!(
            "`{key}` has shape {:?}, which no network of this kind has",
            tensor.shape
        ))
    })
}

/// Refuses the autoencoders of latent diffusion that have no codes, and files from which the codebook is missing.
pub fn require_codebook(tensors: &TensorMap) -> Result<()> {
    if tensors.keys().any(|key| key.starts_with("quantize.")) {
        return Ok(());
    }
    let written = size(tensors, "encoder.conv_out.weight", 0)?;
    let read = size(tensors, "decoder.conv_in.weight", 1)?;
    if read.checked_mul(2) == Some(written) {
        return Err(variational());
    }
    Err(Error::input(
        "`quantize.embedding.weight` is missing: it has no codebook",
    ))
}

/// What to say of an autoencoder with continuous latents.
pub fn variational() -> Error {
    Error::input(
        "this is a variational autoencoder (KL), whose latents are continuous: it has no codebook, and so no codes; \
         import a VQ model",
    )
}

/// Our network always has attention in the middle. One without is the same with an attention whose output is zero,
/// which passes its input on unchanged.
pub fn add_middle_attention(tensors: &mut TensorMap) -> Result<()> {
    for side in ["encoder", "decoder"] {
        let attention = format!("{side}.mid.attn_1");
        let any = format!("{attention}.");
        if tensors.keys().any(|key| key.starts_with(&any)) {
            continue;
        }
        let block = format!("{side}.mid.block_1.conv1.weight");
        let width = size(tensors, &block, 0)?;
        let held: usize = tensors
            .get(&block)
            .map_or(0, |tensor| tensor.shape.iter().product());
        // The block's kernel is nine times as large: nothing is made here that the file did not account for.
        if width.checked_mul(width).is_none_or(|values| values > held) {
            return Err(Error::input(format!(
                "`{block}` has a shape that no network of this kind has"
            )));
        }
        let mut insert = |name: &str, shape: &[usize], value: f32| {
            let values = vec![value; shape.iter().product()];
            tensors.insert(
                format!("{attention}.{name}"),
                HostTensor::f32(shape, values),
            );
        };
        insert("norm.weight", &[width], 1.0);
        insert("norm.bias", &[width], 0.0);
        for layer in ["q", "k", "v", "proj_out"] {
            insert(&format!("{layer}.weight"), &[width, width, 1, 1], 0.0);
            insert(&format!("{layer}.bias"), &[width], 0.0);
        }
    }
    Ok(())
}
