//! `VQModel` of Hugging Face diffusers (src/diffusers/models/autoencoders/vq_model.py): the paper's network under other
//! names, with attention as linear layers. Their names changed once; both are read.

use super::{Plan, names, shape};
use crate::checkpoint::TensorMap;
use crate::error::{Error, Result};
use crate::tokenizer::{QuantizerKind, TokenizerConfig};
use serde_json::Value;

pub fn detect(tensors: &TensorMap) -> bool {
    names::has(tensors, "encoder.down_blocks.0.resnets.0.norm1.weight")
}

/// The shape is read off the tensors; `config.json` tells what they do not show and must agree with the rest.
pub fn plan(tensors: TensorMap, config: Option<&Value>) -> Result<Plan> {
    if let Some(config) = config {
        refuse_other_classes(config)?;
    }
    refuse_spatial_norm(&tensors)?;
    let mut tensors = names::renamed(tensors, |own, key| {
        authors_name(key, names::count(own, "decoder.up_blocks."))
    })?;
    shape::require_codebook(&tensors)?;
    for (key, tensor) in &mut tensors {
        // Linear layers of attention are 1×1 convolutions here, of the same numbers.
        if key.contains(".attn") && tensor.shape.len() == 2 {
            tensor.shape.extend([1, 1]);
        }
    }
    shape::add_middle_attention(&mut tensors)?;
    let shape = shape::infer(&tensors, QuantizerKind::Nearest)?;
    if let Some(config) = config {
        agree(config, &shape)?;
    }
    Ok(Plan::tokenizer(shape, tensors))
}

fn refuse_other_classes(config: &Value) -> Result<()> {
    let text = |name: &str| config.get(name).and_then(Value::as_str);
    match text("_class_name").unwrap_or_default() {
        "VQModel" => {}
        class if class.contains("KL") => return Err(shape::variational()),
        other => {
            return Err(Error::input(format!(
                "the model is a `{other}`; of the models of diffusers VQModel can be imported"
            )));
        }
    }
    if text("norm_type").is_some_and(|norm| norm != "group") {
        return Err(spatial_norm());
    }
    if let Some(activation) = text("act_fn").filter(|name| !["silu", "swish"].contains(name)) {
        return Err(Error::input(format!(
            "act_fn is `{activation}`; only networks with silu can be imported"
        )));
    }
    match config.get("norm_num_groups").and_then(Value::as_u64) {
        None | Some(32) => Ok(()),
        Some(groups) => Err(Error::input(format!(
            "norm_num_groups is {groups}; only networks with 32 can be imported"
        ))),
    }
}

fn refuse_spatial_norm(tensors: &TensorMap) -> Result<()> {
    if names::has(tensors, "decoder.conv_norm_out.conv_y.weight") {
        return Err(spatial_norm());
    }
    Ok(())
}

fn spatial_norm() -> Error {
    Error::input(
        "its decoder is normalised by the codes at every layer (norm_type: spatial), as that of MoVQ: only networks \
         with norm_type: group can be imported",
    )
}

/// Compares what a configuration says with what the weights are of.
fn agree(config: &Value, shape: &TokenizerConfig) -> Result<()> {
    let widths: Vec<usize> = (0..shape.levels())
        .map(|level| shape.width(level))
        .collect();
    let expected = [
        ("block_out_channels", Value::from(widths)),
        ("layers_per_block", Value::from(shape.residual_blocks)),
        ("latent_channels", Value::from(shape.z_channels)),
        ("num_vq_embeddings", Value::from(shape.codebook_size)),
        ("vq_embed_dim", Value::from(shape.embed_dim)),
    ];
    for (name, held) in expected {
        if let Some(said) = config.get(name)
            && !said.is_null()
            && *said != held
        {
            return Err(Error::input(format!(
                "`{name}` is {said}, but the weights are of a network with {held}: is this the configuration that \
                 belongs to them?"
            )));
        }
    }
    Ok(())
}

/// The authors' name of a tensor in a network of `levels` resolutions.
fn authors_name(key: &str, levels: usize) -> String {
    let steps: Vec<&str> = key.split('.').collect();
    match steps.as_slice() {
        [side, "conv_norm_out", rest @ ..] => format!("{side}.norm_out.{}", rest.join(".")),
        ["encoder", "down_blocks", level, rest @ ..] => {
            format!("encoder.down.{level}.{}", in_level(rest))
        }
        ["decoder", "up_blocks", level, rest @ ..] => {
            let level = names::reversed(level, levels);
            format!("decoder.up.{level}.{}", in_level(rest))
        }
        [side, "mid_block", "resnets", "0", rest @ ..] => {
            format!("{side}.mid.block_1.{}", rest.join("."))
        }
        [side, "mid_block", "resnets", "1", rest @ ..] => {
            format!("{side}.mid.block_2.{}", rest.join("."))
        }
        [side, "mid_block", "attentions", "0", rest @ ..] => {
            format!("{side}.mid.attn_1.{}", in_attention(rest))
        }
        _ => key.to_string(),
    }
}

/// What follows the number of a level.
fn in_level(steps: &[&str]) -> String {
    match steps {
        ["resnets", index, "conv_shortcut", rest @ ..] => {
            format!("block.{index}.nin_shortcut.{}", rest.join("."))
        }
        ["resnets", index, rest @ ..] => format!("block.{index}.{}", rest.join(".")),
        ["attentions", index, rest @ ..] => format!("attn.{index}.{}", in_attention(rest)),
        ["downsamplers", "0", rest @ ..] => format!("downsample.{}", rest.join(".")),
        ["upsamplers", "0", rest @ ..] => format!("upsample.{}", rest.join(".")),
        _ => steps.join("."),
    }
}

fn in_attention(steps: &[&str]) -> String {
    let (layer, rest) = match steps {
        ["to_out", "0", rest @ ..] => ("proj_out", rest),
        [layer, rest @ ..] => {
            let layer = match *layer {
                "group_norm" => "norm",
                "query" | "to_q" => "q",
                "key" | "to_k" => "k",
                "value" | "to_v" => "v",
                "proj_attn" => "proj_out",
                other => other,
            };
            (layer, rest)
        }
        [] => return String::new(),
    };
    format!("{layer}.{}", rest.join("."))
}
