//! Objects from annotation files in the form of COCO's: instances, stuff, or both together
//! (`taming/data/annotated_objects_coco.py`).

use std::collections::{BTreeMap, HashMap};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::json::{self, Entries, Entry, Id};
use super::objects::{Area, Category, Object, ObjectFilter, ObjectSet, PictureObjects};
use crate::error::{Error, Result};

/// The category of stuff that stands for whatever is a thing. It is never used.
const OTHER: &str = "other";

/// Where the files of a data set are, and how they are read.
#[derive(Clone, Debug, PartialEq)]
pub struct CocoFiles {
    /// The annotations: instances for things, stuff for stuff, both for both.
    pub annotations: Vec<PathBuf>,
    /// The folder of the pictures.
    pub pictures: PathBuf,
    /// Which objects and pictures are used.
    pub filter: ObjectFilter,
    /// Whether a crowd counts as a group. The authors meant it to, but compared a number with a truth value, so that in
    /// their models it never does.
    pub crowds_are_groups: bool,
}

impl CocoFiles {
    /// Things and stuff of the split of COCO (`train2017`, `val2017`) in a folder that has the parts `annotations` and
    /// one of the split's name, with the authors' choices.
    pub fn in_folder(folder: &Path, split: &str) -> Self {
        let file = |kind: &str| folder.join(format!("annotations/{kind}_{split}.json"));
        Self {
            annotations: vec![file("instances"), file("stuff")],
            pictures: folder.join(split),
            filter: ObjectFilter::COCO,
            crowds_are_groups: false,
        }
    }

    /// Reads the objects of all pictures. Categories are numbered in the order of their ids as text (1, 10, 11, …, 2),
    /// as in the authors' models. Pictures come in the order of the files, and the objects of one in the order of the
    /// files too.
    ///
    /// # Errors
    /// When a file cannot be read; an entry of it lacks something, names a picture or category that is not there, or a
    /// picture outside of the folder; two files disagree; or no picture passes the filter. Errors name file and entry.
    /// Whether the pictures can be read is found out only when they are.
    pub fn read(&self) -> Result<ObjectSet> {
        if !self.pictures.is_dir() {
            return Err(Error::file(&self.pictures, "no such folder of pictures"));
        }
        let Some(first) = self.annotations.first() else {
            return Err(Error::input("no file of annotations is named"));
        };
        let mut reader = Reader {
            files: self,
            pictures: Vec::new(),
            by_id: HashMap::new(),
            categories: BTreeMap::new(),
        };
        for path in &self.annotations {
            let contents = json::read::<Contents>(path)?;
            reader
                .add(contents)
                .map_err(|message| Error::file(path, message))?;
        }
        let (pictures, categories) = reader.numbered();
        ObjectSet::filtered(pictures, categories, self.filter, first)
    }
}

#[derive(Deserialize)]
struct Contents {
    images: Entries<Image>,
    categories: Entries<Named>,
    annotations: Entries<Annotation>,
}

#[derive(Deserialize)]
struct Image {
    id: Id,
    file_name: String,
    width: u32,
    height: u32,
}

impl Entry for Image {
    const NAME: &'static str = "image";
}

#[derive(Deserialize)]
struct Named {
    id: Id,
    name: String,
}

impl Entry for Named {
    const NAME: &'static str = "category";
}

#[derive(Deserialize)]
struct Annotation {
    image_id: Id,
    category_id: Id,
    /// Left, top, width and height in pixels.
    bbox: [f64; 4],
    #[serde(default)]
    iscrowd: u8,
}

impl Entry for Annotation {
    const NAME: &'static str = "annotation";
}

/// A picture, whose sides its boxes are measured by.
struct Known {
    width: u32,
    height: u32,
    picture: PictureObjects,
}

/// A category under the number it has until all are known.
struct Numbered {
    number: u32,
    name: String,
}

/// What has been read so far.
struct Reader<'a> {
    files: &'a CocoFiles,
    pictures: Vec<Known>,
    by_id: HashMap<String, usize>,
    categories: BTreeMap<String, Numbered>,
}

/// What is wrong with a file.
type Checked = std::result::Result<(), String>;

impl Reader<'_> {
    fn add(&mut self, contents: Contents) -> Checked {
        for (index, image) in contents.images.0.into_iter().enumerate() {
            let place = index + 1;
            self.add_image(image)
                .map_err(|message| format!("image {place}: {message}"))?;
        }
        for (index, category) in contents.categories.0.into_iter().enumerate() {
            let place = index + 1;
            self.add_category(category)
                .map_err(|message| format!("category {place}: {message}"))?;
        }
        for (index, annotation) in contents.annotations.0.iter().enumerate() {
            let place = index + 1;
            self.add_annotation(annotation)
                .map_err(|message| format!("annotation {place}: {message}"))?;
        }
        Ok(())
    }

    fn add_image(&mut self, image: Image) -> Checked {
        let Image {
            id,
            file_name,
            width,
            height,
        } = image;
        if width == 0 || height == 0 {
            return Err(format!("{file_name:?} has no pixels: {width}×{height}"));
        }
        if !stays_inside(&file_name) {
            return Err(format!(
                "{file_name:?} does not name a file in the folder of the pictures"
            ));
        }
        let path = self.files.pictures.join(&file_name);
        if let Some(&known) = self.by_id.get(&id.0) {
            let known = &self.pictures[known];
            let same = known.picture.path == path && (known.width, known.height) == (width, height);
            return if same {
                Ok(())
            } else {
                Err(format!(
                    "{file_name:?}, {width}×{height}, has the id {:?} of another picture, {}, {}×{}",
                    id.0,
                    known.picture.path.display(),
                    known.width,
                    known.height
                ))
            };
        }
        self.by_id.insert(id.0, self.pictures.len());
        self.pictures.push(Known {
            width,
            height,
            picture: PictureObjects {
                path,
                objects: Vec::new(),
            },
        });
        Ok(())
    }

    fn add_category(&mut self, category: Named) -> Checked {
        let Named { id, name } = category;
        if let Some(known) = self.categories.get(&id.0) {
            return if known.name == name {
                Ok(())
            } else {
                Err(format!(
                    "{name:?} has the id {:?} of another category, {:?}",
                    id.0, known.name
                ))
            };
        }
        let number = self.categories.len() as u32;
        self.categories.insert(id.0, Numbered { number, name });
        Ok(())
    }

    fn add_annotation(&mut self, annotation: &Annotation) -> Checked {
        let Some(&index) = self.by_id.get(&annotation.image_id.0) else {
            return Err(format!("there is no image {:?}", annotation.image_id.0));
        };
        let Some(category) = self.categories.get(&annotation.category_id.0) else {
            let id = &annotation.category_id.0;
            return Err(format!("there is no category {id:?}"));
        };
        let [x, y, width, height] = annotation.bbox;
        if width < 0.0 || height < 0.0 {
            return Err(format!("its box has the sides {width} and {height}"));
        }
        let known = &mut self.pictures[index];
        let sides = (f64::from(known.width), f64::from(known.height));
        // Boxes may reach over the border, by rounding or because an object goes on there.
        if x > sides.0 || y > sides.1 || x + width < 0.0 || y + height < 0.0 {
            return Err(format!(
                "its box ({x}, {y}, {width}, {height}) lies outside of the picture of {}×{}",
                sides.0, sides.1
            ));
        }
        let area = Area {
            x: x / sides.0,
            y: y / sides.1,
            width: width / sides.0,
            height: height / sides.1,
        };
        if category.name != OTHER && self.files.filter.keeps(area) {
            known.picture.objects.push(Object {
                category: category.number,
                area,
                is_group_of: self.files.crowds_are_groups && annotation.iscrowd != 0,
                is_occluded: false,
                is_depiction: false,
                is_inside: false,
            });
        }
        Ok(())
    }

    /// The pictures with the final numbers of categories.
    fn numbered(self) -> (Vec<PictureObjects>, Vec<Category>) {
        let mut numbers = vec![0; self.categories.len()];
        let mut categories = Vec::new();
        for (id, category) in self.categories {
            if category.name != OTHER {
                numbers[category.number as usize] = categories.len() as u32;
                categories.push(Category {
                    id,
                    name: category.name,
                });
            }
        }
        let mut pictures: Vec<PictureObjects> = self
            .pictures
            .into_iter()
            .map(|known| known.picture)
            .collect();
        for object in pictures.iter_mut().flat_map(|picture| &mut picture.objects) {
            object.category = numbers[object.category as usize];
        }
        (pictures, categories)
    }
}

/// Whether a file name from a stranger leads to a file below the folder it is looked for in.
fn stays_inside(name: &str) -> bool {
    let mut components = Path::new(name).components().peekable();
    components.peek().is_some()
        && components.all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    const THINGS: &str = r#"{
        "info": {"more": [[]]},
        "images": [
            {"id": 5, "file_name": "five.jpg", "width": 200, "height": 100},
            {"id": 6, "file_name": "six.jpg", "width": 64, "height": 64}
        ],
        "categories": [{"id": 2, "name": "dog"}, {"id": 10, "name": "cat"}],
        "annotations": [
            {"image_id": 5, "category_id": 2, "bbox": [50, 25.0, 100, 50], "iscrowd": 1, "segmentation": {"size": [1]}},
            {"image_id": 6, "category_id": 10, "bbox": [0, 0, 1, 1], "segmentation": [[1.5, 2]]},
            {"image_id": 5, "category_id": 10, "bbox": [-20, 0, 40, 100]}
        ]
    }"#;

    const STUFF: &str = r#"{
        "annotations": [
            {"image_id": 5, "category_id": 183, "bbox": [0, 0, 200, 100]},
            {"image_id": 5, "category_id": 100, "bbox": [0, 50, 200, 50]}
        ],
        "categories": [{"id": 183, "name": "other"}, {"id": 100, "name": "grass"}],
        "images": [{"id": 5, "file_name": "five.jpg", "width": 200, "height": 100}]
    }"#;

    fn files(folder: &TempDir, annotations: &[&str]) -> CocoFiles {
        let paths = annotations.iter().enumerate().map(|(index, text)| {
            let path = folder.path().join(format!("{index}.json"));
            fs::write(&path, text).unwrap();
            path
        });
        CocoFiles {
            annotations: paths.collect(),
            pictures: folder.path().to_path_buf(),
            filter: ObjectFilter {
                min_area: 0.01,
                min_objects: 1,
                max_objects: 10,
            },
            crowds_are_groups: false,
        }
    }

    fn message(annotations: &[&str]) -> String {
        let folder = tempfile::tempdir().unwrap();
        files(&folder, annotations).read().unwrap_err().to_string()
    }

    #[test]
    fn things_and_stuff_come_together() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(&folder, &[THINGS, STUFF]);
        let set = files.read().unwrap();
        // As text, 10 and 100 come before 2.
        assert_eq!(set.names(), ["cat", "grass", "dog"]);
        assert_eq!(set.categories[1].id, "100");
        // The only object of the other picture is too small.
        assert_eq!(set.len(), 1);
        let picture = &set.pictures[0];
        assert_eq!(picture.path, folder.path().join("five.jpg"));
        let found: Vec<(u32, [f64; 4])> = picture
            .objects
            .iter()
            .map(|object| {
                let Area {
                    x,
                    y,
                    width,
                    height,
                } = object.area;
                (object.category, [x, y, width, height])
            })
            .collect();
        let expected = [
            (2, [0.25, 0.25, 0.5, 0.5]),
            (0, [-0.1, 0.0, 0.2, 1.0]),
            (1, [0.0, 0.5, 1.0, 0.5]),
        ];
        assert_eq!(found, expected);
        assert!(picture.objects.iter().all(|object| !object.is_group_of));
        let groups = CocoFiles {
            crowds_are_groups: true,
            ..files
        };
        let set = groups.read().unwrap();
        let groups = set.pictures[0].objects.iter();
        assert_eq!(groups.filter(|object| object.is_group_of).count(), 1);
    }

    #[test]
    fn the_filter_counts_objects() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = files(&folder, &[THINGS]);
        files.filter.min_objects = 3;
        let error = files.read().unwrap_err().to_string();
        assert!(error.contains("0.json: none of its 2 pictures has 3 to 10"));
        files.filter.min_objects = 0;
        assert_eq!(files.read().unwrap().len(), 2);
    }

    #[test]
    fn errors_name_the_entry() {
        let changed = |from: &str, to: &str| {
            assert!(THINGS.contains(from));
            message(&[THINGS.replace(from, to).as_str()])
        };
        assert!(
            changed(r#""image_id": 6"#, r#""image_id": 7"#)
                .contains("0.json: annotation 2: there is no image \"7\"")
        );
        assert!(
            changed(
                r#""category_id": 10, "bbox": [-"#,
                r#""category_id": "a", "bbox": [-"#
            )
            .contains("annotation 3: there is no category \"a\"")
        );
        assert!(
            changed("[50, 25.0, 100, 50]", "[50, 25.0, 100]")
                .contains("annotation 1: invalid length 3")
        );
        assert!(changed("100, 50]", "1e999, 50]").contains("annotation 1: number out of range"));
        assert!(changed("40, 100]", "-40, 100]").contains("annotation 3: its box has the sides"));
        assert!(
            changed("[-20, 0, 40, 100]", "[-50, 0, 40, 100]").contains("annotation 3: its box")
        );
        assert!(
            changed("[-20, 0, 40, 100]", "[201, 0, 40, 100]").contains("outside of the picture")
        );
        assert!(changed(r#""width": 64"#, r#""width": 0"#).contains("image 2: \"six.jpg\" has no"));
        assert!(changed(r#""width": 64, "#, "").contains("image 2: missing field `width`"));
        for name in ["../six.jpg", "/six.jpg", "", "a/../../b"] {
            assert!(changed("six.jpg", name).contains("image 2: "), "{name}");
        }
        assert!(
            changed(r#""id": 6"#, r#""id": 5"#).contains("has the id \"5\" of another picture")
        );
        assert!(changed(r#""annotations""#, r#""notes""#).contains("missing field `annotations`"));
        let other = STUFF.replace("\"id\": 183", "\"id\": 2");
        assert!(message(&[THINGS, &other]).contains("1.json: category 1: \"other\" has the id"));
    }

    #[test]
    fn missing_files_are_errors() {
        assert!(message(&[]).contains("no file of annotations"));
        let folder = tempfile::tempdir().unwrap();
        let error = CocoFiles::in_folder(folder.path(), "val2017").read();
        assert!(
            error
                .unwrap_err()
                .to_string()
                .ends_with("no such folder of pictures")
        );
        fs::create_dir(folder.path().join("val2017")).unwrap();
        let error = CocoFiles::in_folder(folder.path(), "val2017").read();
        assert!(
            error
                .unwrap_err()
                .to_string()
                .contains("instances_val2017.json")
        );
    }
}
