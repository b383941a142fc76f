//! Where models come from and what they run on.

use crate::Common;
use smalti::model::Model;
use smalti::training::model_file;
use smalti::{Device, Error, Result};
use std::path::Path;

/// The device that networks run on.
pub fn device() -> Device {
    Device::flex()
}

/// Loads a model file, or the newest checkpoint of a run folder, to compute in the precision that was asked for.
pub fn load(path: &Path, common: &Common) -> Result<Model> {
    let model = Model::load(&model_file(path)?, &device())?;
    Ok(model.with_precision(common.precision.unwrap_or_default()))
}

/// [`load`], for commands that read or write pictures.
pub fn load_for_pictures(path: &Path, common: &Common) -> Result<Model> {
    let model = load(path, common)?;
    model
        .require_pictures()
        .map_err(|error| Error::file(path, error.to_string()))?;
    Ok(model)
}
