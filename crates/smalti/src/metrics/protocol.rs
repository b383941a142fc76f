//! How features were made. Two sets of features can be compared only if both were made alike: another filter for
//! resizing alone moves FID by more than most methods differ (Parmar, Zhang and Zhu, "On aliased resizing and
//! surprising subtleties in GAN evaluation", 2022). So statistics carry it along.

use crate::error::{Error, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// From pictures to features.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Protocol {
    /// The feature network.
    pub network: String,
    /// SHA-256 of its weights file, hexadecimal.
    pub checksum: String,
    /// The filter that scales pictures to the network's size, with or without antialiasing.
    pub resize: String,
    /// The side of the pictures in pixels before that: they are scaled and cropped to it first.
    pub size: usize,
    /// Which pictures: this alone may differ between two sets that are compared.
    pub data: String,
}

impl Protocol {
    /// # Errors
    /// [`Error::Input`] that names the first thing in which `other` was made differently.
    pub fn check(&self, other: &Protocol) -> Result<()> {
        for ((what, wanted), (_, found)) in self.settings().into_iter().zip(other.settings()) {
            if wanted != found {
                return Err(Error::input(format!(
                    "features of {} were made with {what} {found}, not {wanted}: figures of the two mean nothing \
                     together; compute both with the same settings",
                    other.data
                )));
            }
        }
        Ok(())
    }

    /// All that must be the same, in words.
    fn settings(&self) -> [(&'static str, String); 4] {
        [
            ("the network", self.network.clone()),
            ("weights of checksum", self.checksum.clone()),
            ("the resize filter", self.resize.clone()),
            ("the picture size", self.size.to_string()),
        ]
    }

    /// As metadata of a file.
    pub(super) fn entries(&self) -> BTreeMap<String, String> {
        let texts = [
            ("network", &self.network),
            ("checksum", &self.checksum),
            ("resize", &self.resize),
            ("data", &self.data),
        ];
        let texts = texts.map(|(key, text)| (key.to_string(), text.clone()));
        let mut entries = BTreeMap::from(texts);
        entries.insert("size".to_string(), self.size.to_string());
        entries
    }

    /// From metadata; the error names the entry that is missing.
    pub(super) fn from_entries(
        entries: &BTreeMap<String, String>,
    ) -> std::result::Result<Self, String> {
        let text = |key: &str| {
            let text = entries.get(key).cloned();
            text.ok_or_else(|| format!("its metadata has no {key:?}"))
        };
        let size = text("size")?;
        Ok(Self {
            network: text("network")?,
            checksum: text("checksum")?,
            resize: text("resize")?,
            size: size
                .parse()
                .map_err(|_| format!("its metadata has the size {size:?}, which is no number"))?,
            data: text("data")?,
        })
    }
}

/// In one line, to be printed beside every figure.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start: String = self.checksum.chars().take(8).collect();
        write!(
            f,
            "{} ({start}), {} px, {}, {}",
            self.network, self.size, self.resize, self.data
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protocol() -> Protocol {
        Protocol {
            network: "inception-v3".into(),
            checksum: "6726825d0af5f729cebd5821db510b11".into(),
            resize: "bilinear".into(),
            size: 256,
            data: "photos/train".into(),
        }
    }

    #[test]
    fn only_the_data_may_differ() {
        let ours = protocol();
        let of = |change: &dyn Fn(&mut Protocol)| {
            let mut other = protocol();
            change(&mut other);
            ours.check(&other).map_err(|error| error.to_string())
        };
        assert_eq!(of(&|other| other.data = "samples".into()), Ok(()));
        let refused = of(&|other| other.resize = "nearest".into()).unwrap_err();
        assert!(refused.contains("made with the resize filter nearest, not bilinear"));
        let changes: [fn(&mut Protocol); 3] = [
            |other| other.network.push('x'),
            |other| other.checksum.clear(),
            |other| other.size = 128,
        ];
        for change in changes {
            assert!(of(&change).is_err());
        }
    }

    #[test]
    fn there_and_back_as_metadata() {
        let entries = protocol().entries();
        assert_eq!(Protocol::from_entries(&entries), Ok(protocol()));
        for key in entries.keys() {
            let mut missing = entries.clone();
            missing.remove(key);
            let error = Protocol::from_entries(&missing).unwrap_err();
            assert!(error.contains(key.as_str()), "{error}");
        }
        let mut large = entries;
        large.insert("size".into(), "-1".into());
        assert!(Protocol::from_entries(&large).is_err());
    }

    #[test]
    fn one_line() {
        let line = "inception-v3 (6726825d), 256 px, bilinear, photos/train";
        assert_eq!(protocol().to_string(), line);
    }
}
