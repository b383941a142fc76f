//! How pictures are read before anything is made of them.

use std::path::Path;

use image::RgbImage;

use crate::data::{Filter, Resize, Transform, read_image, scaled_rgb};
use crate::error::{Error, Result};

/// How pictures are read before anything is made of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What transparency is laid over: red, green, blue.
    pub background: [u8; 3],
    /// How many pixels the shortest side has at most: larger pictures are scaled down, as a training scales them.
    pub shortest: Option<u32>,
}

impl Reading {
    /// Reads a picture.
    ///
    /// # Errors
    /// When the file cannot be opened or is no picture, or is too long and thin to be scaled.
    pub fn read(&self, path: &Path) -> Result<RgbImage> {
        let image = read_image(path, self.background)?;
        let Some(shortest) = self.shortest else {
            return Ok(image);
        };
        let transform = Transform {
            resize: Resize::Shortest(shortest as usize),
            filter: Filter::Lanczos,
            ..Transform::middle(1, false)
        };
        let about = |error: Error| Error::file(path, error.to_string());
        match transform.scaled_size(image.dimensions()).map_err(about)? {
            Some(size) => scaled_rgb(&image, size, transform.filter).map_err(about),
            None => Ok(image),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_pictures_are_scaled_down_and_small_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        RgbImage::new(90, 60).save(&path).unwrap();
        let size = |shortest| {
            let reading = Reading {
                background: [0; 3],
                shortest,
            };
            reading.read(&path).unwrap().dimensions()
        };
        assert_eq!(size(None), (90, 60));
        assert_eq!(size(Some(20)), (30, 20));
        assert_eq!(size(Some(60)), (90, 60));
        assert_eq!(size(Some(500)), (90, 60));
    }
}
