//! Objects in pictures: what they are, where they lie, and which of them a data set keeps
//! (`taming/data/helper_types.py`, `taming/data/annotated_objects_dataset.py`).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::dataset::{Dataset, Item};
use super::transform::Place;
use crate::error::{Error, Result};

/// A rectangle in a picture, in shares of the picture's width and height: the whole picture is 0, 0, 1, 1. In files it
/// may reach beyond the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Area {
    /// The left edge.
    pub x: f64,
    /// The upper edge.
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

/// One object in a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Object {
    /// The number of its category, an index into [`ObjectSet::categories`].
    pub category: u32,
    /// Its bounding box.
    pub area: Area,
    /// Several objects of the category too close together for boxes of their own.
    pub is_group_of: bool,
    /// Something else covers a part of it.
    pub is_occluded: bool,
    /// A drawing or model of the thing.
    pub is_depiction: bool,
    /// Seen from the inside, such as a car or a building.
    pub is_inside: bool,
}

/// A part of a picture, and whether it is mirrored left to right when it is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    pub area: Area,
    pub mirrored: bool,
}

/// A kind of object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Category {
    /// What the files call it.
    pub id: String,
    /// What people call it.
    pub name: String,
}

/// The objects of one picture.
#[derive(Clone, Debug, PartialEq)]
pub struct PictureObjects {
    /// Where the picture is. It has not been read.
    pub path: PathBuf,
    pub objects: Vec<Object>,
}

/// Pictures whose objects are known, in the order of their files.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectSet {
    pub pictures: Vec<PictureObjects>,
    /// The categories by number.
    pub categories: Vec<Category>,
}

/// Which objects and pictures of a data set are used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ObjectFilter {
    /// An object's box must be larger than this share of its picture.
    pub min_area: f64,
    /// A picture must have at least so many of these objects,
    pub min_objects: usize,
    /// and at most so many.
    pub max_objects: usize,
}

impl Area {
    /// The whole picture.
    pub const FULL: Self = Self {
        x: 0.0,
        y: 0.0,
        width: 1.0,
        height: 1.0,
    };

    /// Its share of the picture.
    pub fn size(self) -> f64 {
        self.width * self.height
    }

    /// Whether the two have more in common than an edge.
    pub fn overlaps(self, other: Self) -> bool {
        let common = |start: f64, length: f64, other_start: f64, other_length: f64| {
            ((start + length).min(other_start + other_length) - start.max(other_start)).max(0.0)
        };
        let width = common(self.x, self.width, other.x, other.width);
        let height = common(self.y, self.height, other.y, other.height);
        width * height > 0.0
    }

    /// Where it lies in the mirrored picture.
    pub fn mirrored(self) -> Self {
        Self {
            x: 1.0 - (self.x + self.width),
            ..self
        }
    }

    /// Where it lies in the part `frame` of the picture, cut off at the frame's edges. As in the authors' code, a box
    /// that begins left of or above the frame is moved in and keeps its full width or height as far as there is room:
    /// their models were trained on that.
    pub fn within(self, frame: Self) -> Self {
        let x = ((self.x - frame.x) / frame.width).clamp(0.0, 1.0);
        let y = ((self.y - frame.y) / frame.height).clamp(0.0, 1.0);
        Self {
            x,
            y,
            width: (self.width / frame.width).min(1.0 - x),
            height: (self.height / frame.height).min(1.0 - y),
        }
    }
}

impl View {
    /// The whole picture as it is.
    pub const WHOLE: Self = Self {
        area: Area::FULL,
        mirrored: false,
    };

    /// The square of `side` pixels at a place of a picture of these sides (width, height).
    pub fn of(place: Place, side: u32, (width, height): (u32, u32)) -> Self {
        let share = |part: u32, whole: u32| f64::from(part) / f64::from(whole.max(1));
        Self {
            area: Area {
                x: share(place.x, width),
                y: share(place.y, height),
                width: share(side, width),
                height: share(side, height),
            },
            mirrored: place.mirrored,
        }
    }
}

impl ObjectFilter {
    /// As the authors chose for COCO.
    pub const COCO: Self = Self {
        min_area: 1e-5,
        min_objects: 2,
        max_objects: 30,
    };

    /// As the authors chose for Open Images.
    pub const OPEN_IMAGES: Self = Self {
        min_area: 1e-4,
        min_objects: 2,
        max_objects: 30,
    };

    /// Whether an object is large enough.
    pub fn keeps(self, area: Area) -> bool {
        area.size() > self.min_area
    }

    fn counts(self, objects: &[Object]) -> bool {
        (self.min_objects..=self.max_objects).contains(&objects.len())
    }
}

impl ObjectSet {
    /// The pictures that have as many objects as `filter` says. `source` is the file to name if there is none.
    pub(super) fn filtered(
        mut pictures: Vec<PictureObjects>,
        categories: Vec<Category>,
        filter: ObjectFilter,
        source: &Path,
    ) -> Result<Self> {
        let found = pictures.len();
        pictures.retain(|picture| filter.counts(&picture.objects));
        if pictures.is_empty() {
            let message = format!(
                "none of its {found} pictures has {} to {} objects that take more than {} of it; allow others",
                filter.min_objects, filter.max_objects, filter.min_area
            );
            return Err(Error::file(source, message));
        }
        Ok(Self {
            pictures,
            categories,
        })
    }

    /// How many pictures there are.
    pub fn len(&self) -> usize {
        self.pictures.len()
    }

    /// Whether there are no pictures.
    pub fn is_empty(&self) -> bool {
        self.pictures.is_empty()
    }

    /// The names of the categories by number.
    pub fn names(&self) -> Vec<String> {
        let names = self.categories.iter().map(|category| category.name.clone());
        names.collect()
    }

    /// The pictures as a data set without classes, to be divided and read like any other.
    pub fn dataset(&self) -> Dataset {
        let items = self.pictures.iter().map(|picture| Item {
            path: picture.path.clone(),
            class: None,
        });
        Dataset {
            items: items.collect(),
            classes: Vec::new(),
        }
    }

    /// The objects of each picture of a data set that is [`ObjectSet::dataset`] or a part of it.
    ///
    /// # Errors
    /// When a picture is none of this set.
    pub fn objects_of(&self, dataset: &Dataset) -> Result<Vec<&[Object]>> {
        let by_path: HashMap<&Path, &[Object]> = self
            .pictures
            .iter()
            .map(|picture| (picture.path.as_path(), picture.objects.as_slice()))
            .collect();
        let objects_of = |item: &Item| match by_path.get(item.path.as_path()) {
            Some(&objects) => Ok(objects),
            None => Err(Error::file(
                &item.path,
                "its objects are not known; take pictures of the annotated data set only",
            )),
        };
        dataset.items.iter().map(objects_of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(x: f64, y: f64, width: f64, height: f64) -> Area {
        Area {
            x,
            y,
            width,
            height,
        }
    }

    fn object(area: Area) -> Object {
        Object {
            category: 0,
            area,
            is_group_of: false,
            is_occluded: false,
            is_depiction: false,
            is_inside: false,
        }
    }

    #[test]
    fn areas_overlap_in_more_than_an_edge() {
        let left = area(0.0, 0.0, 0.5, 1.0);
        assert!(left.overlaps(area(0.25, 0.25, 0.5, 0.5)));
        assert!(!left.overlaps(area(0.5, 0.0, 0.5, 1.0)));
        assert!(!left.overlaps(area(0.1, 0.1, 0.0, 0.5)));
        assert!(!left.overlaps(area(0.4, 0.0, -0.2, 1.0)));
    }

    #[test]
    fn an_area_is_seen_from_a_frame() {
        let frame = area(0.5, 0.25, 0.5, 0.5);
        let inside = area(0.625, 0.25, 0.25, 0.25).within(frame);
        assert_eq!(inside, area(0.25, 0.0, 0.5, 0.5));
        // Half of it lies left of the frame, and still it is as wide as the whole.
        let outside = area(0.375, 0.5, 0.25, 0.5).within(frame);
        assert_eq!(outside, area(0.0, 0.5, 0.5, 0.5));
        assert_eq!(inside.mirrored(), inside);
        assert_eq!(outside.mirrored(), area(0.5, 0.5, 0.5, 0.5));
    }

    #[test]
    fn a_place_is_a_share_of_the_picture() {
        let place = Place {
            x: 40,
            y: 0,
            mirrored: true,
        };
        let view = View::of(place, 80, (160, 80));
        assert_eq!(view.area, area(0.25, 0.0, 0.5, 1.0));
        assert!(view.mirrored);
    }

    #[test]
    fn pictures_are_filtered_by_their_number_of_objects() {
        let pictures: Vec<PictureObjects> = (0..6)
            .map(|count| PictureObjects {
                path: PathBuf::from(format!("{count}.jpg")),
                objects: vec![object(Area::FULL); count],
            })
            .collect();
        let filter = ObjectFilter {
            min_area: 0.5,
            min_objects: 2,
            max_objects: 4,
        };
        assert!(filter.keeps(Area::FULL) && !filter.keeps(area(0.0, 0.0, 0.5, 1.0)));
        let source = Path::new("objects.json");
        let set = ObjectSet::filtered(pictures, Vec::new(), filter, source).unwrap();
        assert_eq!(set.len(), 3);
        assert!(set.pictures[0].path.ends_with("2.jpg"));
        let error = ObjectSet::filtered(Vec::new(), Vec::new(), filter, source).unwrap_err();
        assert!(error.to_string().starts_with("objects.json: none of its 0"));
    }

    #[test]
    fn a_part_of_the_data_set_finds_its_objects() {
        let pictures: Vec<PictureObjects> = (1..9)
            .map(|count| PictureObjects {
                path: PathBuf::from(format!("{count}.jpg")),
                objects: vec![object(Area::FULL); count],
            })
            .collect();
        let set = ObjectSet {
            pictures,
            categories: Vec::new(),
        };
        let (train, validation) = set.dataset().split(0.25, 1);
        for part in [train, validation] {
            let objects = set.objects_of(&part).unwrap();
            for (item, objects) in part.items.iter().zip(objects) {
                assert!(item.path.ends_with(format!("{}.jpg", objects.len())));
            }
        }
        let mut strange = set.dataset();
        strange.items[0].path = PathBuf::from("other.jpg");
        assert!(set.objects_of(&strange).is_err());
    }
}
