//! Pictures and what belongs to them: label maps or depth in a second folder, under the same names.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::dataset::Dataset;
use super::walk::{EXTENSIONS, pictures_below};
use crate::counted;
use crate::error::{Error, Result};

/// How many of the missing files an error names.
const NAMED: usize = 5;

/// The file below `folder` for each picture of a data set: it has the path of the picture below `data`, with any ending
/// that pictures have (of several, the first of png, jpg, jpeg, webp …). `data` is what [`Dataset::open`] was given;
/// the paths of a list or a single picture count from the folder it lies in.
///
/// [`Transform::scaled_pair`](super::Transform::scaled_pair) brings the two to the same sides, and one
/// [`Place`](super::Place) cuts both.
///
/// # Errors
/// When a folder cannot be listed, a picture does not lie below `data`, or files are missing; the first are named.
pub fn companions(dataset: &Dataset, data: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    let files = by_stem(folder)?;
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for stem in stems(dataset, data)? {
        match files.get(&stem) {
            Some(path) => found.push(path.clone()),
            None => missing.push(stem),
        }
    }
    if missing.is_empty() {
        Ok(found)
    } else {
        Err(not_found(folder, dataset.len(), &missing))
    }
}

/// The path below `data`, without its ending, of each picture of a data set; what belongs to a picture has the same in
/// its own folder. `data` is as for [`companions`].
///
/// # Errors
/// When a picture does not lie below `data`.
pub fn stems(dataset: &Dataset, data: &Path) -> Result<Vec<PathBuf>> {
    let root = if data.is_dir() {
        data
    } else {
        data.parent().unwrap_or(Path::new(""))
    };
    let items = dataset.items.iter();
    items.map(|item| stem(root, &item.path)).collect()
}

/// The pictures below a folder, by their path in it without its ending.
fn by_stem(folder: &Path) -> Result<HashMap<PathBuf, PathBuf>> {
    let mut files: HashMap<PathBuf, PathBuf> = HashMap::new();
    for path in pictures_below(folder)? {
        let stem = stem(folder, &path)?;
        let better = files
            .get(&stem)
            .is_none_or(|other| rank(&path) < rank(other));
        if better {
            files.insert(stem, path);
        }
    }
    Ok(files)
}

/// The place of a file's ending among the known ones.
fn rank(path: &Path) -> usize {
    let has = |ending: &str| {
        path.extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case(ending))
    };
    EXTENSIONS
        .iter()
        .position(|ending| has(ending))
        .unwrap_or(EXTENSIONS.len())
}

fn stem(root: &Path, path: &Path) -> Result<PathBuf> {
    let inside = path.strip_prefix(root).map_err(|_| {
        let message = format!(
            "it does not lie below {}, so no file can be matched with it",
            root.display()
        );
        Error::file(path, message)
    })?;
    Ok(inside.with_extension(""))
}

fn not_found(folder: &Path, pictures: usize, missing: &[PathBuf]) -> Error {
    let named: Vec<String> = missing
        .iter()
        .take(NAMED)
        .map(|stem| format!("{}.*", stem.display()))
        .collect();
    let more = if missing.len() > NAMED { ", …" } else { "" };
    Error::file(
        folder,
        format!(
            "no file for {} of {}: {}{more}",
            missing.len(),
            counted(pictures, "picture"),
            named.join(", ")
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::{GrayImage, Luma, Rgb, RgbImage};

    use super::super::testing::folder;
    use super::*;
    use crate::data::{Crop, Filter, Kind, Raster, Resize, Transform};

    #[test]
    fn files_of_the_same_name_belong_together() {
        let pictures = folder(&["sea/a.b.jpg", "sea/c.JPG", "d.png"]);
        let maps = folder(&[
            "sea/a.b.png",
            "sea/c.tif",
            "sea/c.PNG",
            "d.jpeg",
            "more.png",
        ]);
        let dataset = Dataset::open(pictures.path()).unwrap();
        let found = companions(&dataset, pictures.path(), maps.path()).unwrap();
        let expected = ["d.jpeg", "sea/a.b.png", "sea/c.PNG"].map(|name| maps.path().join(name));
        assert_eq!(found, expected);

        let list = pictures.path().join("list.txt");
        fs::write(&list, "sea/c.JPG\n").unwrap();
        let dataset = Dataset::open(&list).unwrap();
        let found = companions(&dataset, &list, maps.path()).unwrap();
        assert_eq!(found, [maps.path().join("sea/c.PNG")]);
    }

    #[test]
    fn the_first_missing_files_are_named() {
        let names: Vec<String> = (0..9).map(|number| format!("{number}.png")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (pictures, maps) = (folder(&names), folder(&["0.png", "8.png"]));
        let dataset = Dataset::open(pictures.path()).unwrap();
        let error = companions(&dataset, pictures.path(), maps.path()).unwrap_err();
        let message = error.to_string();
        assert!(message.ends_with("no file for 7 of 9 pictures: 1.*, 2.*, 3.*, 4.*, 5.*, …"));
        let elsewhere = companions(&dataset, maps.path(), maps.path()).unwrap_err();
        assert!(elsewhere.to_string().contains("does not lie below"));
    }

    #[test]
    fn a_picture_and_its_label_map_are_cut_alike() {
        let folder = tempfile::tempdir().unwrap();
        let (photo, map) = (folder.path().join("a.jpg.png"), folder.path().join("b.png"));
        let picture = RgbImage::from_fn(40, 30, |x, y| {
            Rgb([x as u8, y as u8, (x / 4 + y / 3) as u8])
        });
        picture.save(&photo).unwrap();
        let labels = GrayImage::from_fn(40, 30, |x, y| Luma([(x / 4 + y / 3) as u8]));
        labels.save(&map).unwrap();
        let labels = Kind::Labels {
            classes: 20,
            ignore: None,
        };
        let transform = Transform {
            size: 12,
            resize: Resize::None,
            enlarge: false,
            crop: Crop::Random,
            flip: true,
            filter: Filter::Lanczos,
        };
        let read = |path: &Path, kind| Raster::read(path, kind, [0; 3]).unwrap();
        let pair = (read(&photo, Kind::Pictures), read(&map, labels));
        let (picture, map) = transform.scaled_pair(pair.0, pair.1).unwrap();
        let mut corners = Vec::new();
        for position in 0..20 {
            let place = transform.place(picture.dimensions(), 5, position).unwrap();
            let Raster::Rgb(picture) = transform.cut(&picture, place).unwrap() else {
                panic!("a picture stays one");
            };
            let Raster::Labels { map, .. } = transform.cut(&map, place).unwrap() else {
                panic!("a label map stays one");
            };
            let blue = picture.pixels().map(|pixel| u16::from(pixel.0[2]));
            assert!(blue.eq(map.as_raw().iter().copied()));
            corners.push(picture.get_pixel(0, 0).0);
        }
        assert!(corners.iter().any(|corner| *corner != corners[0]));
    }

    #[test]
    fn a_label_map_of_other_sides_follows_the_picture() {
        let transform = Transform::middle(16, true);
        let picture = Raster::Rgb(RgbImage::new(60, 41));
        let labels = |width, height| Raster::Labels {
            map: image::ImageBuffer::new(width, height),
            classes: 2,
        };
        let (picture, map) = transform.scaled_pair(picture, labels(30, 20)).unwrap();
        assert_eq!(picture.dimensions(), (23, 16));
        assert_eq!(map.dimensions(), (23, 16));
        let error = transform.scaled_pair(picture, labels(16, 23)).unwrap_err();
        assert!(error.to_string().contains("proportions"));
    }
}
