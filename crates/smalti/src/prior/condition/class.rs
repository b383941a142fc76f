//! A class number as the one token before the codes (`Labelator` of taming/modules/util.py).

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// The classes a prior knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassCondition {
    pub classes: usize,
    /// Their names in order; empty where they are not known.
    #[serde(default)]
    pub names: Vec<String>,
}

impl ClassCondition {
    /// The token of a class.
    ///
    /// # Errors
    /// A class number that is too large.
    pub fn tokens(&self, class: usize) -> Result<Vec<i64>> {
        if class < self.classes {
            return Ok(vec![class as i64]);
        }
        Err(Error::input(format!(
            "class {class} does not exist: this prior has {}",
            self.describe()
        )))
    }

    /// The number of a class given by number or name.
    ///
    /// # Errors
    /// A name or number that this prior does not have.
    pub fn find(&self, text: &str) -> Result<usize> {
        if let Some(index) = self.names.iter().position(|name| name == text) {
            return Ok(index);
        }
        match text.parse::<usize>() {
            Ok(class) => self.tokens(class).map(|_| class),
            Err(_) => Err(Error::input(format!(
                "there is no class `{text}`: this prior has {}",
                self.describe()
            ))),
        }
    }

    /// `10 classes, 0 to 9: animals, flags, …`.
    pub fn describe(&self) -> String {
        let range = format!(
            "{} classes, 0 to {}",
            self.classes,
            self.classes.saturating_sub(1)
        );
        if self.names.is_empty() {
            return range;
        }
        let shown: Vec<&str> = self.names.iter().take(12).map(String::as_str).collect();
        let more = if self.names.len() > shown.len() {
            ", …"
        } else {
            ""
        };
        format!("{range}: {}{more}", shown.join(", "))
    }

    pub fn check(&self, vocabulary: usize) -> Result<()> {
        if self.classes == 0 {
            return Err(Error::input(
                "classes is 0; a class-conditional prior needs at least one",
            ));
        }
        if self.classes > vocabulary {
            return Err(Error::input(format!(
                "classes is {}, more than vocabulary_size, {vocabulary}: codes and classes share the vocabulary",
                self.classes
            )));
        }
        Ok(())
    }
}
