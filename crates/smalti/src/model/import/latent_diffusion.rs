//! The first stages of latent diffusion that have codes (repository CompVis/latent-diffusion:
//! ldm/models/autoencoder.py), vq-f4, vq-f8, vq-f8-n256, vq-f16 and those inside diffusion models, where
//! `first_stage_model.` stands before the names. Averages there (`model_ema.`) are the diffusion model's.

use super::{Plan, taming, yaml};
use crate::checkpoint::TensorMap;
use crate::error::Result;
use serde_json::Value;

/// Alone, first stages have the authors' names and nothing that would tell them apart, nor need they be.
pub fn detect(tensors: &TensorMap) -> bool {
    taming::detect(tensors)
        && tensors
            .keys()
            .any(|key| key.starts_with("model.diffusion_model."))
}

/// The first stage, described by the YAML's model itself or by that model's `first_stage_config`.
pub fn plan(tensors: TensorMap, config: Option<&Value>) -> Result<Plan> {
    let stage = config.map(first_stage).transpose()?;
    let (config, tensors) = taming::tokenizer(tensors, stage)?;
    Ok(Plan::tokenizer(config, tensors))
}

fn first_stage(config: &Value) -> Result<&Value> {
    let model = yaml::field(config, "model")?;
    let inner = yaml::params(model)?.get("first_stage_config");
    Ok(inner.unwrap_or(model))
}
