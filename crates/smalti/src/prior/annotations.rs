//! Objects of pictures from annotations, as trainings read them: files of COCO's form, or the tables of Open Images.

use super::condition::layout::LayoutCondition;
use crate::data::coco::CocoFiles;
use crate::data::json;
use crate::data::open_images::OpenImagesFiles;
use crate::data::{Object, ObjectFilter, ObjectSet};
use crate::error::{Error, Result};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::path::{Path, PathBuf};

/// The table of categories by which a folder is known to be of Open Images.
const OPEN_IMAGES: &str = "class-descriptions-boxable.csv";

/// What tells annotations of many pictures from the layout of one.
#[derive(Deserialize)]
struct Contents {
    images: Option<IgnoredAny>,
}

/// Whether a file or folder holds annotations of many pictures, and not layouts, of which each file is one. What cannot
/// be read holds none: whoever reads it says why.
pub fn are_annotations(path: &Path) -> bool {
    let of_coco = |file: &Path| {
        let contents = json::read::<Contents>(file);
        contents.is_ok_and(|contents| contents.images.is_some())
    };
    if !path.is_dir() {
        return of_coco(path);
    }
    let files = endings(path, ".json").unwrap_or_default();
    path.join(OPEN_IMAGES).is_file() || files.first().is_some_and(|first| of_coco(first))
}

/// The layouts of all pictures in the annotations `given`, which a training would use: those with as many objects as
/// `condition` has room for, and two at least. The pictures themselves need not be there.
///
/// # Errors
/// Annotations that cannot be read, and categories that the prior does not know.
pub fn layouts(given: &Path, condition: &LayoutCondition) -> Result<Vec<Vec<Object>>> {
    let folder = match given.is_dir() {
        true => Some(given),
        false => given.parent(),
    };
    // No picture is looked for in it, but it must be a folder.
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    let set = annotated(
        given,
        folder.unwrap_or(Path::new(".")),
        condition.max_objects,
    )?;
    let numbers = numbers(&set, condition);
    let renumbered = |object: &Object| match numbers[object.category as usize] {
        Some(category) => Ok(Object {
            category,
            ..*object
        }),
        None => Err(Error::file(
            given,
            format!(
                "there is no category {:?} in this prior, which has {}",
                set.categories[object.category as usize].name,
                condition.describe()
            ),
        )),
    };
    let pictures = set.pictures.iter();
    pictures
        .map(|picture| picture.objects.iter().map(renumbered).collect())
        .collect()
}

/// The prior's number of each category of `set`: by name, or as they are where the prior knows no names.
fn numbers(set: &ObjectSet, condition: &LayoutCondition) -> Vec<Option<u32>> {
    let names = set.names();
    let known = &condition.names;
    let number = |(place, name): (usize, &String)| {
        let number = match (known == &names, known.is_empty()) {
            (true, _) => Some(place),
            (_, true) => (names.len() == condition.classes).then_some(place),
            _ => known.iter().position(|known| known == name),
        };
        number.map(|number| number as u32)
    };
    names.iter().enumerate().map(number).collect()
}

/// Pictures of `data` whose objects are annotated: in files of COCO's form, or in the tables of Open Images.
pub(super) fn annotated(given: &Path, data: &Path, most: usize) -> Result<ObjectSet> {
    if given.join(OPEN_IMAGES).is_file() {
        let mut tables = endings(given, "annotations-bbox.csv")?;
        let (Some(annotations), true) = (tables.pop(), tables.is_empty()) else {
            return Err(Error::file(
                given,
                "this folder must have one table whose name ends in annotations-bbox.csv",
            ));
        };
        let mut files = OpenImagesFiles::in_folder(given, "train");
        files.annotations = annotations;
        files.pictures = data.to_path_buf();
        files.filter.max_objects = most;
        return files.read();
    }
    let annotations = match given.is_dir() {
        true => endings(given, ".json")?,
        false => vec![given.to_path_buf()],
    };
    if annotations.is_empty() {
        return Err(Error::file(
            given,
            format!(
                "there are no annotations in it: neither .json files of COCO's form nor {OPEN_IMAGES}"
            ),
        ));
    }
    CocoFiles {
        annotations,
        pictures: data.to_path_buf(),
        filter: ObjectFilter {
            max_objects: most,
            ..ObjectFilter::COCO
        },
        crowds_are_groups: true,
    }
    .read()
}

/// The files of a folder whose names end so, sorted.
fn endings(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(|error| Error::io(folder, error))?;
    let mut found = Vec::new();
    for entry in entries {
        found.push(entry.map_err(|error| Error::io(folder, error))?.path());
    }
    found.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(ending) && !name.starts_with('.')
    });
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use tempfile::TempDir;

    fn condition(names: &[&str]) -> LayoutCondition {
        let names: Vec<String> = names.iter().copied().map(String::from).collect();
        serde_json::from_value(json!({
            "classes": names.len(), "names": names, "max_objects": 3, "token_count": 100
        }))
        .unwrap()
    }

    fn image(id: usize) -> Value {
        json!({"id": id, "file_name": format!("{id}.png"), "width": 20, "height": 20})
    }

    fn object(image: usize, category: usize, left: usize) -> Value {
        json!({"image_id": image, "category_id": category, "bbox": [left, 0, 10, 10]})
    }

    /// Pictures with two objects, with one, and with two again.
    fn annotations(folder: &TempDir, name: &str) -> PathBuf {
        let objects = [
            object(1, 1, 0),
            object(1, 2, 10),
            object(2, 1, 0),
            object(3, 2, 5),
            object(3, 2, 10),
        ];
        let contents = json!({
            "info": {},
            "images": [image(1), image(2), image(3)],
            "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "tree"}],
            "annotations": objects,
        });
        let path = folder.path().join(name);
        std::fs::write(&path, contents.to_string()).unwrap();
        path
    }

    #[test]
    fn annotations_are_told_from_layouts() {
        let folder = tempfile::tempdir().unwrap();
        let path = annotations(&folder, "objects.json");
        assert!(are_annotations(&path) && are_annotations(folder.path()));
        let other = tempfile::tempdir().unwrap();
        assert!(!are_annotations(other.path()));
        let layout = other.path().join("layout.json");
        assert!(!are_annotations(&layout), "it is not there");
        for text in [r#"{"objects": []}"#, "[]", "no JSON"] {
            std::fs::write(&layout, text).unwrap();
            assert!(!are_annotations(&layout) && !are_annotations(other.path()));
        }
        std::fs::write(other.path().join(OPEN_IMAGES), "").unwrap();
        assert!(are_annotations(other.path()));
    }

    #[test]
    fn categories_get_the_numbers_of_the_prior() {
        let folder = tempfile::tempdir().unwrap();
        let path = annotations(&folder, "objects.json");
        let categories = |condition: &LayoutCondition| -> Vec<Vec<u32>> {
            let layouts = layouts(&path, condition).unwrap();
            let of_picture = |objects: &Vec<Object>| -> Vec<u32> {
                objects.iter().map(|object| object.category).collect()
            };
            layouts.iter().map(of_picture).collect()
        };
        assert_eq!(categories(&condition(&["dog", "tree"])), [[0, 1], [1, 1]]);
        assert_eq!(
            categories(&condition(&["tree", "cat", "dog"])),
            [[2, 0], [0, 0]]
        );
        let nameless = LayoutCondition {
            names: Vec::new(),
            ..condition(&["a", "b"])
        };
        assert_eq!(categories(&nameless), [[0, 1], [1, 1]]);
        let error = layouts(&path, &condition(&["tree", "cat"]))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("objects.json: there is no category \"dog\"")
                && error.contains("tree, cat"),
            "{error}"
        );
    }
}
