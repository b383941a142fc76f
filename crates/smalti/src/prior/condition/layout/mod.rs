//! Objects in their places as tokens before the codes (`taming/data/conditional_builder/` and `DummyCondStage`): each
//! object is a category and one or two points of a coarse grid, and the prior draws a picture with these objects there.

mod draw;
mod file;
mod font;
mod tokens;
mod window;

pub use draw::picture_of_layout;
pub use file::read_objects;
pub use tokens::Scene;
pub use window::PictureLayout;

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// The most objects that a layout may be declared with.
const MOST_OBJECTS: usize = 1 << 16;

/// The layouts a prior knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayoutCondition {
    /// How many categories there are (`no_object_classes`).
    pub classes: usize,
    /// Their names by number; empty where they are not known.
    #[serde(default)]
    pub names: Vec<String>,
    /// What is said of an object's place.
    #[serde(default)]
    pub places: Places,
    /// How many objects a layout has room for (`no_max_objects`).
    pub max_objects: usize,
    /// How many tokens there are (`no_tokens`): the last stands for no object, and places are points of a grid with as
    /// many rows and columns as the root of this, rounded down.
    pub token_count: usize,
    /// Whether objects are placed in the whole picture, and two more tokens say which part of it is seen. Otherwise
    /// they are placed in the part that is seen.
    #[serde(default)]
    pub encode_crop: bool,
    /// Whether tokens tell groups from single objects.
    #[serde(default)]
    pub use_group_parameter: bool,
    /// Whether tokens tell occluded objects, depictions and insides (Open Images).
    #[serde(default)]
    pub use_additional_parameters: bool,
}

/// What is said of an object's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Places {
    /// The upper left and the lower right corner of its box (`objects_bbox`).
    #[default]
    Boxes,
    /// The centre of its box (`objects_center_points`).
    Centers,
}

impl Places {
    /// How many points there are to an object.
    fn points(self) -> usize {
        match self {
            Self::Boxes => 2,
            Self::Centers => 1,
        }
    }
}

impl LayoutCondition {
    /// How many tokens a layout takes.
    pub fn length(&self) -> usize {
        let crop = if self.encode_crop { 2 } else { 0 };
        let objects = self.max_objects.saturating_mul(1 + self.places.points());
        objects.saturating_add(crop)
    }

    /// The number of a category given by number or name.
    ///
    /// # Errors
    /// A name or number that this prior does not have.
    pub fn find(&self, text: &str) -> Result<u32> {
        let named = self.names.iter().position(|name| name == text);
        let number = named.or_else(|| {
            text.parse::<usize>()
                .ok()
                .filter(|&number| number < self.classes)
        });
        match number.map(u32::try_from) {
            Some(Ok(number)) => Ok(number),
            _ => Err(Error::input(format!(
                "there is no category {text:?}: this prior has {}",
                self.describe()
            ))),
        }
    }

    /// `171 categories, 0 to 170: person, backpack, …`.
    pub fn describe(&self) -> String {
        let last = self.classes.saturating_sub(1);
        let shown: Vec<&str> = self.names.iter().take(12).map(String::as_str).collect();
        let more = if self.names.len() > shown.len() {
            ", …"
        } else {
            ""
        };
        let colon = if shown.is_empty() { "" } else { ": " };
        format!(
            "{} categories, 0 to {last}{colon}{}{more}",
            self.classes,
            shown.join(", ")
        )
    }

    /// What is wrong with a layout that cannot be told apart in a vocabulary of this size.
    ///
    /// # Errors
    /// Says which of the fields is wrong.
    pub fn check(&self, vocabulary: usize) -> Result<()> {
        let wrong = |message: String| Err(Error::input(message));
        if self.classes == 0 {
            return wrong("classes is 0; a layout needs at least one category".into());
        }
        if !self.names.is_empty() && self.names.len() != self.classes {
            return wrong(format!(
                "classes is {}, but there are {} names",
                self.classes,
                self.names.len()
            ));
        }
        if self.max_objects == 0 || self.max_objects > MOST_OBJECTS {
            return wrong(format!(
                "max_objects is {}; it must be at least 1 and at most {MOST_OBJECTS}",
                self.max_objects
            ));
        }
        if self.token_count > vocabulary {
            return wrong(format!(
                "token_count is {}, but vocabulary_size is {vocabulary}: codes and layouts share the vocabulary",
                self.token_count
            ));
        }
        let needed = self.least_tokens();
        if self.token_count < needed {
            return wrong(format!(
                "token_count is {}; {} categories need at least {needed}",
                self.token_count, self.classes
            ));
        }
        Ok(())
    }

    /// With fewer tokens, descriptions and "nothing" could not be told apart.
    pub fn least_tokens(&self) -> usize {
        self.descriptions().saturating_add(1).max(4)
    }

    /// How many tokens describe what an object is: each category alone and with every set of flags.
    fn descriptions(&self) -> usize {
        self.classes.saturating_mul(self.largest_flags() + 1)
    }

    /// The flags of an object are a number: 1 for a group, 2 for occluded, 4 for a depiction, 8 for seen from inside.
    fn largest_flags(&self) -> usize {
        let group = usize::from(self.use_group_parameter);
        let additional = if self.use_additional_parameters {
            14
        } else {
            0
        };
        group + additional
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Area, Object};

    pub(super) fn layout() -> LayoutCondition {
        LayoutCondition {
            classes: 3,
            names: ["tree", "dog", "7"].map(String::from).to_vec(),
            places: Places::Boxes,
            max_objects: 4,
            token_count: 1024,
            encode_crop: false,
            use_group_parameter: true,
            use_additional_parameters: false,
        }
    }

    /// An object that nothing else is said of, in a box.
    pub(super) fn object(category: u32, [x, y, width, height]: [f64; 4]) -> Object {
        Object {
            category,
            area: Area {
                x,
                y,
                width,
                height,
            },
            is_group_of: false,
            is_occluded: false,
            is_depiction: false,
            is_inside: false,
        }
    }

    #[test]
    fn lengths_are_those_of_the_paper() {
        let published = LayoutCondition {
            classes: 171,
            names: Vec::new(),
            max_objects: 30,
            token_count: 8192,
            encode_crop: true,
            ..layout()
        };
        assert_eq!(published.length(), 92);
        let centers = LayoutCondition {
            places: Places::Centers,
            ..published
        };
        assert_eq!(centers.length(), 62);
        assert!(centers.check(8192).is_ok());
    }

    #[test]
    fn categories_are_found_by_name_and_number() {
        assert_eq!(layout().find("dog").unwrap(), 1);
        assert_eq!(layout().find("1").unwrap(), 1);
        // A name that looks like a number is a name.
        assert_eq!(layout().find("7").unwrap(), 2);
        for text in ["3", "cat", "-1", "", "99999999999999999999"] {
            let error = layout().find(text).unwrap_err().to_string();
            assert!(
                error.contains("3 categories, 0 to 2: tree, dog, 7"),
                "{error}"
            );
        }
    }

    #[test]
    fn impossible_layouts_are_refused() {
        fn wrong(change: fn(&mut LayoutCondition), message: &str) {
            let mut changed = layout();
            change(&mut changed);
            let error = changed.check(1024).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
        assert!(layout().check(1024).is_ok());
        wrong(|layout| layout.classes = 0, "classes is 0");
        wrong(|layout| layout.classes = 4, "classes is 4");
        wrong(|layout| layout.max_objects = 0, "max_objects is 0");
        wrong(|layout| layout.max_objects = usize::MAX, "max_objects is");
        wrong(
            |layout| layout.token_count = 1025,
            "token_count is 1025, but",
        );
        wrong(
            |layout| layout.token_count = 6,
            "token_count is 6; 3 categories",
        );
        wrong(
            |layout| (layout.classes, layout.names) = (usize::MAX, Vec::new()),
            "token_count is 1024; 18446744073709551615",
        );
        let most = LayoutCondition {
            max_objects: usize::MAX,
            ..layout()
        };
        assert_eq!(most.length(), usize::MAX);
    }

    #[test]
    fn settings_survive_serialization() {
        let text = serde_json::to_string(&layout()).unwrap();
        let read: LayoutCondition = serde_json::from_str(&text).unwrap();
        assert_eq!(read, layout());
        let short = r#"{"classes": 3, "max_objects": 4, "token_count": 100, "places": "centers"}"#;
        let read: LayoutCondition = serde_json::from_str(short).unwrap();
        assert_eq!((read.places, read.encode_crop), (Places::Centers, false));
    }
}
