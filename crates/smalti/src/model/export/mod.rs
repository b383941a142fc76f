//! Models of ours as the files of other programs, the way back of `import`. Only what those programs compute exactly is
//! written; everything else is refused.

mod compvis;
mod diffusers;
#[cfg(test)]
mod tests;

use super::Model;
use crate::checkpoint::{TensorMap, parameters};
use crate::error::{Error, Result};
use crate::tokenizer::config::Family;
use crate::tokenizer::{QuantizerKind, TokenizerConfig};
use std::path::{Path, PathBuf};

/// Whose program a model is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// CompVis/taming-transformers, and what reads its tokenizers: a checkpoint and its YAML.
    Compvis,
    /// Hugging Face diffusers: a folder that `VQModel.from_pretrained` reads.
    Diffusers,
}

impl ExportFormat {
    pub const ALL: [Self; 2] = [Self::Compvis, Self::Diffusers];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Compvis => "compvis",
            Self::Diffusers => "diffusers",
        }
    }

    /// The format of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// The files that [`export`] writes at `out`.
    ///
    /// # Errors
    /// A name whose ending does not say which kind of checkpoint it is to be.
    pub fn files(self, out: &Path) -> Result<Vec<PathBuf>> {
        match self {
            Self::Compvis => compvis::files(out),
            Self::Diffusers => Ok(diffusers::files(out)),
        }
    }
}

/// Writes a model for another program at `out`, a file's name for CompVis and a folder's for diffusers, over what is
/// there.
///
/// # Errors
/// A model that the other program has no network for, and whatever the operating system says.
pub fn export(model: &Model, format: ExportFormat, out: &Path) -> Result<()> {
    match format {
        ExportFormat::Compvis => compvis::write(model, out),
        ExportFormat::Diffusers => diffusers::write(model, out),
    }
}

/// The tokenizer's tensors under the authors' names. What moving averages leave beside a codebook is left out: it is a
/// codebook like any other to those who do not train it further.
fn tokenizer_tensors(model: &Model) -> TensorMap {
    let mut tensors = parameters(&model.tokenizer, "", str::to_string);
    tensors.remove("quantize.embedding.cluster_size");
    tensors.remove("quantize.embedding.embed_avg");
    tensors
}

/// Refuses networks other than the paper's, and codes with new numbers.
fn require_paper_network(config: &TokenizerConfig, program: &str) -> Result<()> {
    if config.used_codes > 0 {
        return Err(Error::input(format!(
            "this tokenizer's codes have new numbers (used_codes), which {program} cannot take from a checkpoint alone: it \
             cannot be exported"
        )));
    }
    if config.family == Family::Taming {
        return Ok(());
    }
    Err(Error::input(format!(
        "this tokenizer's networks are not the paper's, and {program} has no others: it cannot be exported"
    )))
}

fn no_such_quantizer(kind: QuantizerKind, program: &str) -> Error {
    let name = serde_json::to_value(kind).unwrap_or_default();
    Error::input(format!(
        "this tokenizer's quantiser is {name}, which {program} does not have: pictures would get other codes there, so \
         it cannot be exported"
    ))
}

/// The picture side, halved without remainder at every level, at which the levels with attention have sides of their
/// own; `lowest` is the side of the code grid.
fn sides(config: &TokenizerConfig, lowest: usize) -> Vec<usize> {
    let last = config.levels() - 1;
    (0..=last)
        .map(|level| lowest.max(1) << (last - level))
        .collect()
}
