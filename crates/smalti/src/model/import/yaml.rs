//! The YAML of the authors' programs, which those that came after them kept: `target` names a class (Lightning's own
//! command line: `class_path`), `params` (`init_args`) are its arguments.

use super::{Format, shape};
use crate::error::{Error, Result};
use crate::tokenizer::{QuantizerKind, TokenizerConfig};
use serde_json::Value;

/// The format that a configuration's `model` is of, where its class is known.
pub fn format(config: &Value) -> Option<Format> {
    let path = class_path(config.get("model")?)?;
    let class = path.rsplit('.').next()?;
    if class == "IBQ" {
        return Some(Format::Ibq);
    }
    match path.split('.').next()? {
        "taming" => Some(Format::Taming),
        "ldm" => Some(Format::LatentDiffusion),
        _ => None,
    }
}

/// What a class is made with.
pub fn params(stage: &Value) -> Result<&Value> {
    match stage.get("init_args") {
        Some(params) => Ok(params),
        None => field(stage, "params"),
    }
}

/// The last part of `target: taming.models.vqgan.VQModel`.
pub fn class_name(stage: &Value) -> Result<&str> {
    let path = class_path(stage).ok_or_else(|| missing("target"))?;
    Ok(path.rsplit('.').next().unwrap_or_default())
}

fn class_path(stage: &Value) -> Option<&str> {
    stage.get("target").or(stage.get("class_path"))?.as_str()
}

/// The tokenizer that a class and its arguments make.
///
/// # Errors
/// A class that is no tokenizer of ours, and arguments that are missing or ask for what our network does not have.
pub fn tokenizer(stage: &Value) -> Result<TokenizerConfig> {
    let kind = match class_name(stage)? {
        "VQModel" | "VQSegmentationModel" | "VQNoDiscModel" | "VQModelInterface" => {
            QuantizerKind::Nearest
        }
        "GumbelVQ" => QuantizerKind::Gumbel,
        "EMAVQ" => QuantizerKind::Ema,
        "IBQ" => QuantizerKind::Ibq,
        "AutoencoderKL" => return Err(shape::variational()),
        other => return Err(unsupported(other)),
    };
    let params = params(stage)?;
    let network = field(params, "ddconfig")?;
    refuse_variants(network)?;
    let without_attention = network.get("attn_type").and_then(Value::as_str) == Some("none");
    let authors = shape::authors(kind);
    let config = TokenizerConfig {
        resolution: number(network, "resolution")?,
        in_channels: number(network, "in_channels")?,
        out_channels: number(network, "out_ch")?,
        channels: number(network, "ch")?,
        channel_multipliers: numbers(network, "ch_mult")?,
        residual_blocks: number(network, "num_res_blocks")?,
        attention_resolutions: if without_attention {
            Vec::new()
        } else {
            numbers(network, "attn_resolutions")?
        },
        z_channels: number(network, "z_channels")?,
        embed_dim: number(params, "embed_dim")?,
        codebook_size: number(params, "n_embed")?,
        kl_weight: optional_float(params, "kl_weight", authors.kl_weight.into()) as f32,
        ..authors
    };
    config.check()?;
    Ok(config)
}

/// Refuses what the authors' classes can be told to do and our network does not.
fn refuse_variants(network: &Value) -> Result<()> {
    if network.get("double_z").and_then(Value::as_bool) == Some(true) {
        return Err(shape::variational());
    }
    let linear = network.get("attn_type").and_then(Value::as_str) == Some("linear");
    let is = |name: &str, value: bool| network.get(name).and_then(Value::as_bool) == Some(value);
    let variants = [
        ("attn_type: linear", linear),
        ("use_linear_attn: true", is("use_linear_attn", true)),
        ("tanh_out: true", is("tanh_out", true)),
        ("give_pre_end: true", is("give_pre_end", true)),
        ("resamp_with_conv: false", is("resamp_with_conv", false)),
    ];
    match variants.iter().find(|(_, set)| *set) {
        Some((variant, _)) => Err(Error::input(format!(
            "ddconfig has `{variant}`: networks with that cannot be imported"
        ))),
        None => Ok(()),
    }
}

fn unsupported(class: &str) -> Error {
    Error::input(format!(
        "the model is a `{class}`; VQModel, VQModelInterface, VQSegmentationModel, GumbelVQ, EMAVQ and IBQ can be \
         imported, and Net2NetTransformer over one of them"
    ))
}

pub fn field<'a>(value: &'a Value, name: &str) -> Result<&'a Value> {
    value.get(name).ok_or_else(|| missing(name))
}

fn missing(name: &str) -> Error {
    Error::input(format!(
        "`{name}` is missing: is this the YAML that belongs to the checkpoint?"
    ))
}

pub fn number(value: &Value, name: &str) -> Result<usize> {
    field(value, name)?
        .as_u64()
        .and_then(|number| usize::try_from(number).ok())
        .ok_or_else(|| Error::input(format!("`{name}` is not a whole number")))
}

pub fn optional_number(value: &Value, name: &str, default: usize) -> Result<usize> {
    match value.get(name) {
        Some(_) => number(value, name),
        None => Ok(default),
    }
}

pub fn optional_float(value: &Value, name: &str, default: f64) -> f64 {
    value.get(name).and_then(Value::as_f64).unwrap_or(default)
}

fn numbers(value: &Value, name: &str) -> Result<Vec<usize>> {
    let list = field(value, name)?.as_array();
    list.and_then(|list| {
        list.iter()
            .map(|entry| entry.as_u64().map(|entry| entry as usize))
            .collect()
    })
    .ok_or_else(|| Error::input(format!("`{name}` is not a list of whole numbers")))
}
