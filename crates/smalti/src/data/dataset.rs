//! Which pictures there are: a data set is opened from a folder, a list or a single picture, and divided into a training
//! and a validation part.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rand::seq::SliceRandom;

use super::list::read_list;
use super::random::{Purpose, stream};
use super::walk::{EXTENSIONS, is_picture, pictures_below};
use crate::error::{Error, Result};

/// One picture of a data set, not read yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Where the file is.
    pub path: PathBuf,
    /// The index of its class in [`Dataset::classes`], if it has one.
    pub class: Option<usize>,
}

/// A set of pictures in a fixed order.
///
/// ```
/// use smalti::data::drawn::draw;
/// use smalti::data::{Dataset, write_png};
///
/// let folder = tempfile::tempdir().unwrap();
/// for class in ["cats", "dogs"] {
///     std::fs::create_dir(folder.path().join(class)).unwrap();
///     for index in 0..10 {
///         write_png(&folder.path().join(class).join(format!("{index}.png")), &draw(0, index, 8))?;
///     }
/// }
/// let dataset = Dataset::open(folder.path())?;
/// assert_eq!(dataset.classes, ["cats", "dogs"]);
/// let (train, held_back) = dataset.split(0.1, 0);
/// assert_eq!((train.len(), held_back.len()), (18, 2));
/// # Ok::<(), smalti::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// The pictures.
    pub items: Vec<Item>,
    /// The names of the classes, sorted; empty if no picture has one. A part of a data set keeps the classes of the whole.
    pub classes: Vec<String>,
}

impl Dataset {
    /// Opens a data set. `path` may be
    /// - a folder: all pictures in it and below it, sorted by path. The first folder below it on the way to a picture is
    ///   the picture's class. Hidden files are left out;
    /// - a list: a text file with one path per line, relative to the list's folder, and behind a tab the name of a class
    ///   if wanted. Blank lines and lines that begin with `#` are skipped, and the order is kept;
    /// - a single picture.
    ///
    /// Whether the pictures can be read is found out only when they are.
    ///
    /// # Errors
    /// When `path` does not exist or holds no picture, a folder cannot be listed, or a line of a list names a file that
    /// is not there.
    pub fn open(path: &Path) -> Result<Self> {
        let metadata = fs::metadata(path).map_err(|source| match source.kind() {
            ErrorKind::NotFound if path.is_relative() => Error::file(
                path,
                "no such file or folder from here; a training that goes on looks from where it was first started",
            ),
            ErrorKind::NotFound => Error::file(path, "no such file or folder"),
            _ => Error::io(path, source),
        })?;
        let pictures = if metadata.is_dir() {
            with_folder_classes(path)?
        } else if is_picture(path) {
            vec![(path.to_path_buf(), None)]
        } else {
            read_list(path)?
        };
        if pictures.is_empty() {
            let known = EXTENSIONS.join(", ");
            return Err(Error::file(path, format!("no pictures found ({known})")));
        }
        Ok(Self::from_pictures(pictures))
    }

    /// Numbers the classes by name.
    fn from_pictures(pictures: Vec<(PathBuf, Option<String>)>) -> Self {
        let names: BTreeSet<&String> = pictures
            .iter()
            .filter_map(|(_, class)| class.as_ref())
            .collect();
        let classes: Vec<String> = names.into_iter().cloned().collect();
        let items = pictures
            .into_iter()
            .map(|(path, class)| Item {
                path,
                class: class.and_then(|name| classes.binary_search(&name).ok()),
            })
            .collect();
        Self { items, classes }
    }

    /// How many pictures there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are no pictures.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The training and the validation part. `validation` is the share of the pictures held out, from 0 to 1: rounded to
    /// whole pictures, at least one if it is above 0 and there are two pictures, and never all of them. Which ones
    /// depends only on `seed`, the number of pictures and their order, not on where they lie. Both parts keep the order.
    pub fn split(&self, validation: f64, seed: u64) -> (Self, Self) {
        let count = self.items.len();
        let held_out = if validation > 0.0 && count >= 2 {
            ((count as f64 * validation).round() as usize).clamp(1, count - 1)
        } else {
            0
        };
        let mut indices: Vec<usize> = (0..count).collect();
        indices.shuffle(&mut stream(seed, Purpose::Split, 0));
        let (chosen, rest) = indices.split_at_mut(held_out);
        chosen.sort_unstable();
        rest.sort_unstable();
        (self.part(rest), self.part(chosen))
    }

    /// At most `count` of the pictures, evenly spaced over the data set so that every class keeps its share.
    pub fn limit(&self, count: usize) -> Self {
        let length = self.items.len();
        let kept = count.min(length);
        let indices: Vec<usize> = (0..kept).map(|place| place * length / kept).collect();
        self.part(&indices)
    }

    fn part(&self, indices: &[usize]) -> Self {
        Self {
            items: indices
                .iter()
                .map(|&index| self.items[index].clone())
                .collect(),
            classes: self.classes.clone(),
        }
    }
}

/// The pictures of a folder, with the name of the first folder on the way to each as its class.
fn with_folder_classes(root: &Path) -> Result<Vec<(PathBuf, Option<String>)>> {
    let pictures = pictures_below(root)?;
    Ok(pictures
        .into_iter()
        .map(|path| {
            let class = folder_class(root, &path);
            (path, class)
        })
        .collect())
}

fn folder_class(root: &Path, picture: &Path) -> Option<String> {
    let mut components = picture.strip_prefix(root).ok()?.components();
    let first = components.next()?;
    // Without a second component, the first one is the picture itself.
    components.next()?;
    Some(first.as_os_str().to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::testing::folder;
    use super::*;

    fn numbered(count: usize) -> Dataset {
        Dataset::from_pictures(
            (0..count)
                .map(|index| (PathBuf::from(format!("{index:03}.png")), None))
                .collect(),
        )
    }

    #[test]
    fn sub_folders_are_classes() {
        let folder = folder(&["dog/1.png", "cat/deep/2.png", "cat/1.png", "loose.png"]);
        let dataset = Dataset::open(folder.path()).unwrap();
        assert_eq!(dataset.classes, ["cat", "dog"]);
        let found: Vec<(String, Option<usize>)> = dataset
            .items
            .iter()
            .map(|item| {
                let name = item.path.strip_prefix(folder.path()).unwrap();
                (name.display().to_string().replace('\\', "/"), item.class)
            })
            .collect();
        assert_eq!(
            found,
            [
                ("cat/1.png".to_string(), Some(0)),
                ("cat/deep/2.png".to_string(), Some(0)),
                ("dog/1.png".to_string(), Some(1)),
                ("loose.png".to_string(), None),
            ]
        );
    }

    #[test]
    fn a_flat_folder_has_no_classes() {
        let folder = folder(&["b.png", "a.jpg"]);
        let dataset = Dataset::open(folder.path()).unwrap();
        assert!(dataset.classes.is_empty());
        assert_eq!(dataset.len(), 2);
        assert!(dataset.items[0].path.ends_with("a.jpg"));
        assert_eq!(dataset.items[0].class, None);
    }

    #[test]
    fn lists_and_single_pictures_open() {
        let folder = folder(&["b.png", "a.jpg"]);
        let list = folder.path().join("list.txt");
        fs::write(&list, "b.png\tzebra\na.jpg\tant\n").unwrap();
        let dataset = Dataset::open(&list).unwrap();
        assert_eq!(dataset.classes, ["ant", "zebra"]);
        assert!(dataset.items[0].path.ends_with("b.png"));
        assert_eq!(dataset.items[0].class, Some(1));
        let single = Dataset::open(&folder.path().join("b.png")).unwrap();
        assert_eq!(single.len(), 1);
        assert!(single.classes.is_empty());
    }

    #[test]
    fn nothing_to_open_is_an_error() {
        let folder = folder(&["notes.txt"]);
        let empty = Dataset::open(folder.path()).unwrap_err().to_string();
        assert!(empty.contains("no pictures found (png, jpg, "), "{empty}");
        let missing = Dataset::open(&folder.path().join("nowhere"))
            .unwrap_err()
            .to_string();
        assert!(missing.ends_with("nowhere: no such file or folder"));
        fs::write(folder.path().join("notes.txt"), "\n# nothing\n").unwrap();
        let empty_list = Dataset::open(&folder.path().join("notes.txt")).unwrap_err();
        assert!(empty_list.to_string().contains("no pictures found"));
    }

    #[test]
    fn splits_repeat_and_do_not_overlap() {
        let dataset = numbered(40);
        let (train, validation) = dataset.split(0.1, 3);
        assert_eq!((train.len(), validation.len()), (36, 4));
        assert_eq!(dataset.split(0.1, 3), (train.clone(), validation.clone()));
        assert_ne!(dataset.split(0.1, 4).1, validation);
        let mut together: Vec<PathBuf> = train
            .items
            .iter()
            .chain(&validation.items)
            .map(|item| item.path.clone())
            .collect();
        assert!(train.items.is_sorted_by_key(|item| &item.path));
        together.sort();
        assert!(
            together
                .iter()
                .eq(dataset.items.iter().map(|item| &item.path))
        );
    }

    #[test]
    fn splits_hold_out_at_least_one_and_never_all() {
        let sizes = |count, validation| {
            let (train, held_out) = numbered(count).split(validation, 0);
            (train.len(), held_out.len())
        };
        assert_eq!(sizes(10, 0.0), (10, 0));
        assert_eq!(sizes(10, f64::NAN), (10, 0));
        assert_eq!(sizes(10, 0.001), (9, 1));
        assert_eq!(sizes(10, 1.0), (1, 9));
        assert_eq!(sizes(1, 0.5), (1, 0));
        assert_eq!(sizes(2, 0.5), (1, 1));
    }

    #[test]
    fn a_limit_spreads_over_the_data_set() {
        let kept: Vec<PathBuf> = numbered(10)
            .limit(4)
            .items
            .into_iter()
            .map(|item| item.path)
            .collect();
        assert_eq!(
            kept,
            ["000.png", "002.png", "005.png", "007.png"].map(PathBuf::from)
        );
        assert_eq!(numbered(3).limit(9).len(), 3);
        assert_eq!(numbered(3).limit(0).len(), 0);
    }
}
