//! The people in the picture as drawn skeletons (paper section 4.2, pose-guided synthesis).

use super::CodesOfPicture;
use crate::data::Kind;
use serde::{Deserialize, Serialize};

/// The codes of pictures of skeletons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoseCondition {
    pub codes: CodesOfPicture,
}

impl PoseCondition {
    pub fn kind(&self) -> Kind {
        Kind::Pictures
    }
}
