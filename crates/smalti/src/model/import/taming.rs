//! The authors' checkpoints: a Lightning file, and the YAML beside it (repository CompVis/taming-transformers:
//! taming/models/vqgan.py). Our parameters have these names.

use super::{Plan, names, net2net, shape, yaml};
use crate::checkpoint::{HostTensor, TensorMap};
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
    let used_codes = take_remap(&mut own, stage)?;
    shape::add_middle_attention(&mut own)?;
    let config = match stage {
        Some(stage) => yaml::tokenizer(stage)?,
        None => shape::infer(&own, kind(&own))?,
    };
    let config = TokenizerConfig {
        used_codes,
        ..config
    };
    config.check()?;
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

/// Where only some codes are used, under new numbers (`remap` of the authors' quantisers): their list is in the file, as
/// the buffer `quantize.used`. The path in the YAML says nothing more.
fn take_remap(tensors: &mut TensorMap, stage: Option<&Value>) -> Result<usize> {
    let asked = stage.and_then(|stage| yaml::params(stage).ok()?.get("remap"));
    let asked = asked.is_some_and(|remap| !remap.is_null());
    let Some(used) = tensors.remove("quantize.used") else {
        return match asked {
            true => Err(Error::input(
                "params.remap is set, but the file has no `quantize.used` that says which codes are used",
            )),
            false => Ok(0),
        };
    };
    if tensors.contains_key("quantize.proj.weight") {
        return Err(Error::input(
            "`quantize.used` of a GumbelVQ restricts what its codes are chosen from: that cannot be imported",
        ));
    }
    let numbers = used.as_i64().filter(|numbers| !numbers.is_empty());
    let numbers = numbers.ok_or_else(|| Error::input("`quantize.used` is no list of codes"))?;
    if let Some(wrong) = numbers
        .iter()
        .find(|number| !(0..1 << 24).contains(*number))
    {
        return Err(Error::input(format!(
            "`quantize.used` names {wrong}, which is no code"
        )));
    }
    let count = numbers.len();
    let floats = numbers.iter().map(|&number| number as f32).collect();
    tensors.insert("remap.used".into(), HostTensor::f32([count], floats));
    Ok(count)
}
