//! The authors' checkpoints: a Lightning file, and the YAML beside it (repository CompVis/taming-transformers:
//! taming/models/vqgan.py). Our parameters have these names.

use super::{Plan, names, net2net, shape, yaml};
use crate::checkpoint::TensorMap;
use crate::error::{Error, Result};
use crate::tokenizer::{QuantizerKind, TokenizerConfig};
use serde_json::Value;

pub fn detect(tensors: &TensorMap) -> bool {
    names::has(tensors, "encoder.down.0.block.0.norm1.weight")
        && names::has(tensors, "encoder.mid.block_1.norm1.weight")
}

/// A tokenizer, or a transformer over one.
pub fn plan(tensors: TensorMap, config: Option<&Value>) -> Result<Plan> {
    let model = config
        .map(|config| yaml::field(config, "model"))
        .transpose()?;
    let is_transformer = match model {
        Some(model) => yaml::class_name(model)? == "Net2NetTransformer",
        None => net2net::detect(&tensors),
    };
    if is_transformer {
        return net2net::plan(tensors, config);
    }
    let (config, tensors) = tokenizer(tensors, model)?;
    Ok(Plan::tokenizer(config, tensors))
}

/// The tokenizer among a file's tensors, and these without what stands before their names. `stage` is the part of the
/// YAML that describes it; without one the shape is read off the tensors.
pub fn tokenizer(
    tensors: TensorMap,
    stage: Option<&Value>,
) -> Result<(TokenizerConfig, TensorMap)> {
    let prefix = names::prefix(&tensors)?;
    let mut own = names::take(tensors, &prefix);
    shape::require_codebook(&own)?;
    refuse_remapped(&own, stage)?;
    shape::add_middle_attention(&mut own)?;
    let config = match stage {
        Some(stage) => yaml::tokenizer(stage)?,
        None => shape::infer(&own, kind(&own))?,
    };
    Ok((config, own))
}

/// The authors' quantiser that leaves such tensors.
fn kind(tensors: &TensorMap) -> QuantizerKind {
    if tensors.contains_key("quantize.proj.weight") {
        QuantizerKind::Gumbel
    } else if tensors.contains_key("quantize.embedding.cluster_size") {
        QuantizerKind::Ema
    } else {
        QuantizerKind::Nearest
    }
}

/// Refuses codebooks of which only some rows are used, under new numbers (`remap` of the authors' quantisers, whose
/// buffer is `quantize.used`).
fn refuse_remapped(tensors: &TensorMap, stage: Option<&Value>) -> Result<()> {
    let asked = stage.and_then(|stage| yaml::params(stage).ok()?.get("remap"));
    if asked.is_some_and(|remap| !remap.is_null()) || tensors.contains_key("quantize.used") {
        return Err(Error::input(
            "params.remap is set, or the file has `quantize.used`: remapped codebooks cannot be imported yet",
        ));
    }
    Ok(())
}
