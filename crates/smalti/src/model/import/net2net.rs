//! The authors' transformers over a tokenizer (repository CompVis/taming-transformers:
//! taming/models/cond_transformer.py), unconditional and class-conditional.

use super::{Plan, taming, yaml};
use crate::checkpoint::TensorMap;
use crate::error::{Error, Result};
use crate::prior::PriorConfig;
use crate::prior::condition::{ClassCondition, Condition, StartToken};
use crate::tokenizer::TokenizerConfig;
use serde_json::Value;

pub fn detect(tensors: &TensorMap) -> bool {
    tensors.contains_key("transformer.tok_emb.weight")
}

/// The transformer and its first stage. `model` is that of the YAML.
///
/// # Errors
/// No YAML: the weights do not tell the number of heads, nor what the condition was.
pub fn plan(tensors: TensorMap, model: Option<&Value>) -> Result<Plan> {
    let Some(model) = model else {
        return Err(Error::input(
            "this is a transformer over a tokenizer, whose weights tell neither the number of heads nor the condition: \
             name the YAML that belongs to it with --config",
        ));
    };
    let params = yaml::params(model)?;
    let (prior, rest): (TensorMap, TensorMap) = tensors
        .into_iter()
        .partition(|(key, _)| key.starts_with("transformer."));
    let first_stage = yaml::field(params, "first_stage_config")?;
    let (tokenizer, own) = taming::tokenizer(rest, Some(first_stage))?;
    let config = prior_config(params, &tokenizer)?;
    let mut plan = Plan::tokenizer(tokenizer, own);
    plan.prior = Some(config);
    let weights = prior
        .into_iter()
        .filter(|(key, _)| !key.ends_with(".attn.mask"));
    plan.tensors.extend(weights);
    Ok(plan)
}

fn prior_config(params: &Value, tokenizer: &TokenizerConfig) -> Result<PriorConfig> {
    let transformer = yaml::params(yaml::field(params, "transformer_config")?)?;
    let condition = condition(params)?;
    refuse_other_orders(params)?;
    let block_size = yaml::number(transformer, "block_size")?;
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
    let dropout = |name: &str| yaml::optional_float(transformer, name, 0.0);
    let config = PriorConfig {
        layers: yaml::optional_number(transformer, "n_layer", 12)?,
        heads: yaml::optional_number(transformer, "n_head", 8)?,
        width: yaml::optional_number(transformer, "n_embd", 256)?,
        rows: side,
        columns: side,
        block_size,
        vocabulary_size: yaml::number(transformer, "vocab_size")?,
        embedding_dropout: dropout("embd_pdrop"),
        residual_dropout: dropout("resid_pdrop"),
        attention_dropout: dropout("attn_pdrop"),
        unmasked_prefix: yaml::optional_number(transformer, "n_unmasked", 0)?,
        condition,
    };
    config.check()?;
    Ok(config)
}

fn refuse_other_orders(params: &Value) -> Result<()> {
    let permuter = params.get("permuter_config");
    let Some(permuter) = permuter.filter(|permuter| !permuter.is_null()) else {
        return Ok(());
    };
    match yaml::class_name(permuter)? {
        "Identity" => Ok(()),
        other => Err(Error::input(format!(
            "the code order `{other}` cannot be imported yet"
        ))),
    }
}

fn condition(params: &Value) -> Result<Condition> {
    let start_token = yaml::optional_number(params, "sos_token", 0)?;
    let unconditional = params.get("unconditional").and_then(Value::as_bool) == Some(true);
    let stage = yaml::field(params, "cond_stage_config")?;
    if unconditional || stage.as_str() == Some("__is_unconditional__") {
        return Ok(Condition::None(StartToken { start_token }));
    }
    match yaml::class_name(stage)? {
        "SOSProvider" => {
            let start_token = yaml::optional_number(yaml::params(stage)?, "sos_token", 0)?;
            Ok(Condition::None(StartToken { start_token }))
        }
        "Labelator" => Ok(Condition::Class(ClassCondition {
            classes: yaml::number(yaml::params(stage)?, "n_classes")?,
            names: Vec::new(),
        })),
        other => Err(Error::input(format!(
            "the condition stage `{other}` cannot be imported yet"
        ))),
    }
}
