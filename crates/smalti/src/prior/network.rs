//! The network of a prior, whichever it is. The variants are no part of a parameter's path.

use super::condition::Vectors;
use super::config::PriorConfig;
use super::gpt::Gpt;
use super::pixelsnail::{PixelSnail, PixelSnailConfig};
use crate::error::{Error, Result};
use crate::initializer::Initializer;
use crate::ops::Precision;
use burn::module::Module;
use serde::{Deserialize, Serialize};

/// Which network predicts the codes, with what only that one has.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    #[default]
    Gpt,
    PixelSnail(PixelSnailConfig),
}

impl Architecture {
    pub fn is_gpt(&self) -> bool {
        matches!(self, Self::Gpt)
    }

    /// The shape of a PixelSNAIL, if it is one.
    pub fn pixelsnail(&self) -> Option<&PixelSnailConfig> {
        match self {
            Self::Gpt => None,
            Self::PixelSnail(shape) => Some(shape),
        }
    }

    /// Says what is wrong with a prior that cannot be built of this network.
    pub(super) fn check(&self, config: &PriorConfig) -> Result<()> {
        if let Self::PixelSnail(shape) = self {
            return shape.check(config);
        }
        if config.width.is_multiple_of(config.heads) {
            return Ok(());
        }
        Err(Error::input(format!(
            "width is {} and heads is {}; the width must be a multiple of the heads",
            config.width, config.heads
        )))
    }
}

/// What predicts the next code of a sequence.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one per model")]
pub enum Prior {
    Gpt(Gpt),
    PixelSnail(PixelSnail),
}

impl From<Gpt> for Prior {
    fn from(gpt: Gpt) -> Self {
        Self::Gpt(gpt)
    }
}

impl From<PixelSnail> for Prior {
    fn from(network: PixelSnail) -> Self {
        Self::PixelSnail(network)
    }
}

impl Prior {
    /// A new network; `config` must have passed [`PriorConfig::check`].
    pub fn new(init: &mut Initializer, config: &PriorConfig) -> Self {
        match &config.network {
            Architecture::Gpt => Self::Gpt(Gpt::new(init, config)),
            Architecture::PixelSnail(shape) => {
                Self::PixelSnail(PixelSnail::new(init, config, shape))
            }
        }
    }

    /// The same network with products of linear layers in another format. A PixelSNAIL has none: it stays as it is.
    pub fn with_precision(self, precision: Precision) -> Self {
        match self {
            Self::Gpt(gpt) => Self::Gpt(gpt.with_precision(precision)),
            Self::PixelSnail(network) => Self::PixelSnail(network),
        }
    }

    /// The GPT, for what only it can do.
    pub fn gpt(&self) -> Option<&Gpt> {
        match self {
            Self::Gpt(gpt) => Some(gpt),
            Self::PixelSnail(_) => None,
        }
    }

    /// What stands before the codes of a picture with this text, given as the encoder's vector; `None` where the
    /// condition is no text or one of another length.
    pub fn text_vectors(&self, text: &[f32]) -> Option<Vectors> {
        self.gpt()?.text_vectors(text)
    }

    /// What stands before the codes of a picture without a text; `None` where the condition is no text.
    pub fn vectors_without_text(&self) -> Option<Vectors> {
        self.gpt()?.vectors_without_text()
    }

    /// What gives the key of a parameter in our files.
    pub fn file_key(network: &Architecture) -> fn(&str) -> String {
        match network {
            Architecture::Gpt => Gpt::file_key,
            Architecture::PixelSnail(_) => PixelSnail::file_key,
        }
    }

    /// What says whether AdamW decays a parameter.
    pub fn decays(network: &Architecture) -> fn(&str) -> bool {
        match network {
            Architecture::Gpt => Gpt::decays,
            Architecture::PixelSnail(_) => PixelSnail::decays,
        }
    }
}
