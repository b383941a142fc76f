//! Where models come from and what they run on.

use smalti::model::Model;
use smalti::training::model_file;
use smalti::{Device, Error, Result};
use std::path::Path;

/// The device that networks run on.
pub fn device() -> Device {
    Device::flex()
}

/// Loads a model file, or the newest checkpoint of a run folder.
pub fn load(path: &Path) -> Result<Model> {
    Model::load(&model_file(path)?, &device())
}

/// [`load`], for commands that read or write pictures.
pub fn load_for_pictures(path: &Path) -> Result<Model> {
    let model = load(path)?;
    model
        .require_pictures()
        .map_err(|error| Error::file(path, error.to_string()))?;
    Ok(model)
}
