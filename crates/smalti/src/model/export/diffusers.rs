//! Folders for diffusers: `config.json` and the weights of a `VQModel`
//! (src/diffusers/models/autoencoders/vq_model.py), under the names of version 0.15 and later.

use super::{no_such_quantizer, require_paper_network, sides, tokenizer_tensors};
use crate::checkpoint::{TensorMap, write_atomic, write_plain_tensors};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::tokenizer::{QuantizerKind, TokenizerConfig};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const PROGRAM: &str = "diffusers";
const WEIGHTS: &str = "diffusion_pytorch_model.safetensors";
const CONFIG: &str = "config.json";

pub fn files(out: &Path) -> Vec<PathBuf> {
    vec![out.join(WEIGHTS), out.join(CONFIG)]
}

pub fn write(model: &Model, out: &Path) -> Result<()> {
    if model.prior.is_some() {
        return Err(Error::input(format!(
            "{PROGRAM} has no transformer like this prior: export the tokenizer it was trained on by itself"
        )));
    }
    let config = configuration(&model.tokenizer_config)?;
    let tensors = tensors(tokenizer_tensors(model), model.tokenizer_config.levels());
    std::fs::create_dir_all(out).map_err(|error| Error::io(out, error))?;
    write_plain_tensors(&out.join(WEIGHTS), &tensors)?;
    write_atomic(&out.join(CONFIG), |file| {
        file.write_all(format!("{config:#}\n").as_bytes())
    })
}

fn configuration(config: &TokenizerConfig) -> Result<Value> {
    require_paper_network(config, PROGRAM)?;
    match config.quantizer {
        QuantizerKind::Nearest | QuantizerKind::Ema => {}
        other => return Err(no_such_quantizer(other, PROGRAM)),
    }
    if config.channel_multipliers.first() != Some(&1) {
        return Err(Error::input(format!(
            "channel_multipliers is {:?}; in {PROGRAM} the first is always 1",
            config.channel_multipliers
        )));
    }
    let block = |level: usize, name: &str| {
        let attention = if config.has_attention(level) {
            "Attn"
        } else {
            ""
        };
        format!("{attention}{name}")
    };
    let levels = 0..config.levels();
    let down: Vec<String> = levels
        .clone()
        .map(|level| block(level, "DownEncoderBlock2D"))
        .collect();
    let up: Vec<String> = levels
        .clone()
        .rev()
        .map(|level| block(level, "UpDecoderBlock2D"))
        .collect();
    let widths: Vec<usize> = levels.map(|level| config.width(level)).collect();
    Ok(json!({
        "_class_name": "VQModel",
        "act_fn": "silu",
        "block_out_channels": widths,
        "down_block_types": down,
        "in_channels": config.in_channels,
        "latent_channels": config.z_channels,
        "layers_per_block": config.residual_blocks,
        "lookup_from_codebook": false,
        "mid_block_add_attention": true,
        "norm_num_groups": 32,
        "norm_type": "group",
        "num_vq_embeddings": config.codebook_size,
        "out_channels": config.out_channels,
        "sample_size": sides(config, config.resolution / config.factor())[0],
        "up_block_types": up,
        "vq_embed_dim": config.embed_dim,
    }))
}

/// The tensors under their names; the 1×1 convolutions of attention are linear layers there.
fn tensors(own: TensorMap, levels: usize) -> TensorMap {
    let renamed = own.into_iter().map(|(key, mut tensor)| {
        if key.contains(".attn") && tensor.shape.len() == 4 {
            tensor.shape.truncate(2);
        }
        (name(&key, levels), tensor)
    });
    renamed.collect()
}

/// Their name of a tensor in a network of `levels` resolutions. Their decoder counts from the lowest.
fn name(key: &str, levels: usize) -> String {
    let steps: Vec<&str> = key.split('.').collect();
    match steps.as_slice() {
        [side, "norm_out", rest @ ..] => format!("{side}.conv_norm_out.{}", rest.join(".")),
        ["encoder", "down", level, rest @ ..] => {
            format!("encoder.down_blocks.{level}.{}", in_level(rest))
        }
        ["decoder", "up", level, rest @ ..] => {
            let level = level.parse().map_or(0, |level: usize| levels - 1 - level);
            format!("decoder.up_blocks.{level}.{}", in_level(rest))
        }
        [side, "mid", "block_1", rest @ ..] => {
            format!("{side}.mid_block.resnets.0.{}", rest.join("."))
        }
        [side, "mid", "block_2", rest @ ..] => {
            format!("{side}.mid_block.resnets.1.{}", rest.join("."))
        }
        [side, "mid", "attn_1", rest @ ..] => {
            format!("{side}.mid_block.attentions.0.{}", in_attention(rest))
        }
        _ => key.to_string(),
    }
}

fn in_level(steps: &[&str]) -> String {
    match steps {
        ["block", index, "nin_shortcut", rest @ ..] => {
            format!("resnets.{index}.conv_shortcut.{}", rest.join("."))
        }
        ["block", index, rest @ ..] => format!("resnets.{index}.{}", rest.join(".")),
        ["attn", index, rest @ ..] => format!("attentions.{index}.{}", in_attention(rest)),
        ["downsample", rest @ ..] => format!("downsamplers.0.{}", rest.join(".")),
        ["upsample", rest @ ..] => format!("upsamplers.0.{}", rest.join(".")),
        _ => steps.join("."),
    }
}

fn in_attention(steps: &[&str]) -> String {
    let layer = match steps.first() {
        Some(&"norm") => "group_norm",
        Some(&"q") => "to_q",
        Some(&"k") => "to_k",
        Some(&"v") => "to_v",
        Some(&"proj_out") => "to_out.0",
        _ => return steps.join("."),
    };
    format!("{layer}.{}", steps[1..].join("."))
}
