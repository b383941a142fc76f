//! What a prior is conditioned on: tokens, or vectors in their place, that stand before the codes. One file each, all
//! behind [`Condition`]; what a single picture is drawn under is a [`Conditioning`].

mod class;
mod codes_of_picture;
mod conditioning;
mod coord;
mod depth;
mod edges;
pub mod layout;
mod lowres;
mod none;
mod pose;
mod segmentation;
mod text;
mod text_prefix;

pub use class::ClassCondition;
pub use codes_of_picture::CodesOfPicture;
pub use conditioning::{Fixed, GridTokens, Vectors};
pub use coord::{CoordCondition, Patches};
pub use depth::DepthCondition;
pub use edges::EdgesCondition;
pub use layout::LayoutCondition;
pub use lowres::LowresCondition;
pub use none::StartToken;
pub use pose::PoseCondition;
pub use segmentation::SegmentationCondition;
pub use text::TextCondition;
pub use text_prefix::TextPrefix;

use crate::data::Kind;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The part of a grid of codes that the prior sees at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    pub rows: Range<usize>,
    pub columns: Range<usize>,
    /// Rows and columns of the whole grid.
    pub grid: [usize; 2],
}

/// What a picture is drawn under: gives the condition's tokens for any window of it.
pub trait Conditioning: Send + Sync {
    /// As many for every window. With [`Conditioning::prefix`], there is at least one position in all.
    fn tokens(&self, window: &Window) -> Vec<i64>;

    /// Vectors that stand before the tokens in the place of embeddings, `[count, width]`.
    fn prefix(&self) -> Option<&[f32]> {
        None
    }
}

/// Any of the conditions.
///
/// ```
/// use smalti::prior::condition::{ClassCondition, Condition};
///
/// let condition = Condition::Class(ClassCondition {
///     classes: 2,
///     names: vec!["cat".into(), "dog".into()],
/// });
/// assert_eq!(condition.length(), 1);
/// assert_eq!(condition.class(Some("dog"))?, Some(1));
/// assert!(condition.class(Some("cow")).is_err());
/// # Ok::<(), smalti::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Condition {
    None(StartToken),
    Class(ClassCondition),
    Coord(CoordCondition),
    Segmentation(SegmentationCondition),
    Depth(DepthCondition),
    Edges(EdgesCondition),
    Pose(PoseCondition),
    Lowres(LowresCondition),
    Layout(LayoutCondition),
    Text(TextCondition),
}

/// What conditions have in common that are the codes of a second picture.
#[derive(Debug, Clone, Copy)]
pub struct SecondPicture<'a> {
    pub codes: &'a CodesOfPicture,
    /// What the picture is.
    pub kind: Kind,
    /// How it is made from the picture itself; others are read from files.
    pub made: Option<&'a LowresCondition>,
}

impl Default for Condition {
    fn default() -> Self {
        Self::None(StartToken::default())
    }
}

impl Condition {
    /// How many positions it takes before the codes.
    pub fn length(&self) -> usize {
        match self {
            Self::None(_) | Self::Class(_) => 1,
            Self::Coord(condition) => condition.length(),
            Self::Layout(condition) => condition.length(),
            Self::Text(condition) => condition.vectors,
            Self::Segmentation(_)
            | Self::Depth(_)
            | Self::Edges(_)
            | Self::Pose(_)
            | Self::Lowres(_) => self
                .second_picture()
                .map_or(0, |picture| picture.codes.length()),
        }
    }

    /// How many of these positions hold tokens; the others hold vectors.
    pub fn tokens_before(&self) -> usize {
        match self {
            Self::Text(_) => 0,
            _ => self.length(),
        }
    }

    /// Its name on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::None(_) => "none",
            Self::Class(_) => "class",
            Self::Coord(_) => "coord",
            Self::Segmentation(_) => "segmentation",
            Self::Depth(_) => "depth",
            Self::Edges(_) => "edges",
            Self::Pose(_) => "pose",
            Self::Lowres(_) => "lowres",
            Self::Layout(_) => "layout",
            Self::Text(_) => "text",
        }
    }

    /// Where it is the codes of a second picture: what of, and which codes.
    pub fn second_picture(&self) -> Option<SecondPicture<'_>> {
        let (codes, kind, made) = match self {
            Self::Segmentation(condition) => (&condition.codes, condition.kind(), None),
            Self::Depth(condition) => (&condition.codes, condition.kind(), None),
            Self::Edges(condition) => (&condition.codes, condition.kind(), None),
            Self::Pose(condition) => (&condition.codes, condition.kind(), None),
            Self::Lowres(condition) => (&condition.codes, condition.kind(), Some(condition)),
            _ => return None,
        };
        Some(SecondPicture { codes, kind, made })
    }

    /// The tokens for a picture of `class`, which an unconditional prior ignores.
    ///
    /// # Errors
    /// A class-conditional prior without a class, or with one it does not have, and priors with other conditions.
    pub fn tokens(&self, class: Option<usize>) -> Result<Vec<i64>> {
        match self {
            Self::None(start) => Ok(start.tokens()),
            Self::Class(condition) => match class {
                Some(class) => condition.tokens(class),
                None => Err(Error::input(format!(
                    "this prior is conditioned on a class: give --class ({})",
                    condition.describe()
                ))),
            },
            other => Err(Error::input(format!(
                "this prior is conditioned on {}, not on a class",
                other.name()
            ))),
        }
    }

    /// The class that a name or number stands for; `None` without one.
    ///
    /// # Errors
    /// A class this prior does not have, or any for one without classes.
    pub fn class(&self, text: Option<&str>) -> Result<Option<usize>> {
        match (self, text) {
            (Self::Class(condition), Some(text)) => condition.find(text).map(Some),
            (_, Some(_)) => Err(Error::input(
                "a class is given, but this prior has no classes",
            )),
            (_, None) => Ok(None),
        }
    }

    /// Its tokens are below this.
    pub fn vocabulary(&self) -> usize {
        match self {
            Self::None(start) => start.start_token.saturating_add(1),
            Self::Class(condition) => condition.classes,
            Self::Coord(condition) => condition.levels,
            Self::Layout(condition) => condition.token_count,
            Self::Text(_) => 0,
            Self::Segmentation(_)
            | Self::Depth(_)
            | Self::Edges(_)
            | Self::Pose(_)
            | Self::Lowres(_) => self
                .second_picture()
                .map_or(0, |picture| picture.codes.vocabulary()),
        }
    }

    /// No network of a prior with this condition has fewer parameters than these beside the transformer's. It saturates.
    pub fn least_parameters(&self, width: usize) -> usize {
        if let Self::Text(condition) = self {
            return condition.least_parameters(width);
        }
        let picture = self.second_picture();
        let tokenizer = picture.and_then(|picture| picture.codes.tokenizer.as_ref());
        tokenizer.map_or(0, |tokenizer| tokenizer.least_parameters())
    }

    /// Whether it can be built, and its tokens fit into the vocabulary they share with the codes.
    pub fn check(&self, vocabulary: usize) -> Result<()> {
        match self {
            Self::None(start) => start.check(vocabulary)?,
            Self::Class(condition) => condition.check(vocabulary)?,
            Self::Coord(condition) => condition.check()?,
            Self::Layout(condition) => condition.check(vocabulary)?,
            Self::Text(condition) => condition.check()?,
            Self::Lowres(condition) => condition.check()?,
            Self::Segmentation(_) | Self::Depth(_) | Self::Edges(_) | Self::Pose(_) => {}
        }
        if let Some(picture) = self.second_picture() {
            picture.codes.check(picture.kind)?;
        }
        if self.vocabulary() <= vocabulary {
            return Ok(());
        }
        Err(Error::input(format!(
            "the condition has {} different tokens, more than vocabulary_size, {vocabulary}: codes and condition share \
             the vocabulary",
            self.vocabulary()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::TokenizerConfig;

    fn codes(tokenizer: Option<TokenizerConfig>) -> CodesOfPicture {
        CodesOfPicture {
            tokenizer: tokenizer.map(Box::new),
            rows: 4,
            columns: 3,
            size: 0,
        }
    }

    fn labels() -> TokenizerConfig {
        TokenizerConfig {
            in_channels: 7,
            out_channels: 7,
            codebook_size: 50,
            ..TokenizerConfig::default()
        }
    }

    fn segmentation() -> Condition {
        Condition::Segmentation(SegmentationCondition {
            classes: 7,
            ignore_value: Some(255),
            codes: codes(Some(labels())),
        })
    }

    #[test]
    fn old_configurations_are_read_and_written_as_ever() {
        for text in [
            r#"{"kind":"none","start_token":0}"#,
            r#"{"kind":"class","classes":2,"names":["a","b"]}"#,
        ] {
            let condition: Condition = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&condition).unwrap(), text);
        }
    }

    #[test]
    fn configurations_survive_serialization() {
        let conditions = [
            segmentation(),
            Condition::Depth(DepthCondition {
                form: crate::data::DepthForm::Packed,
                codes: codes(None),
            }),
            Condition::Edges(EdgesCondition { codes: codes(None) }),
            Condition::Pose(PoseCondition { codes: codes(None) }),
            Condition::Lowres(LowresCondition {
                factor: 4,
                codes: codes(None),
            }),
            Condition::Coord(CoordCondition {
                levels: 16,
                factor: 4,
                rows: 2,
                columns: 2,
            }),
        ];
        for condition in conditions {
            let text = serde_json::to_string(&condition).unwrap();
            assert!(text.contains(&format!(r#""kind":"{}""#, condition.name())));
            let read: Condition = serde_json::from_str(&text).unwrap();
            assert_eq!(read, condition);
            condition.check(64).unwrap();
            assert_eq!(condition.tokens_before(), condition.length());
            assert!(condition.tokens(Some(0)).is_err() && condition.class(Some("0")).is_err());
        }
    }

    #[test]
    fn a_condition_says_what_it_takes() {
        let condition = segmentation();
        assert_eq!((condition.length(), condition.vocabulary()), (12, 50));
        assert!(condition.least_parameters(8) > 100_000);
        let error = condition.check(49).unwrap_err().to_string();
        assert!(error.contains("50 different tokens"), "{error}");
        let other = Condition::Segmentation(SegmentationCondition {
            classes: 8,
            ignore_value: None,
            codes: codes(Some(labels())),
        });
        assert!(
            other
                .check(64)
                .unwrap_err()
                .to_string()
                .contains("7 channels")
        );
        let none = Condition::default();
        assert_eq!(
            (none.length(), none.vocabulary(), none.least_parameters(8)),
            (1, 1, 0)
        );
    }
}
