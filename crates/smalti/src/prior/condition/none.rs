//! No condition: one start token stands before the codes (`SOSProvider` of taming/modules/util.py).

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// The token an unconditional sequence starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StartToken {
    #[serde(default)]
    pub start_token: usize,
}

impl StartToken {
    pub fn tokens(self) -> Vec<i64> {
        vec![self.start_token as i64]
    }

    pub fn check(self, vocabulary: usize) -> Result<()> {
        if self.start_token < vocabulary {
            return Ok(());
        }
        Err(Error::input(format!(
            "start_token is {}, but vocabulary_size is {vocabulary}",
            self.start_token
        )))
    }
}
