//! What is known of pictures and machine before anything is chosen.

use crate::counted;
use crate::data::{BadFile, Dataset, none_readable, read_image, reason};
use crate::error::Result;
use image::RgbImage;
use rayon::prelude::*;
use std::collections::HashSet;
use std::path::Path;

/// The most pictures that are looked into, spread evenly over the data set.
const LOOKED_INTO: usize = 64;

/// What shows through transparent pixels while they are looked into, as in trainings by default.
const BACKGROUND: [u8; 3] = [255; 3];

/// Pixel art has so few colours, each worth so many pixels, and so short a shorter side.
const FEW_COLORS: usize = 64;
const PIXELS_OF_A_COLOR: usize = 10;
const PIXEL_ART_SIDE: u32 = 256;

/// The share of the pictures that must agree before all are taken to be of a kind.
const MOST: f64 = 0.8;

/// What choices are made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// How many pictures there are.
    pub pictures: usize,
    pub classes: usize,
    /// How many pictures have no class.
    pub without_class: usize,
    /// The shorter sides of the pictures that were looked into, in pixels, ascending; at least one.
    pub sides: Vec<u32>,
    /// Whether nearly all of them are grey, and whether they are pixel art: few colours, small, and not grey.
    pub grey: bool,
    pub pixel_art: bool,
    /// Threads to compute with.
    pub threads: usize,
}

impl Facts {
    /// Looks at a data set as [`Dataset::open`] reads it, and into up to 64 of its pictures.
    ///
    /// # Errors
    /// A data set that cannot be opened, or of which none of these pictures can be read.
    pub fn of(data: &Path, threads: usize) -> Result<Self> {
        let dataset = Dataset::open(data)?;
        let items = dataset.limit(LOOKED_INTO).items;
        let looks: Vec<std::result::Result<Look, BadFile>> = items
            .par_iter()
            .map(|item| match read_image(&item.path, BACKGROUND) {
                Ok(picture) => Ok(Look::at(&picture)),
                Err(error) => Err((item.path.clone(), reason(error))),
            })
            .collect();
        let first_bad = looks.iter().find_map(|look| look.as_ref().err()).cloned();
        let looks: Vec<Look> = looks.into_iter().flatten().collect();
        if looks.is_empty() {
            return Err(none_readable(items.len(), first_bad.as_ref()));
        }
        Ok(Self::from_looks(&dataset, &looks, threads))
    }

    fn from_looks(dataset: &Dataset, looks: &[Look], threads: usize) -> Self {
        let mut sides: Vec<u32> = looks.iter().map(|look| look.side).collect();
        sides.sort_unstable();
        let most = |holds: fn(&Look) -> bool| {
            let count = looks.iter().filter(|look| holds(look)).count();
            count as f64 >= MOST * looks.len() as f64
        };
        let grey = most(|look| look.grey);
        Self {
            pictures: dataset.len(),
            classes: dataset.classes.len(),
            without_class: dataset
                .items
                .iter()
                .filter(|item| item.class.is_none())
                .count(),
            sides,
            grey,
            pixel_art: !grey && most(|look| look.few_colors && look.side <= PIXEL_ART_SIDE),
            threads: threads.max(1),
        }
    }

    /// The shorter side that nine in ten pictures have at least.
    pub fn side(&self) -> usize {
        self.sides
            .get(self.sides.len() / 10)
            .map_or(1, |&side| side as usize)
    }

    /// The share of the pictures whose shorter side is below `side`.
    pub fn smaller_than(&self, side: usize) -> f64 {
        let smaller = self.sides.partition_point(|&own| (own as usize) < side);
        smaller as f64 / self.sides.len().max(1) as f64
    }

    /// One line for a person.
    pub fn describe(&self) -> String {
        let classes = match self.classes {
            0 => "no classes".to_string(),
            1 => "1 class".to_string(),
            count => format!("{count} classes"),
        };
        let (least, most) = (self.sides.first(), self.sides.last());
        let sides = match (least, most) {
            (Some(least), Some(most)) if least != most => format!("{least} to {most}"),
            (Some(least), _) => least.to_string(),
            _ => "no".to_string(),
        };
        let look = match (self.grey, self.pixel_art) {
            (true, _) => "grey",
            (_, true) => "pixel art",
            _ => "in colour",
        };
        format!(
            "{}, {classes}, shorter side {sides} pixels, {look}; {}",
            counted(self.pictures, "picture"),
            counted(self.threads, "thread")
        )
    }
}

/// What is seen in one picture.
struct Look {
    /// Its shorter side in pixels.
    side: u32,
    grey: bool,
    few_colors: bool,
}

impl Look {
    fn at(picture: &RgbImage) -> Self {
        let pixels = picture.width() as usize * picture.height() as usize;
        let few = FEW_COLORS.min(pixels / PIXELS_OF_A_COLOR);
        let mut colors = HashSet::new();
        let few_colors = picture.pixels().all(|pixel| {
            colors.insert(pixel.0);
            colors.len() <= few
        });
        Self {
            side: picture.width().min(picture.height()),
            grey: picture
                .pixels()
                .all(|pixel| pixel.0[0] == pixel.0[1] && pixel.0[1] == pixel.0[2]),
            few_colors,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::drawn::draw;
    use crate::data::write_png;
    use image::{Rgb, imageops};

    fn facts(pictures: &[(&str, RgbImage)]) -> Facts {
        let folder = tempfile::tempdir().unwrap();
        for (name, picture) in pictures {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            write_png(&path, picture).unwrap();
        }
        Facts::of(folder.path(), 2).unwrap()
    }

    #[test]
    fn sizes_and_classes_are_counted() {
        let facts = facts(&[
            ("a/1.png", draw(0, 0, 24)),
            ("a/2.png", draw(0, 1, 24)),
            ("b/1.png", draw(1, 0, 40)),
            ("loose.png", draw(1, 1, 32)),
        ]);
        assert_eq!(facts.pictures, 4);
        assert_eq!((facts.classes, facts.without_class), (2, 1));
        assert_eq!(facts.sides, [24, 24, 32, 40]);
        assert!(!facts.grey && !facts.pixel_art);
        assert_eq!(
            facts.describe(),
            "4 pictures, 2 classes, shorter side 24 to 40 pixels, in colour; 2 threads"
        );
    }

    #[test]
    fn greys_and_pixel_art_are_told_apart() {
        let drawn = draw(0, 0, 24);
        let grey = imageops::grayscale(&drawn);
        let grey = RgbImage::from_fn(24, 24, |x, y| Rgb([grey.get_pixel(x, y).0[0]; 3]));
        assert!(facts(&[("a.png", grey)]).grey);
        let sprite = RgbImage::from_fn(24, 16, |x, y| {
            Rgb([(x / 8 * 80) as u8, 0, (y / 8 * 90) as u8])
        });
        let facts = facts(&[("a.png", sprite)]);
        assert!(facts.pixel_art && !facts.grey);
        assert_eq!(facts.side(), 16);
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.png"), b"no picture").unwrap();
        let error = Facts::of(folder.path(), 2).unwrap_err().to_string();
        assert!(error.contains("a.png"), "{error}");
        write_png(&folder.path().join("b.png"), &draw(0, 0, 16)).unwrap();
        let facts = Facts::of(folder.path(), 2).unwrap();
        assert_eq!((facts.pictures, facts.sides), (2, vec![16]));
    }
}
