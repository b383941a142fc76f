//! Checkpoints of other programs, to a [`Model`] of ours. The names of a file's tensors show what wrote it; their
//! sizes, or the configuration beside the file, the shape of the network. One file per family. Families with the
//! paper's network rename their tensors to the authors' names and share what follows (`shape`, `yaml`).

mod dalle;
mod diffusers;
mod ibq;
mod latent_diffusion;
mod levels;
mod llamagen;
mod magvit2;
mod maskgit;
mod names;
mod net2net;
mod shape;
mod source;
mod taming;
#[cfg(test)]
mod tests;
mod yaml;

use super::{Model, ModelInfo};
use crate::checkpoint::{HostTensor, TensorMap, parameter_keys};
use crate::error::{Error, Result};
use crate::prior::{Gpt, PriorConfig};
use crate::tokenizer::TokenizerConfig;
use burn::tensor::Device;
use serde_json::Value;
use source::{Config, Source};
use std::fmt;
use std::path::Path;

/// Whose names a checkpoint's tensors have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// CompVis/taming-transformers: tokenizers, and transformers over them.
    Taming,
    /// CompVis/latent-diffusion: first stages, alone or inside a diffusion model.
    LatentDiffusion,
    /// Hugging Face diffusers: `VQModel`.
    Diffusers,
    /// FoundationVision/LlamaGen: VQ-8 and VQ-16.
    Llamagen,
    /// TencentARC/SEED-Voken: IBQ.
    Ibq,
    /// The MaskGIT-VQGAN of bytedance/1d-tokenizer.
    Maskgit,
    /// TencentARC/SEED-Voken: Open-MAGVIT2.
    Magvit2,
    /// openai/DALL-E.
    Dalle,
}

impl Format {
    /// All of them, those with the most particular names first.
    pub const ALL: [Self; 8] = [
        Self::Dalle,
        Self::Maskgit,
        Self::Magvit2,
        Self::Llamagen,
        Self::Diffusers,
        Self::Ibq,
        Self::LatentDiffusion,
        Self::Taming,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Taming => "taming",
            Self::LatentDiffusion => "latent-diffusion",
            Self::Diffusers => "diffusers",
            Self::Llamagen => "llamagen",
            Self::Ibq => "ibq",
            Self::Maskgit => "maskgit",
            Self::Magvit2 => "magvit2",
            Self::Dalle => "dalle",
        }
    }

    /// The format of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Whether tensors have the names of this format.
    fn detect(self, tensors: &TensorMap) -> bool {
        match self {
            Self::Taming => taming::detect(tensors),
            Self::LatentDiffusion => latent_diffusion::detect(tensors),
            Self::Diffusers => diffusers::detect(tensors),
            Self::Llamagen => llamagen::detect(tensors),
            Self::Ibq => ibq::detect(tensors),
            Self::Maskgit => maskgit::detect(tensors),
            Self::Magvit2 => magvit2::detect(tensors),
            Self::Dalle => dalle::detect(tensors),
        }
    }

    fn plan(self, tensors: TensorMap, config: Option<&Value>) -> Result<Plan> {
        match self {
            Self::Taming => taming::plan(tensors, config),
            Self::LatentDiffusion => latent_diffusion::plan(tensors, config),
            Self::Diffusers => diffusers::plan(tensors, config),
            Self::Llamagen => llamagen::plan(tensors),
            Self::Ibq => ibq::plan(tensors, config),
            Self::Maskgit => maskgit::plan(tensors).map(Plan::of),
            Self::Magvit2 => magvit2::plan(tensors).map(Plan::of),
            Self::Dalle => dalle::plan(tensors).map(Plan::of),
        }
    }

    /// The entry by which a configuration that belongs to such checkpoints is known; formats without one have none.
    fn configuration(self) -> Option<&'static str> {
        match self {
            Self::Taming | Self::LatentDiffusion | Self::Ibq => Some("model"),
            Self::Diffusers => Some("_class_name"),
            Self::Llamagen | Self::Maskgit | Self::Magvit2 | Self::Dalle => None,
        }
    }

    /// The format of a file, by its tensors; where several programs give the same names, by the configuration.
    fn find(tensors: &TensorMap, config: Option<&Value>) -> Result<Self> {
        let named = Self::ALL.into_iter().find(|format| format.detect(tensors));
        let Some(named) = named else {
            return Err(unknown(tensors));
        };
        match config.and_then(yaml::format) {
            Some(said) if named.configuration() == said.configuration() => Ok(said),
            _ => Ok(named),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn unknown(tensors: &TensorMap) -> Error {
    let Some(example) = tensors.keys().next() else {
        return Error::input("there are no tensors in it");
    };
    let known: Vec<&str> = Format::ALL.into_iter().rev().map(Format::name).collect();
    Error::input(format!(
        "it is of none of the formats {}: no tokenizer of these has such tensors (`{example}` is one of {})",
        known.join(", "),
        tensors.len()
    ))
}

/// A converted checkpoint.
#[derive(Debug)]
pub struct Imported {
    pub model: Model,
    pub format: Format,
}

/// What a checkpoint holds, under our keys.
struct Plan {
    tokenizer: TokenizerConfig,
    prior: Option<PriorConfig>,
    /// Below `tokenizer.`, `transformer.` and `condition.`.
    tensors: TensorMap,
}

impl Plan {
    /// A family of its own.
    fn of((tokenizer, tensors): (TokenizerConfig, TensorMap)) -> Self {
        Self::tokenizer(tokenizer, tensors)
    }

    /// A tokenizer whose tensors have the names of its fields.
    fn tokenizer(tokenizer: TokenizerConfig, tensors: TensorMap) -> Self {
        let ours = |(key, tensor): (String, HostTensor)| (format!("tokenizer.{key}"), tensor);
        Self {
            tokenizer,
            prior: None,
            tensors: tensors.into_iter().map(ours).collect(),
        }
    }
}

/// Converts the checkpoint `source`, a file or the folder around it. What is not given is found: the configuration
/// beside the file, the format by the names of the tensors, the shape of the network by their sizes.
///
/// # Errors
/// A file that is no checkpoint or not of a tokenizer, and weights that do not fit the configuration.
pub fn import(
    source: &Path,
    config: Option<&Path>,
    format: Option<Format>,
    device: &Device,
) -> Result<Imported> {
    let source = Source::open(source, config)?;
    let path = source.path.clone();
    let failed = |error: Error, config: Option<&Config>| {
        let beside = config.map_or_else(String::new, |config| format!("with {config}: "));
        Error::file(&path, format!("{beside}{error}"))
    };
    let found = match format {
        Some(format) => Ok(format),
        None => Format::find(
            &source.tensors,
            source.config.as_ref().map(|config| &config.value),
        ),
    };
    let format = found.map_err(|error| failed(error, None))?;
    let config = source.config;
    let config = match config {
        Some(config) if config.belongs_to(format)? => Some(config),
        _ => None,
    };
    let plan = format
        .plan(source.tensors, config.as_ref().map(|config| &config.value))
        .map_err(|error| failed(error, config.as_ref()))?;
    let model = build(plan, device).map_err(|error| failed(error, config.as_ref()))?;
    let info = ModelInfo {
        step: source.step,
        recipe: config.map_or(Value::Null, |config| config.value),
        source: source.name,
        ..ModelInfo::default()
    };
    Ok(Imported {
        model: Model { info, ..model },
        format,
    })
}

fn build(plan: Plan, device: &Device) -> Result<Model> {
    let model = Model::from_tensors(plan.tokenizer, plan.prior, &plan.tensors, device)?;
    refuse_left_over(&plan.tensors, &model)?;
    Ok(model)
}

/// Weights that the network has no place for mean that it is another network, though all of its own weights were found.
fn refuse_left_over(tensors: &TensorMap, model: &Model) -> Result<()> {
    let mut known = parameter_keys(&model.tokenizer, "tokenizer.", str::to_string);
    if let Some((_, gpt)) = &model.prior {
        known.extend(parameter_keys(gpt, "transformer.", Gpt::key));
    }
    if let Some(condition) = &model.condition {
        known.extend(parameter_keys(
            &condition.tokenizer,
            "condition.",
            str::to_string,
        ));
    }
    let parts = [
        "tokenizer.encoder.",
        "tokenizer.decoder.",
        "condition.encoder.",
        "condition.decoder.",
        "transformer.",
    ];
    let left_over = tensors.keys().find(|key| {
        parts.iter().any(|part| key.starts_with(part)) && !known.contains(key.as_str())
    });
    match left_over {
        Some(key) => Err(Error::input(format!(
            "`{key}` is in the file, but a network of this configuration has no such part"
        ))),
        None => Ok(()),
    }
}
