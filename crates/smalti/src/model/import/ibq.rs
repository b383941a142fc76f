//! The IBQ tokenizers of Open-MAGVIT2 (repository TencentARC/SEED-Voken: src/IBQ/models/ibqgan.py,
//! src/IBQ/modules/vqvae/quantize.py): the authors' network and names, codes by the largest dot product. The published
//! files keep moving averages of all weights, which their programs draw pictures with, and so are taken here.

use super::{Plan, names, taming, yaml};
use crate::checkpoint::TensorMap;
use crate::error::{Error, Result};
use crate::tokenizer::{QuantizerKind, TokenizerConfig};
use serde_json::Value;

/// An average has the name of its parameter without dots.
const AVERAGES: &str = "model_ema.";

pub fn detect(tensors: &TensorMap) -> bool {
    taming::detect(tensors) && names::has(tensors, "model_ema.quantizeembeddingweight")
}

pub fn plan(mut tensors: TensorMap, config: Option<&Value>) -> Result<Plan> {
    let stage = config
        .map(|config| yaml::field(config, "model"))
        .transpose()?;
    let prefix = names::prefix(&tensors)?;
    take_averages(&mut tensors, &prefix)?;
    let (config, tensors) = taming::tokenizer(tensors, stage)?;
    // The loss is the authors' with the weights exchanged, as theirs was.
    let config = TokenizerConfig {
        quantizer: QuantizerKind::Ibq,
        ..config
    };
    Ok(Plan::tokenizer(config, tensors))
}

/// Puts the average of every parameter of the tokenizer in its place. Files without averages stay as they are.
///
/// # Errors
/// Averages of some parameters only.
fn take_averages(tensors: &mut TensorMap, prefix: &str) -> Result<()> {
    let averages = format!("{prefix}{AVERAGES}");
    if !tensors.keys().any(|key| key.starts_with(&averages)) {
        return Ok(());
    }
    let own: Vec<String> = tensors
        .keys()
        .filter(|key| names::is_part(key, prefix))
        .cloned()
        .collect();
    for key in own {
        let name = key[prefix.len()..].replace('.', "");
        let Some(average) = tensors.remove(&format!("{averages}{name}")) else {
            return Err(Error::input(format!(
                "`{averages}{name}` is missing, though the file has averages of other weights"
            )));
        };
        tensors.insert(key, average);
    }
    Ok(())
}
