//! The edges of the picture, a picture themselves (paper section 4.2, `ImageNetEdges` of taming/data/imagenet.py).

use super::CodesOfPicture;
use crate::data::Kind;
use serde::{Deserialize, Serialize};

/// The codes of pictures of edges.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EdgesCondition {
    pub codes: CodesOfPicture,
}

impl EdgesCondition {
    pub fn kind(&self) -> Kind {
        Kind::Pictures
    }
}
