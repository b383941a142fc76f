//! `smalti info`: what a model file holds.

use crate::{Common, models, output};
use clap::Args;
use serde_json::json;
use smalti::model::Model;
use smalti::prior::PriorConfig;
use smalti::prior::condition::Condition;
use smalti::{Module, Result};
use std::path::PathBuf;

#[derive(Args)]
pub struct Info {
    /// A model file or a run folder
    model: PathBuf,
}

impl Info {
    pub fn run(self, common: &Common) -> Result<()> {
        let model = models::load(&self.model, common)?;
        let json = json!({
            "kind": kind(&model),
            "tokenizer": model.tokenizer_config,
            "tokenizer_parameters": model.tokenizer.num_params(),
            "tokenizer_hash": model.tokenizer_hash(),
            "prior": model.prior.as_ref().map(|(config, _)| config),
            "prior_parameters": model.prior.as_ref().map(|(_, prior)| prior.num_params()),
            "info": model.info,
        });
        output::print(common, json, || lines(&model));
        Ok(())
    }
}

/// `tokenizer` or `tokenizer and class-conditional prior`.
pub fn kind(model: &Model) -> &'static str {
    match model.prior.as_ref().map(|(config, _)| &config.condition) {
        None => "tokenizer",
        Some(Condition::None(_)) => "tokenizer and unconditional prior",
        Some(Condition::Class(_)) => "tokenizer and class-conditional prior",
        Some(Condition::Coord(_)) => "tokenizer and coordinate-conditional prior",
        Some(Condition::Segmentation(_)) => "tokenizer and segmentation-conditional prior",
        Some(Condition::Depth(_)) => "tokenizer and depth-conditional prior",
        Some(Condition::Edges(_)) => "tokenizer and edge-conditional prior",
        Some(Condition::Pose(_)) => "tokenizer and pose-conditional prior",
        Some(Condition::Lowres(_)) => "tokenizer and superresolution prior",
        Some(Condition::Layout(_)) => "tokenizer and layout-conditional prior",
        Some(Condition::Text(_)) => "tokenizer and text-conditional prior",
    }
}

fn lines(model: &Model) -> Vec<String> {
    let tokenizer = &model.tokenizer_config;
    let mut lines = vec![
        format!("kind       {}", kind(model)),
        format!(
            "tokenizer  f {}, {} codes of {} dimensions ({:?}), {:.2} M parameters",
            tokenizer.factor(),
            tokenizer.codebook_size,
            tokenizer.embed_dim,
            tokenizer.quantizer,
            model.tokenizer.num_params() as f64 / 1e6
        ),
    ];
    if let Some((config, prior)) = &model.prior {
        lines.push(format!(
            "prior      {}, {} × {} codes, {:.2} M parameters",
            config.describe(),
            config.rows,
            config.columns,
            prior.num_params() as f64 / 1e6
        ));
        lines.extend(condition(config));
    }
    lines.push(format!("trained    {} steps", model.info.step));
    if let Some(path) = model.info.data.get("path").and_then(|path| path.as_str()) {
        lines.push(format!("data       {path}"));
    }
    if !model.info.source.is_empty() {
        lines.push(format!("source     {}", model.info.source));
    }
    if !model.info.license.is_empty() {
        lines.push(format!("license    {}", model.info.license));
    }
    lines.push(format!("hash       {}", model.tokenizer_hash()));
    lines
}

/// What the prior's pictures are drawn under.
fn condition(config: &PriorConfig) -> Vec<String> {
    let length = config.condition.length();
    let mut lines = match &config.condition {
        Condition::None(_) => Vec::new(),
        Condition::Class(classes) => vec![format!("classes    {}", classes.describe())],
        Condition::Layout(layout) => vec![format!(
            "layout     up to {} objects of {}, {length} tokens",
            layout.max_objects,
            layout.describe()
        )],
        Condition::Text(_) => vec![format!(
            "condition  text, {length} vectors before the codes"
        )],
        other => vec![format!(
            "condition  {}, {length} tokens before the codes",
            other.name()
        )],
    };
    if !config.order.is_raster() {
        lines.push(format!("order      {:?}", config.order));
    }
    lines
}
