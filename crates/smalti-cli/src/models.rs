//! Where models come from and what they run on.

use smalti::checkpoint::Model;
use smalti::training::run_of;
use smalti::{Device, Result};
use std::path::Path;

/// The device that networks run on.
pub fn device() -> Device {
    Device::flex()
}

/// Loads a model file, or the newest checkpoint of a run folder.
pub fn load(path: &Path) -> Result<Model> {
    Model::load(&run_of(path)?, &device())
}
