//! How a training square is taken from a picture whose objects are known: pixels and objects must be cut alike
//! (`taming/data/image_transforms.py`).

use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::objects::{Area, View};
use super::random::{Purpose, stream};
use super::raster::Raster;
use super::transform::{Crop, Filter, Place, Resize, Transform};
use crate::error::{Error, Result};

/// Which part of a picture becomes the square, named as in the authors' configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CropMethod {
    /// All of it, stretched to a square.
    #[serde(rename = "none")]
    None,
    /// The middle, as large as fits.
    #[serde(rename = "center")]
    Center,
    /// As large as fits, anywhere along the longer side.
    #[serde(rename = "random-1d")]
    Random1d,
    /// Of any size from the square's own to as large as fits, anywhere.
    #[serde(rename = "random-2d")]
    Random2d,
}

/// How pictures with objects become squares of `size` × `size` pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectCrop {
    /// The side of the square, in pixels.
    pub size: usize,
    pub method: CropMethod,
    /// Whether every second square, by chance, is mirrored left to right.
    pub flip: bool,
    /// How pixels are interpolated when scaling.
    pub filter: Filter,
}

impl ObjectCrop {
    /// The square, and which part of the picture it shows. All that is random about it follows from `seed` and the
    /// square's `position` in the stream of samples.
    ///
    /// # Errors
    /// When the picture has no pixels or is too long and thin to be scaled, or the size is 0 or above 32768.
    pub fn take(&self, picture: Raster, seed: u64, position: u64) -> Result<(Raster, View)> {
        let transform = self.transform();
        transform.check()?;
        let (width, height) = picture.dimensions();
        if width == 0 || height == 0 {
            return Err(Error::input("it has no pixels"));
        }
        match self.method {
            CropMethod::Center | CropMethod::Random1d => {
                let scaled = transform.scaled(picture)?;
                let place = transform.place(scaled.dimensions(), seed, position)?;
                let view = View::of(place, self.size as u32, scaled.dimensions());
                Ok((transform.cut(&scaled, place)?, view))
            }
            CropMethod::Random2d => self.part(&picture, seed, position),
            CropMethod::None => self.stretched(&picture, seed, position),
        }
    }

    /// The same as a [`Transform`], where there is one: the picture is scaled to the square's size and then cropped.
    fn transform(&self) -> Transform {
        Transform {
            size: self.size,
            resize: Resize::Shortest(self.size),
            enlarge: true,
            crop: match self.method {
                CropMethod::Center | CropMethod::None => Crop::Center,
                CropMethod::Random1d | CropMethod::Random2d => Crop::Random,
            },
            flip: self.flip,
            filter: self.filter,
        }
    }

    /// A square of any size, scaled.
    fn part(&self, picture: &Raster, seed: u64, position: u64) -> Result<(Raster, View)> {
        let mut random = stream(seed, Purpose::Sample, position);
        let (width, height) = picture.dimensions();
        let largest = width.min(height);
        let side = random.random_range(largest.min(self.size as u32)..=largest);
        let place = Place {
            x: random.random_range(0..=width - side),
            y: random.random_range(0..=height - side),
            mirrored: self.flip && random.random_bool(0.5),
        };
        let square = self.scaled(&picture.window(place, side, side))?;
        Ok((square, View::of(place, side, (width, height))))
    }

    /// All of the picture, whatever its proportions.
    fn stretched(&self, picture: &Raster, seed: u64, position: u64) -> Result<(Raster, View)> {
        let square = self.scaled(picture)?;
        let mirrored = self.flip && stream(seed, Purpose::Sample, position).random_bool(0.5);
        let view = View {
            area: Area::FULL,
            mirrored,
        };
        Ok((if mirrored { square.mirrored() } else { square }, view))
    }

    fn scaled(&self, picture: &Raster) -> Result<Raster> {
        picture.resized((self.size as u32, self.size as u32), self.filter)
    }
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;

    const METHODS: [CropMethod; 4] = [
        CropMethod::None,
        CropMethod::Center,
        CropMethod::Random1d,
        CropMethod::Random2d,
    ];

    fn crop(method: CropMethod) -> ObjectCrop {
        ObjectCrop {
            size: 32,
            method,
            flip: true,
            filter: Filter::Bilinear,
        }
    }

    /// Red grows from the left to the right and green from above to below, over the whole range.
    fn ramp(width: u32, height: u32) -> Raster {
        let level = |place: u32, length: u32| (255 * place / (length - 1)) as u8;
        Raster::Rgb(RgbImage::from_fn(width, height, |x, y| {
            Rgb([level(x, width), level(y, height), 0])
        }))
    }

    /// Where a colour of the ramp is in the picture, in shares of its sides.
    fn shown(square: &Raster, x: u32, y: u32) -> [f64; 2] {
        let Raster::Rgb(image) = square else {
            panic!("a picture stays one");
        };
        let [red, green, _] = image.get_pixel(x, y).0;
        [f64::from(red) / 255.0, f64::from(green) / 255.0]
    }

    #[test]
    fn the_view_says_what_the_square_shows() {
        for method in METHODS {
            for (width, height) in [(96, 64), (50, 120), (32, 32), (20, 30)] {
                for position in 0..20 {
                    let (square, view) =
                        crop(method).take(ramp(width, height), 7, position).unwrap();
                    assert_eq!(square.dimensions(), (32, 32));
                    for (x, y) in [(4, 4), (27, 9), (15, 28)] {
                        let across = (f64::from(x) + 0.5) / 32.0;
                        let across = if view.mirrored { 1.0 - across } else { across };
                        let down = (f64::from(y) + 0.5) / 32.0;
                        let expected = [
                            view.area.x + across * view.area.width,
                            view.area.y + down * view.area.height,
                        ];
                        for (found, expected) in shown(&square, x, y).into_iter().zip(expected) {
                            assert!(
                                (found - expected).abs() < 0.04,
                                "{method:?}: {found} for {expected}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn methods_take_what_they_are_named_after() {
        let views = |method| -> Vec<View> {
            (0..40)
                .map(|position| crop(method).take(ramp(96, 64), 1, position).unwrap().1)
                .collect()
        };
        for method in METHODS {
            let mirrored = views(method).iter().filter(|view| view.mirrored).count();
            assert!((8..=32).contains(&mirrored), "{method:?}");
            assert_eq!(views(method), views(method));
        }
        assert!(
            views(CropMethod::None)
                .iter()
                .all(|view| view.area == Area::FULL)
        );
        let middle = views(CropMethod::Center);
        assert!(
            middle
                .iter()
                .all(|view| (view.area.x - 1.0 / 6.0).abs() < 0.01 && view.area.height == 1.0)
        );
        let along = views(CropMethod::Random1d);
        assert!(along.iter().all(|view| view.area.height == 1.0));
        assert!(along.iter().any(|view| view.area.x < 0.1));
        assert!(along.iter().any(|view| view.area.x > 0.2));
        let anywhere = views(CropMethod::Random2d);
        assert!(
            anywhere
                .iter()
                .all(|view| (0.5..=1.0).contains(&view.area.height))
        );
        assert!(anywhere.iter().any(|view| view.area.y > 0.05));
        assert!(anywhere.iter().any(|view| view.area.height < 0.7));
    }

    #[test]
    fn names_are_those_of_the_authors() {
        let names = METHODS.map(|method| serde_json::to_string(&method).unwrap());
        assert_eq!(
            names,
            [
                r#""none""#,
                r#""center""#,
                r#""random-1d""#,
                r#""random-2d""#
            ]
        );
    }

    #[test]
    fn impossible_squares_are_errors() {
        for method in METHODS {
            let none = ObjectCrop {
                size: 0,
                ..crop(method)
            };
            assert!(none.take(ramp(40, 40), 0, 0).is_err(), "{method:?}");
            let empty = Raster::Rgb(RgbImage::new(0, 0));
            assert!(crop(method).take(empty, 0, 0).is_err(), "{method:?}");
        }
    }
}
