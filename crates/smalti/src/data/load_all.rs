//! Reading a whole data set at once, the middle square of each picture: for validation and for turning pictures into
//! codes, where every picture counts once and nothing is left to chance.

use rayon::prelude::*;

use super::bad::{BadFile, reason};
use super::dataset::Dataset;
use super::decode::read_image;
use super::transform::Transform;
use crate::error::Result;

/// The pictures, `[size, size, 3]` bytes each; for each which of [`Dataset::items`] it is; and the ones that were skipped.
pub type Loaded = (Vec<Vec<u8>>, Vec<usize>, Vec<BadFile>);

/// Reads all pictures of a data set on all processors, with [`Transform::center`], in the order of the data set. What
/// cannot be read or is too small is skipped and named. Transparency is laid over `background` (red, green, blue).
///
/// # Errors
/// When [`Transform::check`] fails. That nothing could be read is for the caller to judge, who may have more.
pub fn load_all(dataset: &Dataset, transform: &Transform, background: [u8; 3]) -> Result<Loaded> {
    transform.check()?;
    let results: Vec<Result<Vec<u8>>> = dataset
        .items
        .par_iter()
        .map(|item| transform.center(&read_image(&item.path, background)?))
        .collect();
    let (mut pictures, mut indices, mut bad) = (Vec::new(), Vec::new(), Vec::new());
    for (index, result) in results.into_iter().enumerate() {
        match result {
            Ok(picture) => {
                pictures.push(picture);
                indices.push(index);
            }
            Err(error) => bad.push((dataset.items[index].path.clone(), reason(error))),
        }
    }
    Ok((pictures, indices, bad))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::{Rgb, RgbImage};

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
}
