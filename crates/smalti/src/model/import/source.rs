//! Where a checkpoint's weights and its configuration lie: in a file and one beside it, or in a folder as programs
//! leave it.

use super::Format;
use crate::checkpoint::{TensorMap, foreign};
use crate::error::{Error, Result};
use crate::training::settings::parse_yaml;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// Files of weights that are looked for in a folder, the likeliest first.
const WEIGHTS: [&str; 9] = [
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.bin",
    "model.safetensors",
    "pytorch_model.bin",
    "model.ckpt",
    "last.ckpt",
    "checkpoints/last.ckpt",
    "ckpts/last.ckpt",
    "vqvae/diffusion_pytorch_model.safetensors",
];

/// The two files of a tokenizer that was saved in halves, and what their tensors' names begin with here.
const HALVES: [(&str, &str); 2] = [("encoder.pkl", "encoder."), ("decoder.pkl", "decoder.")];

/// Configurations that are looked for beside a file.
const CONFIGS: [&str; 4] = ["config.json", "config.yaml", "project.yaml", "model.yaml"];

/// An opened checkpoint.
pub struct Source {
    /// The file, or the folder of the two halves.
    pub path: PathBuf,
    /// What to call it in a model's provenance.
    pub name: String,
    pub tensors: TensorMap,
    /// Steps of training, where the file says so.
    pub step: u64,
    pub config: Option<Config>,
}

impl Source {
    /// Reads the checkpoint at or in `source` with the configuration `config`, or one that lies beside it.
    ///
    /// # Errors
    /// A folder without weights, and files that cannot be read.
    pub fn open(source: &Path, config: Option<&Path>) -> Result<Self> {
        let (path, halves) = locate(source)?;
        let config = match config {
            Some(config) => Some(Config::read(config, true)?),
            None => beside(&path)
                .map(|config| Config::read(&config, false))
                .transpose()?,
        };
        let (tensors, numbers) = if halves {
            (read_halves(&path)?, BTreeMap::new())
        } else {
            let file = foreign::read(&path)?;
            if file.metadata.contains_key("smalti") {
                return Err(Error::file(
                    &path,
                    "this is a file of smalti's own: a model needs no import",
                ));
            }
            (file.tensors, file.numbers)
        };
        let step: f64 = numbers.get("global_step").copied().unwrap_or(0.0);
        let name = |path: &Path| {
            path.file_name()
                .map(|name| name.to_string_lossy().into_owned())
        };
        Ok(Self {
            // A folder's name says more than that of the file in it, which is the same everywhere.
            name: name(source).or(name(&path)).unwrap_or_default(),
            path,
            tensors,
            step: step.max(0.0) as u64,
            config,
        })
    }
}

/// The file of weights, or the folder of two halves and `true`.
fn locate(source: &Path) -> Result<(PathBuf, bool)> {
    if !source.is_dir() {
        return Ok((source.to_path_buf(), false));
    }
    if HALVES.iter().all(|(name, _)| source.join(name).is_file()) {
        return Ok((source.to_path_buf(), true));
    }
    let mut files = WEIGHTS.iter().map(|name| source.join(name));
    match files.find(|file| file.is_file()) {
        Some(file) => Ok((file, false)),
        None => Err(Error::file(
            source,
            format!(
                "this folder has none of {}: name the checkpoint's file",
                WEIGHTS.join(", ")
            ),
        )),
    }
}

fn read_halves(folder: &Path) -> Result<TensorMap> {
    let mut tensors = TensorMap::new();
    for (name, prefix) in HALVES {
        let half = foreign::read(&folder.join(name))?.tensors;
        tensors.extend(
            half.into_iter()
                .map(|(key, tensor)| (format!("{prefix}{key}"), tensor)),
        );
    }
    Ok(tensors)
}

/// A configuration beside the weights, or where Lightning puts it: in `configs/` beside their folder, under a name with
/// the time of the run before it.
fn beside(path: &Path) -> Option<PathBuf> {
    let folder = if path.is_dir() { path } else { path.parent()? };
    let mut near = CONFIGS.iter().map(|name| folder.join(name));
    if let Some(config) = near.find(|config| config.is_file()) {
        return Some(config);
    }
    let entries = std::fs::read_dir(folder.join("../configs")).ok()?;
    let mut found = entries.flatten().map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with("project.yaml") || name == "model.yaml"
    });
    // Of several, none can be said to be the right one.
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// A configuration, YAML or JSON.
pub struct Config {
    pub path: PathBuf,
    pub value: Value,
    /// Whether it was named, and not only found.
    given: bool,
}

impl Config {
    fn read(path: &Path, given: bool) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
        let is_json = path
            .extension()
            .is_some_and(|extension| extension == "json");
        let value = if is_json {
            serde_json::from_str(&text).map_err(|error| format!("this is not JSON: {error}"))
        } else {
            parse_yaml(&text).map(Value::Object)
        };
        Ok(Self {
            path: path.to_path_buf(),
            value: value.map_err(|message| Error::file(path, message))?,
            given,
        })
    }

    /// Whether checkpoints of `format` come with such a configuration. One that was merely found may be of something
    /// else.
    ///
    /// # Errors
    /// One that was named and does not belong to the format.
    pub fn belongs_to(&self, format: Format) -> Result<bool> {
        let entry = format.configuration();
        if entry.is_some_and(|entry| self.value.get(entry).is_some()) {
            return Ok(true);
        }
        if !self.given {
            return Ok(false);
        }
        let message = match entry {
            Some(entry) => format!(
                "`{entry}` is missing: is this the configuration of the checkpoint, whose format is `{format}`?"
            ),
            None => format!(
                "checkpoints of the format `{format}` have no configuration: leave --config out"
            ),
        };
        Err(Error::file(&self.path, message))
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())
    }
}
