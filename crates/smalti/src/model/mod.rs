//! The model file: weights, configuration and provenance in one safetensors file, enough to run it anywhere.

mod condition;
mod export;
mod import;

pub use condition::{Given, GivenCondition};
pub use export::{ExportFormat, export};
pub use import::{Format, Imported, import};

use crate::checkpoint::{
    HostTensor, TensorMap, Values, load_parameters, parameters, read_tensors, write_tensors,
};
use crate::data::{Kind, KindName};
use crate::error::{Error, Result};
use crate::initializer::Initializer;
use crate::ops::Precision;
use crate::prior::condition::{Condition, Conditioning};
use crate::prior::{Prior, PriorConfig};
use crate::tokenizer::remap::UnknownCode;
use crate::tokenizer::{Tokenizer, TokenizerConfig};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// The version of the file's layout. Readers refuse newer ones.
const FORMAT: u64 = 1;

/// The longest configuration or provenance that is read, in bytes: as JSON values they take many times their length.
const MAX_TEXT: usize = 16 << 20;

/// Where a model comes from. Everything is optional but honest: nothing is filled in that is not known.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelInfo {
    /// Steps of training of the last stage.
    pub step: u64,
    /// The settings it was trained with.
    pub recipe: serde_json::Value,
    /// The training data: path, pictures, classes.
    pub data: serde_json::Value,
    pub license: String,
    /// The file it was converted from, if any.
    pub source: String,
}

/// A model: a tokenizer, alone or with a prior over its codes.
///
/// ```
/// use smalti::Device;
/// use smalti::initializer::Initializer;
/// use smalti::model::{Model, ModelInfo};
/// use smalti::tokenizer::{Tokenizer, TokenizerConfig};
///
/// let config = TokenizerConfig { channels: 32, ..TokenizerConfig::default() };
/// let mut init = Initializer::seeded(&Device::flex(), 0);
/// let model = Model {
///     tokenizer: Tokenizer::new(&mut init, &config),
///     tokenizer_config: config,
///     prior: None,
///     condition: None,
///     info: ModelInfo::default(),
/// };
/// let folder = tempfile::tempdir().unwrap();
/// let file = folder.path().join("model.safetensors");
/// model.save(&file)?;
/// let read = Model::load(&file, &Device::flex())?;
/// assert_eq!(read.tokenizer_config, model.tokenizer_config);
/// assert!(read.require_prior().is_err());
/// # Ok::<(), smalti::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Model {
    pub tokenizer_config: TokenizerConfig,
    pub tokenizer: Tokenizer,
    pub prior: Option<(PriorConfig, Prior)>,
    /// The tokenizer of the pictures that the prior is conditioned on, where that is another.
    pub condition: Option<Box<Model>>,
    pub info: ModelInfo,
}

#[derive(Serialize, Deserialize)]
struct Config {
    tokenizer: TokenizerConfig,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prior: Option<PriorConfig>,
}

fn no_prior() -> Error {
    Error::input(
        "this model is a tokenizer without a prior: train one with `smalti train prior --tokenizer …`",
    )
}

impl Model {
    /// The same model, computing in another format. Files are not affected.
    pub fn with_precision(self, precision: Precision) -> Self {
        let prior = self
            .prior
            .map(|(config, prior)| (config, prior.with_precision(precision)));
        let condition = self.condition;
        Self {
            tokenizer: self.tokenizer.with_precision(precision),
            prior,
            condition: condition.map(|model| Box::new(model.with_precision(precision))),
            ..self
        }
    }

    /// Writes the model atomically.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut tensors = self.tokenizer_tensors();
        if let Some((config, prior)) = &self.prior {
            tensors.extend(parameters(prior, "", Prior::file_key(&config.network)));
        }
        if let Some(condition) = &self.condition {
            let tokenizer = &condition.tokenizer;
            tensors.extend(parameters(tokenizer, condition::PREFIX, str::to_string));
        }
        let config = Config {
            tokenizer: self.tokenizer_config.clone(),
            prior: self.prior.as_ref().map(|(config, _)| config.clone()),
        };
        let json = |value: serde_json::Result<String>| {
            value.map_err(|error| {
                Error::file(path, format!("its metadata cannot be written: {error}"))
            })
        };
        let metadata = BTreeMap::from([
            ("format".to_string(), FORMAT.to_string()),
            ("config".to_string(), json(serde_json::to_string(&config))?),
            ("info".to_string(), json(serde_json::to_string(&self.info))?),
        ]);
        write_tensors(path, &tensors, &metadata)
    }

    /// Reads a model file onto a device.
    ///
    /// # Errors
    /// A file of another kind, a configuration that cannot be built, or tensors that do not fit it.
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        let (tensors, metadata) = read_tensors(path)?;
        let Some(config) = metadata.get("config") else {
            return Err(Error::file(
                path,
                "this is not a smalti model; if it is somebody else's, convert it with `smalti import`",
            ));
        };
        check_format(path, metadata.get("format"))?;
        check_length(path, &metadata)?;
        let broken = |error: serde_json::Error| {
            Error::file(path, format!("its configuration cannot be read: {error}"))
        };
        let config: Config = serde_json::from_str(config).map_err(broken)?;
        let info = match metadata.get("info") {
            Some(info) => serde_json::from_str(info).map_err(broken)?,
            None => ModelInfo::default(),
        };
        Self::from_tensors(config.tokenizer, config.prior, &tensors, device)
            .map(|model| Self { info, ..model })
            .map_err(|error| Error::file(path, error.to_string()))
    }

    /// Builds a model from tensors under our keys: `tokenizer.…`, `transformer.…` or `pixelsnail.…`, `condition.…`.
    pub fn from_tensors(
        tokenizer_config: TokenizerConfig,
        prior_config: Option<PriorConfig>,
        tensors: &TensorMap,
        device: &Device,
    ) -> Result<Self> {
        tokenizer_config.check()?;
        let mut asked = tokenizer_config.least_parameters();
        if let Some(config) = &prior_config {
            config.check()?;
            if config.vocabulary_size < tokenizer_config.codes() {
                return Err(Error::input(format!(
                    "vocabulary_size is {}, fewer than the {} codes of the tokenizer",
                    config.vocabulary_size,
                    tokenizer_config.codes()
                )));
            }
            condition::check(config, &tokenizer_config)?;
            asked = asked.saturating_add(config.least_parameters());
            if config.least_tensors() > tensors.len() {
                return Err(Error::input(format!(
                    "the configuration asks for {} layers, more than the {} tensors of the file can be",
                    config.layers,
                    tensors.len()
                )));
            }
        }
        // A configuration from a stranger may ask for a network that fills the memory: compare before building.
        if asked > stored_values(tensors) {
            return Err(Error::input(format!(
                "the configuration asks for at least {asked} parameters, more than the file holds"
            )));
        }
        let mut init = Initializer::zeros(device);
        let tokenizer = Tokenizer::new(&mut init, &tokenizer_config);
        let tokenizer = load_parameters(tokenizer, tensors, "tokenizer.", str::to_string)?;
        if let Some(remap) = &tokenizer.remap {
            remap.check(tokenizer_config.all_codes())?;
        }
        let (mut prior, mut condition) = (None, None);
        if let Some(config) = prior_config {
            let network = Prior::new(&mut init, &config);
            let key = Prior::file_key(&config.network);
            let network = load_parameters(network, tensors, "", key)?;
            condition = condition::load(&mut init, &config.condition, tensors)?;
            prior = Some((config, network));
        }
        Ok(Self {
            tokenizer_config,
            tokenizer,
            prior,
            condition,
            info: ModelInfo::default(),
        })
    }

    /// Where its tensors are.
    pub fn device(&self) -> Device {
        self.tokenizer.device()
    }

    /// What shone through transparent pixels when it was trained: white, where that is not known.
    pub fn background(&self) -> [u8; 3] {
        let background = self.info.recipe.get("background").cloned();
        background
            .and_then(|value| serde_json::from_value(value).ok())
            .unwrap_or([255; 3])
    }

    /// The same tokenizer whose codes `used` have the numbers from 0 on, and no others any.
    ///
    /// # Errors
    /// A list that is empty or names what is no code.
    pub fn with_used_codes(self, used: &[i64], unknown: UnknownCode) -> Result<Self> {
        let device = self.device();
        let mut tensors = self.tokenizer_tensors();
        if used.is_empty() {
            return Err(Error::input("the list of used codes is empty"));
        }
        let numbers = used.iter().map(|&code| code as f32).collect();
        tensors.insert(
            "tokenizer.remap.used".into(),
            HostTensor::f32([used.len()], numbers),
        );
        let config = TokenizerConfig {
            used_codes: used.len(),
            unknown_code: unknown,
            ..self.tokenizer_config
        };
        let model = Self::from_tensors(config, None, &tensors, &device)?;
        Ok(Self {
            info: self.info,
            ..model
        })
    }

    /// What files its tokenizer reads, as its training had it; where that is not known, by its channels.
    ///
    /// # Errors
    /// Channels that fit neither pictures nor label maps nor depth.
    pub fn data_kind(&self) -> Result<Kind> {
        let setting = |name: &str| self.info.recipe.get(name).cloned().unwrap_or_default();
        let channels = self.tokenizer_config.in_channels;
        let name = serde_json::from_value(setting("data_kind")).unwrap_or(match channels {
            3 => KindName::Pictures,
            1 => KindName::Depth,
            _ => KindName::Labels,
        });
        let ignore = serde_json::from_value(setting("ignore_value")).unwrap_or_default();
        let form = serde_json::from_value(setting("depth_form")).unwrap_or_default();
        let kind = Kind::new(name, channels, ignore, form)?;
        if kind.channels() == channels {
            return Ok(kind);
        }
        Err(Error::input(format!(
            "this tokenizer reads {channels} channels, but {} have {}",
            name.label(),
            kind.channels()
        )))
    }

    /// Refuses tokenizers of other things than pictures, such as label maps.
    pub fn require_pictures(&self) -> Result<()> {
        let config = &self.tokenizer_config;
        if [config.in_channels, config.out_channels] == [3, 3] {
            return Ok(());
        }
        Err(Error::input(format!(
            "this tokenizer reads {} channels and writes {}; pictures have 3",
            config.in_channels, config.out_channels
        )))
    }

    /// The prior, or an error that says that this model has none.
    pub fn require_prior(&self) -> Result<(&PriorConfig, &Prior)> {
        match &self.prior {
            Some((config, prior)) => Ok((config, prior)),
            None => Err(no_prior()),
        }
    }

    /// Takes the prior out, for those who use it up.
    ///
    /// # Errors
    /// A model without one.
    pub fn take_prior(&mut self) -> Result<(PriorConfig, Prior)> {
        self.prior.take().ok_or_else(no_prior)
    }

    /// What makes the codes of the pictures that the prior is conditioned on: a tokenizer of the condition's own, or the
    /// model's.
    pub fn condition_tokenizer(&self) -> &Self {
        self.condition.as_deref().unwrap_or(self)
    }

    /// What a picture without a condition is drawn under, if the prior was trained with such, for guidance.
    ///
    /// # Errors
    /// A model without a prior.
    pub fn unconditional(&self) -> Result<Option<Arc<dyn Conditioning>>> {
        let (config, prior) = self.require_prior()?;
        let Condition::Text(text) = &config.condition else {
            return Ok(config.unconditional());
        };
        if !text.droppable {
            return Ok(None);
        }
        let vectors = prior.vectors_without_text();
        Ok(vectors.map(|vectors| Arc::new(vectors) as Arc<dyn Conditioning>))
    }

    /// SHA-256 of the tokenizer's weights, in hexadecimal. Codes are only good with the tokenizer that made them.
    pub fn tokenizer_hash(&self) -> String {
        let mut hash = Sha256::new();
        for (key, tensor) in self.tokenizer_tensors() {
            hash.update(key.as_bytes());
            if let Values::F32(values) = &tensor.values {
                for value in values {
                    hash.update(value.to_le_bytes());
                }
            }
        }
        hash.finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    fn tokenizer_tensors(&self) -> TensorMap {
        parameters(&self.tokenizer, "tokenizer.", str::to_string)
    }
}

fn stored_values(tensors: &TensorMap) -> usize {
    let count = |shape: &Vec<usize>| shape.iter().product::<usize>();
    tensors.values().map(|tensor| count(&tensor.shape)).sum()
}

fn check_length(path: &Path, metadata: &BTreeMap<String, String>) -> Result<()> {
    match metadata.iter().find(|(_, text)| text.len() > MAX_TEXT) {
        Some((key, text)) => Err(Error::file(
            path,
            format!(
                "its metadata `{key}` has {} bytes; the most is {MAX_TEXT}",
                text.len()
            ),
        )),
        None => Ok(()),
    }
}

fn check_format(path: &Path, format: Option<&String>) -> Result<()> {
    match format.and_then(|text| text.parse::<u64>().ok()) {
        Some(format) if format <= FORMAT => Ok(()),
        Some(format) => Err(Error::file(
            path,
            format!("written in format {format}; this version reads up to {FORMAT}: update smalti"),
        )),
        None => Err(Error::file(path, "its format version is missing")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::HostTensor;

    #[test]
    fn provenance_without_end_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let metadata = BTreeMap::from([
            ("format".to_string(), "1".to_string()),
            ("config".to_string(), "{\"tokenizer\":{}}".to_string()),
            ("info".to_string(), " ".repeat(MAX_TEXT + 1)),
        ]);
        write_tensors(&path, &TensorMap::new(), &metadata).unwrap();
        let error = Model::load(&path, &Device::flex()).unwrap_err().to_string();
        assert!(error.contains("its metadata `info` has"), "{error}");
    }

    #[test]
    fn thousands_of_layers_need_as_many_tensors() {
        let prior = PriorConfig {
            layers: 4096,
            heads: 1,
            width: 1,
            ..PriorConfig::default()
        };
        let values = HostTensor::f32([1 << 20], vec![0.0; 1 << 20]);
        let tensors = TensorMap::from([("a".to_string(), values)]);
        let config = TokenizerConfig::default();
        let built = Model::from_tensors(config, Some(prior), &tensors, &Device::flex());
        let error = built.unwrap_err().to_string();
        assert!(error.contains("4096 layers"), "{error}");
    }
}
