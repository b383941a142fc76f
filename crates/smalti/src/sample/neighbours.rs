//! The training pictures that are most like a sample: a prior that has learned pictures by heart shows it here.
//!
//! Pictures are compared twice: as small pictures of what their codes decode to, and code by code.

use super::decode_pictures;
use crate::data::{self, Dataset, Transform};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::prior::CodeSet;
use crate::training::skipped_pictures;
use image::RgbImage;
use image::imageops::{FilterType, resize};
use std::path::Path;

/// Side of the small pictures.
const SIDE: u32 = 32;

/// Pictures that are decoded at a time.
const CHUNK: usize = 8;

/// Pictures to look for neighbours among.
pub struct Gallery {
    /// Rows and columns.
    grid: [usize; 2],
    /// Of each picture.
    codes: Vec<Vec<i64>>,
    /// `SIDE` × `SIDE` × 3 bytes of each.
    small: Vec<Vec<u8>>,
}

/// A picture of a gallery beside a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// Its number in the gallery.
    pub index: usize,
    /// Root of the mean squared difference of the small pictures, in levels of 256.
    pub distance: f64,
    /// Share of the places that have the same code.
    pub equal_codes: f64,
}

impl Gallery {
    /// Reads a file of codes, or makes the codes of a folder or list of pictures, of `grid` rows and columns each; then
    /// decodes them all. What cannot be read is skipped, and `note` hears of it.
    ///
    /// # Errors
    /// Codes of another size or tokenizer, pictures that would not be square, and none at all.
    pub fn open(
        model: &Model,
        path: &Path,
        grid: [usize; 2],
        note: &mut dyn FnMut(String),
    ) -> Result<Self> {
        let codes = path.extension().is_some_and(|name| name == "safetensors");
        let set = if codes {
            let set = CodeSet::load(path)?;
            set.check_tokenizer(model, path)?;
            set
        } else {
            encoded(model, path, grid, note)?
        };
        if [set.rows, set.columns] != grid {
            return Err(Error::file(
                path,
                format!(
                    "its pictures have {} × {} codes; neighbours of pictures of {} × {} must have as many",
                    set.rows, set.columns, grid[0], grid[1]
                ),
            ));
        }
        if set.is_empty() {
            return Err(Error::file(path, "there are no pictures in it"));
        }
        let codes: Vec<Vec<i64>> = (0..set.len())
            .map(|index| set.picture(index).to_vec())
            .collect();
        let mut small = Vec::with_capacity(codes.len());
        for chunk in codes.chunks(CHUNK) {
            let pictures = decode_pictures(model, chunk, grid, CHUNK);
            small.extend(pictures.iter().map(shrunk));
        }
        Ok(Self { grid, codes, small })
    }

    /// How many pictures there are.
    pub fn len(&self) -> usize {
        self.small.len()
    }

    /// Whether there are none, which [`Gallery::open`] refuses.
    pub fn is_empty(&self) -> bool {
        self.small.is_empty()
    }

    /// All pictures beside a sample, the nearest first; of equally near ones the first.
    pub fn neighbours(&self, codes: &[i64], sample: &RgbImage) -> Vec<Neighbour> {
        let sample = shrunk(sample);
        let neighbour = |index: usize| Neighbour {
            index,
            distance: distance(&sample, &self.small[index]),
            equal_codes: equal_codes(codes, &self.codes[index]),
        };
        let mut neighbours: Vec<Neighbour> = (0..self.len()).map(neighbour).collect();
        neighbours.sort_by(|left, right| left.distance.total_cmp(&right.distance));
        neighbours
    }

    /// A picture, decoded.
    pub fn picture(&self, model: &Model, index: usize) -> RgbImage {
        let codes = &self.codes[index..=index];
        decode_pictures(model, codes, self.grid, 1).remove(0)
    }
}

/// The codes of the middle squares of pictures.
fn encoded(
    model: &Model,
    path: &Path,
    grid: [usize; 2],
    note: &mut dyn FnMut(String),
) -> Result<CodeSet> {
    let [size, width] = model.tokenizer_config.pixels_of(grid);
    if size != width {
        return Err(Error::input(format!(
            "pictures are read as squares, and samples of {width} × {size} pixels are none: give a file of codes"
        )));
    }
    let dataset = Dataset::open(path)?;
    let enlarge = model.info.recipe.get("enlarge");
    let enlarge = enlarge.and_then(serde_json::Value::as_bool) == Some(true);
    let transform = Transform::middle(size, enlarge);
    let mut set = CodeSet::new(model, grid[0], grid[1]);
    let mut skipped = Vec::new();
    for items in dataset.items.chunks(32) {
        let part = Dataset {
            items: items.to_vec(),
            classes: dataset.classes.clone(),
        };
        let (pictures, _, bad) = data::load_all(&part, &transform, model.background())?;
        set.encode(model, &pictures, size);
        skipped.extend(bad);
    }
    skipped_pictures(&skipped).into_iter().for_each(note);
    if set.is_empty() {
        return Err(data::none_readable(dataset.len(), skipped.first()));
    }
    Ok(set)
}

fn shrunk(picture: &RgbImage) -> Vec<u8> {
    resize(picture, SIDE, SIDE, FilterType::Triangle).into_raw()
}

fn distance(left: &[u8], right: &[u8]) -> f64 {
    let squares = left.iter().zip(right).map(|(&left, &right)| {
        let difference = i64::from(left) - i64::from(right);
        difference * difference
    });
    (squares.sum::<i64>() as f64 / left.len().max(1) as f64).sqrt()
}

fn equal_codes(left: &[i64], right: &[i64]) -> f64 {
    let equal = left.iter().zip(right).filter(|(left, right)| left == right);
    equal.count() as f64 / left.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    #[test]
    fn distances_of_known_pictures() {
        let plain = |level: u8| RgbImage::from_pixel(64, 16, Rgb([level, 0, 0]));
        let gallery = Gallery {
            grid: [1, 4],
            codes: vec![vec![1, 2, 3, 4], vec![5, 6, 7, 8], vec![1, 2, 0, 0]],
            small: [90, 10, 40].map(|level| shrunk(&plain(level))).to_vec(),
        };
        let found = gallery.neighbours(&[1, 2, 3, 0], &plain(30));
        let order: Vec<usize> = found.iter().map(|neighbour| neighbour.index).collect();
        assert_eq!(order, [2, 1, 0]);
        // One channel of three differs by 10, 20 and 60 levels.
        for (neighbour, levels) in found.iter().zip([10.0, 20.0, 60.0]) {
            assert!((neighbour.distance - levels / f64::sqrt(3.0)).abs() < 1e-9);
        }
        let equal: Vec<f64> = found
            .iter()
            .map(|neighbour| neighbour.equal_codes)
            .collect();
        assert_eq!(equal, [0.75, 0.0, 0.75]);
    }

    #[test]
    fn the_same_picture_is_at_no_distance() {
        let picture = data::drawn::draw(0, 3, 48);
        let gallery = Gallery {
            grid: [2, 2],
            codes: vec![vec![1, 2, 3, 4]],
            small: vec![shrunk(&picture)],
        };
        let found = gallery.neighbours(&[1, 2, 3, 4], &picture);
        assert_eq!((found[0].distance, found[0].equal_codes), (0.0, 1.0));
    }
}
