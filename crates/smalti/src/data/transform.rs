//! From a picture of any size to the square a network is trained on: scaled until its shortest side fits, cropped, and
//! perhaps mirrored.

use image::RgbImage;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::decode::MAX_SIDE;
use super::random::{Purpose, stream};
use super::raster::{Raster, window};
use super::scale;
use crate::error::{Error, Result};

/// How pictures become squares of `size` × `size` pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub struct Transform {
    /// The side of the square, in pixels.
    pub size: usize,
    /// How the picture is scaled before it is cropped.
    pub resize: Resize,
    /// Whether a picture may be enlarged. Otherwise one smaller than the square cannot be used.
    pub enlarge: bool,
    /// Where the square is taken from.
    pub crop: Crop,
    /// Whether every second square, by chance, is mirrored left to right.
    pub flip: bool,
    /// How pixels are interpolated when scaling.
    pub filter: Filter,
}

/// How a picture is scaled before it is cropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resize {
    /// In proportion, until the shortest side has this many pixels.
    Shortest(usize),
    /// Not at all.
    None,
}

/// Where a square is taken from a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Crop {
    /// Anywhere, each place being equally likely.
    Random,
    /// The middle.
    Center,
}

/// How pixels are interpolated. When scaling down, all but `Nearest` average over what a new pixel covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    /// Three lobes of a windowed sinc: the sharpest.
    Lanczos,
    /// Cubic (Catmull-Rom).
    Bicubic,
    /// Linear: the smoothest.
    Bilinear,
    /// The nearest pixel, without averaging.
    Nearest,
}

/// Where a square lies in a scaled picture, and whether it is mirrored left to right when it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The column of its left edge.
    pub x: u32,
    /// The row of its upper edge.
    pub y: u32,
    /// Whether it is mirrored.
    pub mirrored: bool,
}

impl Transform {
    /// The middle square of a picture, scaled to `size` × `size`: what validation and measuring use.
    pub fn middle(size: usize, enlarge: bool) -> Self {
        Self {
            size,
            resize: Resize::Shortest(size),
            enlarge,
            crop: Crop::Center,
            flip: false,
            filter: Filter::Lanczos,
        }
    }

    /// Whether the settings make sense together.
    ///
    /// # Errors
    /// When the size is 0 or above 32768, or pictures would be scaled to less than the size.
    pub fn check(&self) -> Result<()> {
        let limit = MAX_SIDE as usize;
        if self.size == 0 || self.size > limit {
            return Err(Error::input(format!(
                "pictures of size {} cannot be made; the size is from 1 to {limit}",
                self.size
            )));
        }
        match self.resize {
            Resize::Shortest(side) if side < self.size => Err(Error::input(format!(
                "pictures scaled to a shortest side of {side} cannot be cropped to {size}×{size}; scale to {size} or more",
                size = self.size
            ))),
            Resize::Shortest(side) if side > limit => Err(Error::input(format!(
                "pictures cannot be scaled to a shortest side of {side}; at most {limit}"
            ))),
            _ => Ok(()),
        }
    }

    /// A square for training, `[size, size, 3]` bytes: scaled, cropped and perhaps mirrored with draws from `rng`.
    ///
    /// # Errors
    /// When the picture is smaller than the square and is not scaled, is too long and thin to be scaled, or
    /// [`Transform::check`] fails.
    pub fn apply(&self, image: &RgbImage, rng: &mut impl Rng) -> Result<Vec<u8>> {
        let resized = self.resized(image)?;
        let image = resized.as_ref().unwrap_or(image);
        let place = self.drawn_place(image.dimensions(), rng)?;
        Ok(self.square(image, place))
    }

    /// The square for validation, `[size, size, 3]` bytes: scaled, the middle, never mirrored.
    ///
    /// # Errors
    /// As for [`Transform::apply`].
    pub fn center(&self, image: &RgbImage) -> Result<Vec<u8>> {
        let resized = self.resized(image)?;
        let image = resized.as_ref().unwrap_or(image);
        let place = self.center_place(image.dimensions())?;
        Ok(self.square(image, place))
    }

    /// The square for validation of a file of any kind.
    ///
    /// # Errors
    /// As for [`Transform::apply`].
    pub fn center_of(&self, raster: Raster) -> Result<Raster> {
        let raster = self.scaled(raster)?;
        let place = self.center_place(raster.dimensions())?;
        self.cut(&raster, place)
    }

    /// The file scaled so that squares can be cut from it.
    ///
    /// # Errors
    /// As for [`Transform::apply`].
    pub fn scaled(&self, raster: Raster) -> Result<Raster> {
        match self.scaled_size(raster.dimensions())? {
            Some(size) => raster.resized(size, self.filter),
            None => Ok(raster),
        }
    }

    /// A picture and what belongs to it, a label map or depth say, scaled to the same sides, so that squares of one
    /// [`Place`] fit together. The picture decides on the sides.
    ///
    /// # Errors
    /// As for [`Transform::apply`], and when the two differ in proportions by more than one pixel.
    pub fn scaled_pair(&self, picture: Raster, companion: Raster) -> Result<(Raster, Raster)> {
        let ((width, height), (other_width, other_height)) =
            (picture.dimensions(), companion.dimensions());
        let product = |left: u32, right: u32| u64::from(left) * u64::from(right);
        let longest = width.max(height).max(other_width).max(other_height);
        let skew = product(width, other_height).abs_diff(product(other_width, height));
        if skew > u64::from(longest) {
            return Err(Error::input(format!(
                "{width}×{height} and what belongs to it, {other_width}×{other_height}, are not of the same proportions"
            )));
        }
        let picture = self.scaled(picture)?;
        let companion = if companion.dimensions() == picture.dimensions() {
            companion
        } else {
            companion.resized(picture.dimensions(), self.filter)?
        };
        Ok((picture, companion))
    }

    /// Where the training square of a scaled picture of these sides is taken. It follows from `seed` and the square's
    /// `position` in the stream of samples alone.
    ///
    /// # Errors
    /// When the picture is smaller than the square.
    pub fn place(&self, sides: (u32, u32), seed: u64, position: u64) -> Result<Place> {
        self.drawn_place(sides, &mut stream(seed, Purpose::Sample, position))
    }

    /// Where the validation square of a scaled picture of these sides is taken.
    ///
    /// # Errors
    /// When the picture is smaller than the square.
    pub fn center_place(&self, sides: (u32, u32)) -> Result<Place> {
        let (spare_x, spare_y) = self.spare(sides)?;
        Ok(Place {
            x: spare_x / 2,
            y: spare_y / 2,
            mirrored: false,
        })
    }

    /// The square of a scaled file.
    ///
    /// # Errors
    /// When it does not lie inside.
    pub fn cut(&self, raster: &Raster, place: Place) -> Result<Raster> {
        let sides = raster.dimensions();
        let (spare_x, spare_y) = self.spare(sides)?;
        if place.x > spare_x || place.y > spare_y {
            return Err(Error::input(format!(
                "a square of {size}×{size} at ({}, {}) does not lie inside {}×{}",
                place.x,
                place.y,
                sides.0,
                sides.1,
                size = self.size
            )));
        }
        Ok(raster.window(place, self.size as u32, self.size as u32))
    }

    /// The scaled picture, or `None` if it stays as it is.
    fn resized(&self, image: &RgbImage) -> Result<Option<RgbImage>> {
        match self.scaled_size(image.dimensions())? {
            Some(size) => scale::rgb(image, size, self.filter).map(Some),
            None => Ok(None),
        }
    }

    /// The sides that a picture of these sides is scaled to, or `None` if it stays as it is.
    pub(crate) fn scaled_size(&self, (width, height): (u32, u32)) -> Result<Option<(u32, u32)>> {
        self.check()?;
        let Resize::Shortest(side) = self.resize else {
            return Ok(None);
        };
        let (side, shortest) = (side as u64, u64::from(width.min(height)));
        if shortest == 0 {
            return Err(Error::input("it has no pixels"));
        }
        if shortest < self.size as u64 && !self.enlarge {
            return Err(self.too_small((width, height)));
        }
        if shortest == side || (shortest < side && !self.enlarge) {
            return Ok(None);
        }
        let scaled = |length: u32| (u64::from(length) * side + shortest / 2) / shortest;
        let (new_width, new_height) = (scaled(width), scaled(height));
        if new_width.max(new_height) > u64::from(MAX_SIDE) {
            return Err(Error::input(format!(
                "{width}×{height} is too long and thin to be scaled to a shortest side of {side}"
            )));
        }
        Ok(Some((new_width as u32, new_height as u32)))
    }

    fn drawn_place(&self, sides: (u32, u32), rng: &mut impl Rng) -> Result<Place> {
        let (spare_x, spare_y) = self.spare(sides)?;
        let (x, y) = match self.crop {
            Crop::Random => (rng.random_range(0..=spare_x), rng.random_range(0..=spare_y)),
            Crop::Center => (spare_x / 2, spare_y / 2),
        };
        let mirrored = self.flip && rng.random_bool(0.5);
        Ok(Place { x, y, mirrored })
    }

    /// The samples of a square that lies inside the picture.
    fn square(&self, image: &RgbImage, place: Place) -> Vec<u8> {
        window::<_, 3>(image, place, self.size as u32, self.size as u32).into_raw()
    }

    /// How many pixels wider and higher than the square the picture is.
    fn spare(&self, sides: (u32, u32)) -> Result<(u32, u32)> {
        let size = self.size as u32;
        match (sides.0.checked_sub(size), sides.1.checked_sub(size)) {
            (Some(spare_x), Some(spare_y)) => Ok((spare_x, spare_y)),
            _ => Err(self.too_small(sides)),
        }
    }

    fn too_small(&self, (width, height): (u32, u32)) -> Error {
        let size = self.size;
        Error::input(format!(
            "{width}×{height} is smaller than the {size}×{size} to be cropped from it (choose a smaller size, or allow \
             enlarging)"
        ))
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const TRANSFORM: Transform = Transform {
        size: 16,
        resize: Resize::Shortest(20),
        enlarge: true,
        crop: Crop::Random,
        flip: true,
        filter: Filter::Bicubic,
    };

    /// Red counts the columns and green the rows.
    fn ramp(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, 0]))
    }

    fn generator(seed: u64) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(seed)
    }

    #[test]
    fn squares_have_the_asked_size() {
        for (width, height) in [(20, 20), (5, 9), (300, 40), (16, 200)] {
            for filter in [
                Filter::Lanczos,
                Filter::Bicubic,
                Filter::Bilinear,
                Filter::Nearest,
            ] {
                let transform = Transform {
                    filter,
                    ..TRANSFORM
                };
                let image = ramp(width, height);
                let square = transform.apply(&image, &mut generator(1)).unwrap();
                assert_eq!(square.len(), 16 * 16 * 3);
                assert_eq!(transform.center(&image).unwrap().len(), 16 * 16 * 3);
            }
        }
    }

    #[test]
    fn scaling_keeps_the_proportions() {
        let sides = |width, height| {
            let resized = TRANSFORM.resized(&ramp(width, height)).unwrap();
            resized.map(|image| image.dimensions())
        };
        assert_eq!(sides(40, 80), Some((20, 40)));
        assert_eq!(sides(30, 10), Some((60, 20)));
        assert_eq!(sides(33, 40), Some((20, 24)));
        assert_eq!(sides(20, 99), None);
    }

    #[test]
    fn scaling_down_averages() {
        let checkerboard = RgbImage::from_fn(128, 128, |x, y| Rgb([((x + y) % 2) as u8 * 255; 3]));
        for filter in [Filter::Lanczos, Filter::Bicubic, Filter::Bilinear] {
            let transform = Transform {
                size: 32,
                resize: Resize::Shortest(32),
                filter,
                ..TRANSFORM
            };
            let square = transform.center(&checkerboard).unwrap();
            assert!(
                square.iter().all(|level| (118..=138).contains(level)),
                "{filter:?}"
            );
        }
    }

    #[test]
    fn crops_move_and_mirror_by_chance() {
        let unscaled = Transform {
            resize: Resize::None,
            ..TRANSFORM
        };
        let image = ramp(30, 24);
        let squares: Vec<Vec<u8>> = (0..200)
            .map(|seed| unscaled.apply(&image, &mut generator(seed)).unwrap())
            .collect();
        let mirrored = squares.iter().filter(|square| square[0] > square[3]);
        assert!((60..140).contains(&mirrored.count()));
        for square in &squares {
            let left = square[0].min(square[45]);
            assert_eq!(square[0].abs_diff(square[45]), 15);
            assert!(left <= 14 && square[1] <= 8);
        }
        assert!(squares.iter().any(|square| square[0].min(square[45]) == 0));
        assert!(squares.iter().any(|square| square[0].min(square[45]) == 14));
        assert!(squares.iter().any(|square| square[1] == 8));
    }

    #[test]
    fn the_middle_is_always_the_same() {
        let transform = Transform {
            resize: Resize::None,
            crop: Crop::Center,
            flip: false,
            ..TRANSFORM
        };
        let image = ramp(30, 24);
        let square = transform.center(&image).unwrap();
        assert_eq!(square[..3], [7, 4, 0]);
        assert_eq!(transform.apply(&image, &mut generator(5)).unwrap(), square);
    }

    #[test]
    fn pictures_too_small_or_too_thin_are_errors() {
        let unscaled = Transform {
            resize: Resize::None,
            ..TRANSFORM
        };
        let small = unscaled.center(&ramp(30, 10)).unwrap_err().to_string();
        assert!(small.contains("30×10") && small.contains("16×16"));
        let thin = TRANSFORM.center(&RgbImage::new(30_000, 2)).unwrap_err();
        assert!(thin.to_string().contains("too long and thin"));
        assert!(TRANSFORM.center(&RgbImage::new(0, 0)).is_err());
    }

    #[test]
    fn settings_are_checked() {
        assert!(TRANSFORM.check().is_ok());
        for (size, resize) in [
            (0, Resize::None),
            (16, Resize::Shortest(15)),
            (16, Resize::Shortest(usize::MAX)),
            (usize::MAX, Resize::None),
        ] {
            let transform = Transform {
                size,
                resize,
                ..TRANSFORM
            };
            assert!(transform.check().is_err());
            assert!(transform.center(&ramp(20, 20)).is_err());
        }
    }

    #[test]
    fn settings_survive_serialization() {
        let text = serde_json::to_string(&TRANSFORM).unwrap();
        assert_eq!(
            text,
            r#"{"size":16,"resize":{"shortest":20},"enlarge":true,"crop":"random","flip":true,"filter":"bicubic"}"#
        );
        assert_eq!(serde_json::from_str::<Transform>(&text).unwrap(), TRANSFORM);
    }

    #[test]
    fn pictures_are_enlarged_only_when_allowed() {
        let cautious = Transform {
            enlarge: false,
            ..TRANSFORM
        };
        assert!(cautious.resized(&ramp(15, 40)).is_err());
        assert_eq!(cautious.resized(&ramp(18, 40)).unwrap(), None);
        assert!(TRANSFORM.resized(&ramp(15, 40)).is_ok());
    }
}
