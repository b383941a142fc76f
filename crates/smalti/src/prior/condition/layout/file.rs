//! A layout that somebody wrote: a JSON file with the objects of a picture.
//!
//! ```json
//! {"objects": [
//!   {"category": "dog", "box": [0.1, 0.5, 0.3, 0.4]},
//!   {"category": "person", "box": [0.5, 0.1, 0.4, 0.9], "group": true}
//! ]}
//! ```

use super::LayoutCondition;
use crate::data::json::{self, Entries, Entry, Id};
use crate::data::{Area, Object};
use crate::error::{Error, Result};
use serde::Deserialize;
use std::path::Path;

/// How far a box may reach beyond the picture: people round.
const TOLERANCE: f64 = 1e-3;

#[derive(Deserialize)]
struct Layout {
    objects: Entries<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    category: Id,
    #[serde(rename = "box")]
    area: [f64; 4],
    #[serde(default)]
    group: bool,
    #[serde(default)]
    occluded: bool,
    #[serde(default)]
    depiction: bool,
    #[serde(default)]
    inside: bool,
}

impl Entry for Written {
    const NAME: &'static str = "object";
}

/// Reads the objects of a picture: a JSON file with a list `objects`, of which each has a `category` (a name or number
/// that the prior knows) and a `box` (left, top, width and height, in shares of the picture's width and height), and
/// may be marked as `group`, `occluded`, `depiction` or `inside`.
///
/// # Errors
/// When the file cannot be read, or an object of it (named by its place) has another form, a category that the prior
/// does not know, or a box that does not lie in the picture.
pub fn read_objects(path: &Path, condition: &LayoutCondition) -> Result<Vec<Object>> {
    let layout: Layout = json::read(path)?;
    let mut objects = Vec::with_capacity(layout.objects.0.len());
    for written in layout.objects.0 {
        let place = objects.len() + 1;
        let object = checked(&written, condition)
            .map_err(|error| Error::file(path, format!("object {place}: {error}")))?;
        objects.push(object);
    }
    Ok(objects)
}

fn checked(written: &Written, condition: &LayoutCondition) -> Result<Object> {
    let category = condition.find(&written.category.0)?;
    let [x, y, width, height] = written.area;
    let inside = |start: f64, length: f64| {
        start >= -TOLERANCE && length > 0.0 && start + length <= 1.0 + TOLERANCE
    };
    if !inside(x, width) || !inside(y, height) {
        return Err(Error::input(format!(
            "its box {:?} does not lie in the picture; give left, top, width and height as shares of its sides, such \
             as [0.25, 0.5, 0.5, 0.5]",
            written.area
        )));
    }
    Ok(Object {
        category,
        area: Area {
            x,
            y,
            width,
            height,
        },
        is_group_of: written.group,
        is_occluded: written.occluded,
        is_depiction: written.depiction,
        is_inside: written.inside,
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::layout;
    use super::*;

    fn read(text: &str) -> Result<Vec<Object>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("layout.json");
        std::fs::write(&path, text).unwrap();
        read_objects(&path, &layout())
    }

    #[test]
    fn categories_are_named_or_numbered() {
        let objects = read(
            r#"{"objects": [
                {"category": "dog", "box": [0.25, 0, 0.5, 1], "group": true},
                {"category": 0, "box": [0, 0, 1, 1.0001], "inside": true}
            ]}"#,
        )
        .unwrap();
        assert_eq!((objects[0].category, objects[1].category), (1, 0));
        assert!(objects[0].is_group_of && !objects[0].is_inside && objects[1].is_inside);
        assert_eq!(objects[0].area.width, 0.5);
        assert!(read(r#"{"objects": []}"#).unwrap().is_empty());
    }

    #[test]
    fn errors_name_the_object() {
        let message = |object: &str| {
            let good = r#"{"category": "dog", "box": [0, 0, 1, 1]}"#;
            let error = read(&format!(r#"{{"objects": [{good}, {object}]}}"#)).unwrap_err();
            error.to_string()
        };
        let unknown = message(r#"{"category": "cat", "box": [0, 0, 1, 1]}"#);
        assert!(
            unknown.contains("layout.json: object 2: there is no category \"cat\""),
            "{unknown}"
        );
        for area in [
            "0, 0, 100, 50",
            "0, 0, 0, 1",
            "-0.5, 0, 1, 1",
            "0.5, 0, 1, 1",
        ] {
            let error = message(&format!(r#"{{"category": "dog", "box": [{area}]}}"#));
            assert!(error.contains("object 2: its box ["), "{error}");
        }
        let misspelt = message(r#"{"category": "dog", "box": [0, 0, 1, 1], "grop": true}"#);
        assert!(
            misspelt.contains("object 2: unknown field `grop`"),
            "{misspelt}"
        );
        assert!(message(r#"{"category": "dog"}"#).contains("object 2: missing field `box`"));
        assert!(read("[]").unwrap_err().to_string().contains("layout.json"));
    }
}
