//! COCO's `person_keypoints` files: JSON with a list of pictures and a list of people, each with 17 key points.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::without_ending;
use crate::error::{Error, Result};

/// How many key points a person has.
pub const POINTS: usize = 17;

/// No picture is so large that a point can be so far from its corner.
const FARTHEST: f64 = 1e6;

/// How well a point is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Visibility {
    /// Nobody knows where it is.
    #[default]
    Unknown,
    /// It is behind something.
    Hidden,
    Visible,
}

/// A key point, in pixels from the middle of the upper left one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    pub x: f64,
    pub y: f64,
    pub visibility: Visibility,
}

/// A person in a picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Person {
    pub points: [Point; POINTS],
    /// How many pixels the person covers.
    pub area: f64,
}

/// A picture and the people in it.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its path without the ending.
    pub(super) stem: PathBuf,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) people: Vec<Person>,
}

#[derive(Deserialize)]
struct File {
    images: Vec<Picture>,
    annotations: Vec<Annotation>,
}

#[derive(Deserialize)]
struct Picture {
    id: i64,
    file_name: String,
    width: u32,
    height: u32,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: i64,
    /// x, y and visibility of each point. Annotations of other things have none.
    #[serde(default)]
    keypoints: Vec<f64>,
    #[serde(default)]
    area: f64,
    /// 1 for groups, whose points say nothing.
    #[serde(default)]
    iscrowd: i64,
}

/// The pictures of a file of key points, with their people.
///
/// # Errors
/// When the file cannot be read, is not such a file, or has impossible key points.
pub(super) fn read(file: &Path) -> Result<Vec<Entry>> {
    let bytes = fs::read(file).map_err(|source| Error::io(file, source))?;
    let wrong = |message: String| Error::file(file, message);
    let contents: File = serde_json::from_slice(&bytes)
        .map_err(|error| wrong(format!("no file of COCO's key points: {error}")))?;
    drop(bytes);
    let mut entries = Vec::new();
    let mut places = HashMap::new();
    for picture in contents.images {
        if places.insert(picture.id, entries.len()).is_some() {
            return Err(wrong(format!("two pictures have the id {}", picture.id)));
        }
        entries.push(Entry {
            stem: without_ending(&picture.file_name),
            width: picture.width,
            height: picture.height,
            people: Vec::new(),
        });
    }
    for (number, annotation) in contents.annotations.into_iter().enumerate() {
        let person = person(&annotation)
            .map_err(|message| wrong(format!("annotation {number}: {message}")))?;
        let place = places.get(&annotation.image_id).copied();
        let entry = place.and_then(|place| entries.get_mut(place));
        let Some(entry) = entry else {
            let id = annotation.image_id;
            return Err(wrong(format!(
                "annotation {number}: no picture has the id {id}"
            )));
        };
        entry.people.extend(person);
    }
    Ok(entries)
}

/// The person of an annotation, if it is one; or what is wrong with it.
fn person(annotation: &Annotation) -> std::result::Result<Option<Person>, String> {
    let numbers = &annotation.keypoints;
    if numbers.is_empty() || annotation.iscrowd != 0 {
        return Ok(None);
    }
    if numbers.len() != 3 * POINTS {
        return Err(format!(
            "its key points are {} numbers; a person has {POINTS} points of three",
            numbers.len()
        ));
    }
    let mut person = Person {
        area: annotation.area,
        ..Person::default()
    };
    for (point, numbers) in person.points.iter_mut().zip(numbers.chunks_exact(3)) {
        let (x, y) = (numbers[0], numbers[1]);
        if x.abs() > FARTHEST || y.abs() > FARTHEST {
            return Err(format!("a key point at ({x:e}, {y:e}) is in no picture"));
        }
        let visibility = match numbers[2] {
            0.0 => Visibility::Unknown,
            1.0 => Visibility::Hidden,
            2.0 => Visibility::Visible,
            other => {
                return Err(format!(
                    "{other} says nothing of a point's visibility (0, 1 or 2)"
                ));
            }
        };
        *point = Point { x, y, visibility };
    }
    Ok(Some(person))
}
