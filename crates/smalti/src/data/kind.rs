//! What the files of a data set hold: pictures, label maps (a class per pixel) or depth.

use serde::{Deserialize, Serialize};

use super::raster::UNLABELLED;
use crate::error::{Error, Result};

/// What files hold, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KindName {
    /// Colours.
    #[default]
    Pictures,
    /// The index of a class per pixel.
    Labels,
    /// A distance per pixel.
    Depth,
}

impl KindName {
    /// What such files are called in messages.
    pub fn label(self) -> &'static str {
        match self {
            Self::Pictures => "pictures",
            Self::Labels => "label maps",
            Self::Depth => "depth maps",
        }
    }
}

/// How the depth of a pixel is written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DepthForm {
    /// `Packed` if a file has four channels whose bytes make plausible floats, else `Grey`.
    #[default]
    Auto,
    /// One number: grey of 8 or 16 bits, or a TIFF of integers or floats.
    Grey,
    /// The bytes of red, green, blue and alpha are those of a little-endian f32 (the authors' D-RIN files).
    Packed,
}

/// What files hold, with what must be known to read them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Kind {
    /// Colours: 3 channels in [-1, 1].
    #[default]
    Pictures,
    /// Label maps: as many channels as classes, 1 at the pixel's class and 0 elsewhere.
    Labels {
        /// How many classes there are; indices are below it.
        classes: usize,
        /// The index that stands for "no class": such pixels are 0 in all channels.
        ignore: Option<u16>,
    },
    /// Depth: 1 channel, -1 at a picture's smallest value and 1 at its largest.
    Depth {
        /// How it is written down.
        form: DepthForm,
    },
}

impl Kind {
    /// The kind that flat settings say; those that do not belong to it are not looked at.
    ///
    /// # Errors
    /// When [`Kind::check`] fails.
    pub fn new(
        name: KindName,
        classes: usize,
        ignore: Option<u16>,
        form: DepthForm,
    ) -> Result<Self> {
        let kind = match name {
            KindName::Pictures => Self::Pictures,
            KindName::Labels => Self::Labels { classes, ignore },
            KindName::Depth => Self::Depth { form },
        };
        kind.check()?;
        Ok(kind)
    }

    /// Whether files of this kind can be read.
    ///
    /// # Errors
    /// When label maps have fewer than two classes, or more than 16 bits tell apart.
    pub fn check(&self) -> Result<()> {
        match *self {
            Self::Labels { classes, .. } if !(2..=usize::from(UNLABELLED)).contains(&classes) => {
                Err(Error::input(format!(
                    "{classes} classes make no label maps: say how many classes there are, from 2 to {UNLABELLED}"
                )))
            }
            _ => Ok(()),
        }
    }

    /// The kind without what must be known to read it.
    pub fn name(&self) -> KindName {
        match self {
            Self::Pictures => KindName::Pictures,
            Self::Labels { .. } => KindName::Labels,
            Self::Depth { .. } => KindName::Depth,
        }
    }

    /// How many channels a network sees.
    pub fn channels(&self) -> usize {
        match *self {
            Self::Pictures => 3,
            Self::Labels { classes, .. } => classes,
            Self::Depth { .. } => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_become_a_kind() {
        let kind = |name| Kind::new(name, 151, Some(255), DepthForm::Packed).unwrap();
        assert_eq!(kind(KindName::Pictures), Kind::Pictures);
        let labels = Kind::Labels {
            classes: 151,
            ignore: Some(255),
        };
        assert_eq!(kind(KindName::Labels), labels);
        let depth = Kind::Depth {
            form: DepthForm::Packed,
        };
        assert_eq!(kind(KindName::Depth), depth);
        let channels = [Kind::Pictures, labels, depth].map(|kind| kind.channels());
        assert_eq!(channels, [3, 151, 1]);
        assert_eq!(labels.name(), KindName::Labels);
    }

    #[test]
    fn label_maps_need_a_number_of_classes() {
        for classes in [0, 1, 65_536] {
            let kind = Kind::new(KindName::Labels, classes, None, DepthForm::Auto);
            assert!(kind.unwrap_err().to_string().contains("classes"));
        }
        assert!(Kind::new(KindName::Labels, 65_535, None, DepthForm::Auto).is_ok());
        assert!(Kind::new(KindName::Depth, 0, None, DepthForm::Auto).is_ok());
    }

    #[test]
    fn kinds_survive_serialization() {
        let labels = Kind::Labels {
            classes: 182,
            ignore: None,
        };
        let text = serde_json::to_string(&[Kind::Pictures, labels]).unwrap();
        assert_eq!(
            text,
            r#"["pictures",{"labels":{"classes":182,"ignore":null}}]"#
        );
        let read: Vec<Kind> = serde_json::from_str(&text).unwrap();
        assert_eq!(read, [Kind::Pictures, labels]);
    }
}
