//! A label map beside the picture: what is seen at every pixel (taming/data/sflckr.py, ade20k.py, coco.py).

use super::CodesOfPicture;
use crate::data::Kind;
use serde::{Deserialize, Serialize};

/// Which label maps, and their codes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegmentationCondition {
    /// How many labels there are.
    pub classes: usize,
    /// The value of pixels that have none.
    #[serde(default)]
    pub ignore_value: Option<u16>,
    pub codes: CodesOfPicture,
}

impl SegmentationCondition {
    pub fn kind(&self) -> Kind {
        Kind::Labels {
            classes: self.classes,
            ignore: self.ignore_value,
        }
    }
}
