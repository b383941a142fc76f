//! Reading a whole data set at once, the middle square of each picture: for validation and for turning pictures into
//! codes, where every picture counts once and nothing is left to chance.

use std::path::Path;

use rayon::prelude::*;

use super::bad::{BadFile, reason};
use super::dataset::Dataset;
use super::decode::read_image;
use super::kind::Kind;
use super::raster::Raster;
use super::transform::Transform;
use crate::error::Result;

/// The squares; for each which of [`Dataset::items`] it is; and the ones that were skipped.
pub type Loaded<T> = (Vec<T>, Vec<usize>, Vec<BadFile>);

/// Reads all pictures of a data set on all processors, `[size, size, 3]` bytes each, with [`Transform::center`], in the
/// order of the data set. What cannot be read or is too small is skipped and named. Transparency is laid over
/// `background` (red, green, blue).
///
/// # Errors
/// When [`Transform::check`] fails. That nothing could be read is for the caller to judge, who may have more.
pub fn load_all(
    dataset: &Dataset,
    transform: &Transform,
    background: [u8; 3],
) -> Result<Loaded<Vec<u8>>> {
    load_with(dataset, transform, |path| {
        transform.center(&read_image(path, background)?)
    })
}

/// [`load_all`] for files of any kind, `size` × `size` pixels each.
///
/// # Errors
/// When [`Transform::check`] or [`Kind::check`] fails.
pub fn load_rasters(
    dataset: &Dataset,
    transform: &Transform,
    kind: Kind,
    background: [u8; 3],
) -> Result<Loaded<Raster>> {
    kind.check()?;
    load_with(dataset, transform, |path| {
        transform.center_of(Raster::read(path, kind, background)?)
    })
}

fn load_with<T: Send>(
    dataset: &Dataset,
    transform: &Transform,
    read: impl Fn(&Path) -> Result<T> + Sync,
) -> Result<Loaded<T>> {
    transform.check()?;
    let results: Vec<Result<T>> = dataset
        .items
        .par_iter()
        .map(|item| read(&item.path))
        .collect();
    let (mut squares, mut indices, mut bad) = (Vec::new(), Vec::new(), Vec::new());
    for (index, result) in results.into_iter().enumerate() {
        match result {
            Ok(square) => {
                squares.push(square);
                indices.push(index);
            }
            Err(error) => bad.push((dataset.items[index].path.clone(), reason(error))),
        }
    }
    Ok((squares, indices, bad))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::{GrayImage, Rgb, RgbImage};

    use super::*;
    use crate::data::{Crop, Filter, Resize};

    const TRANSFORM: Transform = Transform {
        size: 8,
        resize: Resize::Shortest(8),
        enlarge: true,
        crop: Crop::Random,
        flip: true,
        filter: Filter::Lanczos,
    };

    #[test]
    fn good_pictures_come_in_order_and_bad_ones_are_named() {
        let folder = tempfile::tempdir().unwrap();
        for (level, name) in [(10, "a.png"), (30, "c.png")] {
            let image = RgbImage::from_pixel(20, 16, Rgb([level; 3]));
            image.save(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("b.png"), "no picture").unwrap();
        let dataset = Dataset::open(folder.path()).unwrap();
        let (pictures, indices, bad) = load_all(&dataset, &TRANSFORM, [0; 3]).unwrap();
        assert_eq!(pictures, [vec![10; 8 * 8 * 3], vec![30; 8 * 8 * 3]]);
        assert_eq!(indices, [0, 2]);
        assert_eq!(bad.len(), 1);
        assert!(bad[0].0.ends_with("b.png"));

        let only_bad = Dataset::open(&folder.path().join("b.png")).unwrap();
        let (pictures, _, bad) = load_all(&only_bad, &TRANSFORM, [0; 3]).unwrap();
        assert!(pictures.is_empty() && bad.len() == 1);
        let nothing = load_all(&dataset.limit(0), &TRANSFORM, [0; 3]).unwrap();
        assert!(nothing.0.is_empty());
    }

    #[test]
    fn label_maps_stay_indices() {
        let folder = tempfile::tempdir().unwrap();
        for (name, label) in [("a.png", 3), ("b.png", 9)] {
            let map = GrayImage::from_pixel(20, 16, image::Luma([label]));
            map.save(folder.path().join(name)).unwrap();
        }
        let dataset = Dataset::open(folder.path()).unwrap();
        let kind = Kind::Labels {
            classes: 9,
            ignore: None,
        };
        let (maps, indices, bad) = load_rasters(&dataset, &TRANSFORM, kind, [0; 3]).unwrap();
        assert_eq!((maps.len(), indices), (1, vec![0]));
        assert_eq!((maps[0].dimensions(), maps[0].channels()), ((8, 8), 9));
        assert!(bad[0].0.ends_with("b.png") && bad[0].1.contains("label 9"));
        let none = Kind::Labels {
            classes: 0,
            ignore: None,
        };
        assert!(load_rasters(&dataset, &TRANSFORM, none, [0; 3]).is_err());
    }
}
