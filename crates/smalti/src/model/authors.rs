//! The authors' checkpoints: a Lightning file and the YAML beside it, to a [`Model`] of ours (repository
//! CompVis/taming-transformers: taming/models/vqgan.py, taming/models/cond_transformer.py).

use super::{Model, ModelInfo};
use crate::checkpoint::{TensorMap, foreign};
use crate::error::{Error, Result};
use crate::prior::PriorConfig;
use crate::prior::condition::{ClassCondition, Condition, StartToken};
use crate::tokenizer::{QuantizerKind, TokenizerConfig};
use crate::training::settings::parse_yaml;
use burn::tensor::Device;
use serde_json::Value;
use std::path::Path;

/// Converts the authors' `VQModel` or `Net2NetTransformer` checkpoint with its YAML configuration.
///
/// # Errors
/// A file that is no checkpoint, a YAML that names another model, or weights that do not fit the YAML.
pub fn import(checkpoint: &Path, config: &Path, device: &Device) -> Result<Model> {
    let text = std::fs::read_to_string(config).map_err(|error| Error::io(config, error))?;
    let yaml = Value::Object(parse_yaml(&text).map_err(|message| Error::file(config, message))?);
    let in_config = |error: Error| Error::file(config, error.to_string());
    let plan = Plan::read(&yaml).map_err(in_config)?;
    let file = foreign::read(checkpoint)?;
    let step = file.numbers.get("global_step").copied().unwrap_or(0.0);
    let tensors = plan.rename(file.tensors);
    let model = Model::from_tensors(plan.tokenizer, plan.prior, &tensors, device)
        .map_err(|error| Error::file(checkpoint, error.to_string()))?;
    Ok(Model {
        info: ModelInfo {
            step: step.max(0.0) as u64,
            recipe: yaml,
            source: checkpoint
                .file_name()
                .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            ..ModelInfo::default()
        },
        ..model
    })
}

/// What a YAML asks for, and how its checkpoint names things.
struct Plan {
    tokenizer: TokenizerConfig,
    prior: Option<PriorConfig>,
    /// What stands before the tokenizer's keys in the checkpoint.
    tokenizer_prefix: &'static str,
}

impl Plan {
    fn read(yaml: &Value) -> Result<Self> {
        let model = field(yaml, "model")?;
        let params = field(model, "params")?;
        match class_name(model)? {
            "VQModel" | "VQSegmentationModel" => Ok(Self {
                tokenizer: tokenizer_config(params)?,
                prior: None,
                tokenizer_prefix: "",
            }),
            "Net2NetTransformer" => {
                let first_stage = field(params, "first_stage_config")?;
                let tokenizer = match class_name(first_stage)? {
                    "VQModel" | "VQSegmentationModel" => {
                        tokenizer_config(field(first_stage, "params")?)?
                    }
                    other => return Err(unsupported("first stage", other)),
                };
                Ok(Self {
                    prior: Some(prior_config(params, &tokenizer)?),
                    tokenizer,
                    tokenizer_prefix: "first_stage_model.",
                })
            }
            other => Err(unsupported("model", other)),
        }
    }

    /// Only the tensors of the two networks, under our keys. The perceptual network, the discriminator and the attention
    /// masks are left out: nothing of the model depends on them.
    fn rename(&self, tensors: TensorMap) -> TensorMap {
        let rename = |key: String| -> Option<String> {
            if self.prior.is_some() && key.starts_with("transformer.") {
                return Some(key);
            }
            let rest = key.strip_prefix(self.tokenizer_prefix)?;
            Some(format!("tokenizer.{rest}"))
        };
        tensors
            .into_iter()
            .filter_map(|(key, tensor)| Some((rename(key)?, tensor)))
            .collect()
    }
}

fn unsupported(what: &str, name: &str) -> Error {
    Error::input(format!(
        "the {what} is a `{name}`; VQModel, VQSegmentationModel, and Net2NetTransformer over one of them can be imported"
    ))
}

fn tokenizer_config(params: &Value) -> Result<TokenizerConfig> {
    let shape = field(params, "ddconfig")?;
    if shape.get("double_z").and_then(Value::as_bool) == Some(true) {
        return Err(Error::input(
            "ddconfig.double_z is true: that is a variational autoencoder, not a VQGAN",
        ));
    }
    if params.get("remap").is_some_and(|remap| !remap.is_null()) {
        return Err(Error::input(
            "params.remap is set: remapped codebooks cannot be imported yet",
        ));
    }
    let config = TokenizerConfig {
        resolution: number(shape, "resolution")?,
        in_channels: number(shape, "in_channels")?,
        out_channels: number(shape, "out_ch")?,
        channels: number(shape, "ch")?,
        channel_multipliers: numbers(shape, "ch_mult")?,
        residual_blocks: number(shape, "num_res_blocks")?,
        attention_resolutions: numbers(shape, "attn_resolutions")?,
        z_channels: number(shape, "z_channels")?,
        embed_dim: number(params, "embed_dim")?,
        codebook_size: number(params, "n_embed")?,
        quantizer: QuantizerKind::Nearest,
        beta: 0.25,
        // VQModel never passes `legacy` on, so every model of the authors was trained with the old weighting.
        legacy_beta: true,
        ..TokenizerConfig::default()
    };
    config.check()?;
    Ok(config)
}

fn prior_config(params: &Value, tokenizer: &TokenizerConfig) -> Result<PriorConfig> {
    let transformer = field(field(params, "transformer_config")?, "params")?;
    let condition = condition(params)?;
    if let Some(permuter) = params
        .get("permuter_config")
        .filter(|value| !value.is_null())
    {
        match class_name(permuter)? {
            "Identity" => {}
            other => {
                return Err(Error::input(format!(
                    "the code order `{other}` cannot be imported yet"
                )));
            }
        }
    }
    let block_size = number(transformer, "block_size")?;
    let side = tokenizer.resolution / tokenizer.factor();
    // The authors never store the grid; their models are trained on square pictures of the nominal resolution, or on
    // as many codes as the longest sequence has room for.
    let codes = block_size
        .saturating_add(1)
        .saturating_sub(condition.length());
    let side = if side * side <= codes {
        side
    } else {
        codes.isqrt()
    };
    let dropout = |name: &str| transformer.get(name).and_then(Value::as_f64).unwrap_or(0.0);
    let config = PriorConfig {
        layers: optional_number(transformer, "n_layer", 12)?,
        heads: optional_number(transformer, "n_head", 8)?,
        width: optional_number(transformer, "n_embd", 256)?,
        rows: side,
        columns: side,
        block_size,
        vocabulary_size: number(transformer, "vocab_size")?,
        embedding_dropout: dropout("embd_pdrop"),
        residual_dropout: dropout("resid_pdrop"),
        attention_dropout: dropout("attn_pdrop"),
        unmasked_prefix: optional_number(transformer, "n_unmasked", 0)?,
        condition,
    };
    config.check()?;
    Ok(config)
}

fn condition(params: &Value) -> Result<Condition> {
    let start_token = optional_number(params, "sos_token", 0)?;
    let unconditional = params.get("unconditional").and_then(Value::as_bool) == Some(true);
    let stage = field(params, "cond_stage_config")?;
    if unconditional || stage.as_str() == Some("__is_unconditional__") {
        return Ok(Condition::None(StartToken { start_token }));
    }
    match class_name(stage)? {
        "SOSProvider" => {
            let start_token = optional_number(field(stage, "params")?, "sos_token", 0)?;
            Ok(Condition::None(StartToken { start_token }))
        }
        "Labelator" => Ok(Condition::Class(ClassCondition {
            classes: number(field(stage, "params")?, "n_classes")?,
            names: Vec::new(),
        })),
        other => Err(Error::input(format!(
            "the condition stage `{other}` cannot be imported yet"
        ))),
    }
}

fn field<'a>(value: &'a Value, name: &str) -> Result<&'a Value> {
    value.get(name).ok_or_else(|| {
        Error::input(format!(
            "`{name}` is missing: is this the YAML that belongs to the checkpoint?"
        ))
    })
}

/// The last part of `target: taming.models.vqgan.VQModel`.
fn class_name(value: &Value) -> Result<&str> {
    let target = field(value, "target")?.as_str().unwrap_or_default();
    Ok(target.rsplit('.').next().unwrap_or_default())
}

fn number(value: &Value, name: &str) -> Result<usize> {
    field(value, name)?
        .as_u64()
        .and_then(|number| usize::try_from(number).ok())
        .ok_or_else(|| Error::input(format!("`{name}` is not a whole number")))
}

fn optional_number(value: &Value, name: &str, default: usize) -> Result<usize> {
    match value.get(name) {
        Some(_) => number(value, name),
        None => Ok(default),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_largest_number_is_no_block_size() {
        let shape = json!({
            "resolution": 16, "in_channels": 3, "out_ch": 3, "ch": 32, "ch_mult": [1, 1], "num_res_blocks": 1,
            "attn_resolutions": [], "z_channels": 32,
        });
        let tokenizer = json!({"embed_dim": 4, "n_embed": 16, "ddconfig": shape});
        let yaml = json!({"model": {"target": "cond_transformer.Net2NetTransformer", "params": {
            "transformer_config": {"params": {"vocab_size": 16, "block_size": u64::MAX}},
            "first_stage_config": {"target": "vqgan.VQModel", "params": tokenizer},
            "cond_stage_config": "__is_unconditional__",
        }}});
        let Err(error) = Plan::read(&yaml) else {
            panic!("a prior with {} positions", u64::MAX);
        };
        assert!(error.to_string().starts_with("block_size is "), "{error}");
    }
}
