//! Depth beside the picture: how far away every pixel is (taming/data/imagenet.py).

use super::CodesOfPicture;
use crate::data::{DepthForm, Kind};
use serde::{Deserialize, Serialize};

/// How depth is written down, and its codes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DepthCondition {
    #[serde(default)]
    pub form: DepthForm,
    pub codes: CodesOfPicture,
}

impl DepthCondition {
    pub fn kind(&self) -> Kind {
        Kind::Depth { form: self.form }
    }
}
