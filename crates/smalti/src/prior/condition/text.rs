//! What a text says of the picture, as vectors before the codes: the vector that a text encoder makes of it, through a
//! learned projection ([`TextPrefix`](super::TextPrefix)).

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Which texts a prior knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextCondition {
    /// How many vectors stand before the codes.
    pub vectors: usize,
    /// The length of the vector that the encoder makes of a text.
    pub length: usize,
    /// The fingerprint of the encoder: no other makes the same vectors.
    #[serde(default)]
    pub encoder: String,
    /// Whether it was trained without a text as well.
    #[serde(default)]
    pub droppable: bool,
}

impl TextCondition {
    /// The parameters of the projection and of what stands for no text; it saturates.
    pub fn least_parameters(&self, width: usize) -> usize {
        let values = self.vectors.saturating_mul(width);
        values.saturating_mul(self.length.saturating_add(2))
    }

    pub fn check(&self) -> Result<()> {
        for (name, value) in [("vectors", self.vectors), ("length", self.length)] {
            if !(1..=1 << 16).contains(&value) {
                return Err(Error::input(format!(
                    "{name} of the text condition is {value}; it must be at least 1 and at most {}",
                    1 << 16
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_texts_are_refused() {
        let text = TextCondition {
            vectors: 4,
            length: 256,
            encoder: String::new(),
            droppable: true,
        };
        text.check().unwrap();
        assert_eq!(text.least_parameters(8), 4 * 8 * (256 + 2));
        let none = TextCondition {
            vectors: 0,
            ..text.clone()
        };
        assert!(none.check().unwrap_err().to_string().contains("vectors"));
        let huge = TextCondition {
            length: usize::MAX,
            ..text
        };
        assert!(huge.check().is_err());
        assert_eq!(huge.least_parameters(usize::MAX), usize::MAX);
    }
}
