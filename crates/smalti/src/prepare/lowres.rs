//! Pictures of less resolution, to learn to enlarge them: `imscale` of the authors' `ImageNetScale`
//! (taming/data/imagenet.py), which scales down by a whole number and back up.

use image::RgbImage;

use crate::data::{Filter, averaged_rgb, scaled_rgb};
use crate::error::{Error, Result};

/// How a picture loses resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lowres {
    /// How many times smaller its sides become, rounded down to whole pixels.
    pub factor: u32,
    /// How it is scaled down.
    pub down: Down,
    /// How it is scaled up to its old sides again, if it is. The authors' is bicubic.
    pub up: Option<Filter>,
}

/// How a picture is scaled down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Down {
    /// Cubic (Catmull-Rom), over all that a new pixel covers: what the authors do.
    #[default]
    Bicubic,
    /// The mean of what a new pixel covers.
    Area,
}

impl Lowres {
    /// Whether the settings make sense.
    ///
    /// # Errors
    /// When the factor is less than 2.
    pub fn check(&self) -> Result<()> {
        if self.factor >= 2 {
            return Ok(());
        }
        Err(Error::input(format!(
            "pictures scaled down by {} lose nothing: the factor is 2 or more",
            self.factor
        )))
    }

    /// The picture with less resolution.
    ///
    /// # Errors
    /// When nothing would be left of it, or [`Lowres::check`] fails.
    pub fn apply(&self, image: &RgbImage) -> Result<RgbImage> {
        self.check()?;
        let (width, height) = image.dimensions();
        let small = (width / self.factor, height / self.factor);
        if small.0 == 0 || small.1 == 0 {
            return Err(Error::input(format!(
                "{width}×{height} cannot be made {} times smaller",
                self.factor
            )));
        }
        let small = match self.down {
            Down::Bicubic => scaled_rgb(image, small, Filter::Bicubic)?,
            Down::Area => averaged_rgb(image, small)?,
        };
        match self.up {
            Some(filter) => scaled_rgb(&small, (width, height), filter),
            None => Ok(small),
        }
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    fn lowres(factor: u32, down: Down, up: Option<Filter>) -> Lowres {
        Lowres { factor, down, up }
    }

    #[test]
    fn areas_become_their_mean() {
        let image = RgbImage::from_fn(5, 4, |x, y| Rgb([(x * 20 + y * 60) as u8, 0, 90]));
        let small = lowres(2, Down::Area, None).apply(&image);
        // The odd column is spread over the others.
        assert_eq!(small.unwrap().dimensions(), (2, 2));
        let even = RgbImage::from_fn(4, 4, |x, y| *image.get_pixel(x, y));
        let small = lowres(2, Down::Area, None).apply(&even).unwrap();
        let red: Vec<u8> = small.pixels().map(|pixel| pixel.0[0]).collect();
        assert_eq!(red, [40, 80, 160, 200]);
        let back = lowres(2, Down::Area, Some(Filter::Nearest));
        let back = back.apply(&even).unwrap();
        assert_eq!(back.dimensions(), (4, 4));
        for (x, y, pixel) in back.enumerate_pixels() {
            assert_eq!(pixel, small.get_pixel(x / 2, y / 2));
        }
    }

    #[test]
    fn plain_pictures_lose_nothing() {
        let image = RgbImage::from_pixel(33, 21, Rgb([1, 128, 254]));
        for down in [Down::Bicubic, Down::Area] {
            for up in [Filter::Bicubic, Filter::Bilinear, Filter::Nearest] {
                let result = lowres(4, down, Some(up)).apply(&image).unwrap();
                assert_eq!(result, image);
            }
        }
    }

    #[test]
    fn something_must_be_left() {
        let apply = |factor| {
            let image = RgbImage::new(7, 3);
            lowres(factor, Down::Bicubic, None).apply(&image)
        };
        assert_eq!(apply(3).unwrap().dimensions(), (2, 1));
        let error = apply(4).unwrap_err().to_string();
        assert!(
            error.contains("7×3 cannot be made 4 times smaller"),
            "{error}"
        );
        assert!(apply(1).unwrap_err().to_string().contains("2 or more"));
        assert!(apply(0).is_err());
    }
}
