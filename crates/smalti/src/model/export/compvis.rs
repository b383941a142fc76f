//! Checkpoints for the authors' code (repository CompVis/taming-transformers): the weights as safetensors or as
//! `torch.save` writes them, and a YAML as of their `configs/`. Tokenizers alone are a `VQModel` or `GumbelVQ`, with a
//! prior a `Net2NetTransformer`; with `strict=True` all of its keys are there.

use super::{no_such_quantizer, require_paper_network, sides, tokenizer_tensors};
use crate::checkpoint::{
    HostTensor, TensorMap, parameters, write_atomic, write_plain_tensors, write_torch,
};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::prior::condition::layout::Places;
use crate::prior::condition::{Condition, LayoutCondition};
use crate::prior::{Gpt, PriorConfig, ScanOrder};
use crate::tokenizer::{QuantizerKind, TokenizerConfig};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const PROGRAM: &str = "CompVis' code";

/// The checkpoint, and the YAML beside it.
pub fn files(out: &Path) -> Result<Vec<PathBuf>> {
    match extension(out) {
        "safetensors" | "ckpt" | "pt" | "pth" => {
            Ok(vec![out.to_path_buf(), out.with_extension("yaml")])
        }
        _ => Err(Error::input(format!(
            "{}: the file's name must end in .ckpt, .pt, .pth or .safetensors, which say how to write it",
            out.display()
        ))),
    }
}

fn extension(path: &Path) -> &str {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.unwrap_or_default()
}

pub fn write(model: &Model, out: &Path) -> Result<()> {
    files(out)?;
    let yaml = serde_saphyr::to_string(&configuration(model)?)
        .map_err(|error| Error::file(out, format!("its YAML cannot be written: {error}")))?;
    let tensors = tensors(model);
    if extension(out) == "safetensors" {
        write_plain_tensors(out, &tensors)?;
    } else {
        let step = i64::try_from(model.info.step).unwrap_or(i64::MAX);
        write_torch(out, "state_dict", &tensors, &[("global_step", step)])?;
    }
    write_atomic(&out.with_extension("yaml"), |file| {
        file.write_all(yaml.as_bytes())
    })
}

fn tensors(model: &Model) -> TensorMap {
    let own = tokenizer_tensors(model);
    let Some((config, gpt)) = &model.prior else {
        return own;
    };
    let condition = match config.condition.second_picture() {
        // One and the same module of theirs has its tensors under both names.
        Some(_) => tokenizer_tensors(model.condition_tokenizer()),
        None => TensorMap::new(),
    };
    let mut tensors = parameters(gpt, "transformer.", Gpt::key);
    let mask = mask(config);
    for layer in 0..config.layers {
        let key = format!("transformer.blocks.{layer}.attn.mask");
        tensors.insert(key, mask.clone());
    }
    for (prefix, part) in [
        ("first_stage_model.", own),
        ("cond_stage_model.", condition),
    ] {
        for (key, tensor) in part {
            tensors.insert(format!("{prefix}{key}"), tensor);
        }
    }
    if !config.order.is_raster() {
        tensors.extend(permuter(config));
    }
    tensors
}

/// The order of codes, there and back. Their permuters keep it in the checkpoint.
fn permuter(config: &PriorConfig) -> TensorMap {
    let forward = config.positions();
    let mut backward = vec![0; forward.len()];
    for (place, &cell) in forward.iter().enumerate() {
        backward[cell] = place as i64;
    }
    let forward = forward.into_iter().map(|cell| cell as i64).collect();
    [("forward", forward), ("backward", backward)]
        .map(|(name, places): (&str, Vec<i64>)| {
            let tensor = HostTensor::i64([places.len()], places);
            (format!("permuter.{name}_shuffle_idx"), tensor)
        })
        .into()
}

/// Which positions see which, `[1, 1, block_size, block_size]`. Their attention keeps it in the checkpoint.
fn mask(config: &PriorConfig) -> HostTensor {
    let (side, open) = (config.block_size, config.unmasked_prefix);
    let sees = |from: usize, to: usize| to <= from || (from < open && to < open);
    let values = (0..side * side)
        .map(|place| f32::from(u8::from(sees(place / side, place % side))))
        .collect();
    HostTensor::f32([1, 1, side, side], values)
}

fn configuration(model: &Model) -> Result<Value> {
    let config = &model.tokenizer_config;
    require_paper_network(config, PROGRAM)?;
    require_gpt(model)?;
    let mut stage = match &model.prior {
        Some((prior, _)) => transformer(prior, config)?,
        None => tokenizer(config, config.resolution / config.factor())?,
    };
    stage["base_learning_rate"] = json!(4.5e-6);
    let mut whole = json!({ "model": stage });
    if let Some((prior, _)) = &model.prior
        && let Condition::Layout(layout) = &prior.condition
    {
        whole["data"] = layout_data(layout);
    }
    Ok(whole)
}

/// Refuses priors that their transformer is not.
fn require_gpt(model: &Model) -> Result<()> {
    match &model.prior {
        Some((config, _)) if !config.network.is_gpt() => Err(Error::input(format!(
            "{PROGRAM} has no such prior ({}): only the tokenizer and a gpt can be exported",
            config.describe()
        ))),
        _ => Ok(()),
    }
}

/// `lowest` is the side of the code grid.
fn tokenizer(config: &TokenizerConfig, lowest: usize) -> Result<Value> {
    let class = match config.quantizer {
        // Their own class of averaged codebooks cannot be made; without training it computes the same.
        QuantizerKind::Nearest | QuantizerKind::Ema => "VQModel",
        QuantizerKind::Gumbel => "GumbelVQ",
        other => return Err(no_such_quantizer(other, PROGRAM)),
    };
    let sides = sides(config, lowest);
    let attention: Vec<usize> = (0..config.levels())
        .filter(|&level| config.has_attention(level))
        .map(|level| sides[level])
        .collect();
    let mut params = json!({
        "embed_dim": config.embed_dim,
        "n_embed": config.codebook_size,
        "ddconfig": {
            "double_z": false,
            "z_channels": config.z_channels,
            "resolution": sides[0],
            "in_channels": config.in_channels,
            "out_ch": config.out_channels,
            "ch": config.channels,
            "ch_mult": config.channel_multipliers,
            "num_res_blocks": config.residual_blocks,
            "attn_resolutions": attention,
            "dropout": 0.0,
        },
        "lossconfig": { "target": "taming.modules.losses.vqperceptual.DummyLoss" },
    });
    if class == "GumbelVQ" {
        if config.z_channels != config.embed_dim {
            return Err(Error::input(format!(
                "z_channels is {} and embed_dim is {}; the GumbelVQ of {PROGRAM} has them equal",
                config.z_channels, config.embed_dim
            )));
        }
        params["kl_weight"] = json!(config.kl_weight);
        params["temperature_scheduler_config"] = json!({
            "target": "taming.lr_scheduler.LambdaWarmUpCosineScheduler",
            "params": {
                "warm_up_steps": 0,
                "max_decay_steps": 1_000_001,
                "lr_start": 0.9,
                "lr_max": 0.9,
                "lr_min": 1e-6,
            },
        });
    }
    Ok(json!({ "target": format!("taming.models.vqgan.{class}"), "params": params }))
}

/// The most values that masks may have: no file accounts for them, and they grow with the square of the block size.
const MOST_MASKED: usize = 1 << 28;

fn transformer(prior: &PriorConfig, config: &TokenizerConfig) -> Result<Value> {
    let masked = prior.block_size.saturating_pow(2);
    if masked.saturating_mul(prior.layers) > MOST_MASKED {
        return Err(Error::input(format!(
            "block_size is {} and layers is {}; the masks that {PROGRAM} keeps of them would take more than a gigabyte",
            prior.block_size, prior.layers
        )));
    }
    if prior.rows != prior.columns {
        return Err(Error::input(format!(
            "the prior draws {} × {} codes; {PROGRAM} takes the grid from the side of a square picture",
            prior.rows, prior.columns
        )));
    }
    let mut params = json!({
        "first_stage_key": "image",
        "transformer_config": {
            "target": "taming.modules.transformer.mingpt.GPT",
            "params": {
                "vocab_size": prior.vocabulary_size,
                "block_size": prior.block_size,
                "n_layer": prior.layers,
                "n_head": prior.heads,
                "n_embd": prior.width,
                "embd_pdrop": prior.embedding_dropout,
                "resid_pdrop": prior.residual_dropout,
                "attn_pdrop": prior.attention_dropout,
                "n_unmasked": prior.unmasked_prefix,
            },
        },
        "first_stage_config": tokenizer(config, prior.rows)?,
    });
    params["cond_stage_key"] = json!(key(&prior.condition));
    params["cond_stage_config"] = condition_stage(&prior.condition)?;
    if let Condition::None(start) = &prior.condition {
        params["sos_token"] = json!(start.start_token);
        params["unconditional"] = json!(true);
    }
    if let Some(picture) = prior.condition.second_picture()
        && picture.codes.size > 0
    {
        params["downsample_cond_size"] = json!(picture.codes.size);
    }
    if !prior.order.is_raster() {
        params["permuter_config"] = json!({
            "target": format!("taming.modules.transformer.permuter.{}", permuter_class(prior.order)),
            "params": { "H": prior.rows, "W": prior.columns },
        });
    }
    Ok(json!({
        "target": "taming.models.cond_transformer.Net2NetTransformer",
        "params": params,
    }))
}

fn permuter_class(order: ScanOrder) -> &'static str {
    match order {
        ScanOrder::Raster => "Identity",
        ScanOrder::Subsample => "Subsample",
        ScanOrder::ZCurve => "ZCurve",
        ScanOrder::SpiralOut => "SpiralOut",
        ScanOrder::SpiralIn => "SpiralIn",
        ScanOrder::Alternate => "AlternateParsing",
        ScanOrder::Random => "Random",
    }
}

/// Under what name their data sets have the condition.
fn key(condition: &Condition) -> &'static str {
    match condition {
        Condition::None(_) => "image",
        Condition::Class(_) => "class_label",
        Condition::Lowres(condition) if condition.factor == 1 => "image",
        Condition::Lowres(_) => "lr",
        Condition::Layout(layout) => conditional_key(layout),
        other => other.name(),
    }
}

fn conditional_key(layout: &LayoutCondition) -> &'static str {
    match layout.places {
        Places::Boxes => "objects_bbox",
        Places::Centers => "objects_center_points",
    }
}

fn condition_stage(condition: &Condition) -> Result<Value> {
    if let Some(picture) = condition.second_picture() {
        let Some(config) = picture.codes.tokenizer.as_deref() else {
            return Ok(json!("__is_first_stage__"));
        };
        require_paper_network(config, PROGRAM)?;
        let mut stage = tokenizer(config, picture.codes.rows)?;
        stage["params"]["image_key"] = json!(key(condition));
        return Ok(stage);
    }
    Ok(match condition {
        Condition::Class(condition) => json!({
            "target": "taming.modules.util.Labelator",
            "params": { "n_classes": condition.classes },
        }),
        Condition::Coord(condition) => json!({
            "target": "taming.modules.misc.coord.CoordStage",
            "params": { "n_embed": condition.levels, "down_factor": condition.factor },
        }),
        Condition::Layout(layout) => json!({
            "target": "taming.models.dummy_cond_stage.DummyCondStage",
            "params": { "conditional_key": conditional_key(layout) },
        }),
        Condition::Text(_) => {
            return Err(Error::input(format!(
                "this prior is conditioned on texts, of which {PROGRAM} knows nothing: it cannot be exported"
            )));
        }
        _ => json!("__is_unconditional__"),
    })
}

/// What of their data sets decides how objects become tokens.
fn layout_data(layout: &LayoutCondition) -> Value {
    json!({
        "params": { "train": {
            "target": "taming.data.annotated_objects_coco.AnnotatedObjectsCoco",
            "params": {
                "no_object_classes": layout.classes,
                "no_tokens": layout.token_count,
                "max_objects_per_image": layout.max_objects,
                "encode_crop": layout.encode_crop,
                "use_group_parameter": layout.use_group_parameter,
                "use_additional_parameters": layout.use_additional_parameters,
            },
        } },
    })
}
