//! A decoded file of any kind, as compact as it was: pictures as bytes, label maps as indices, depth as floats. What a
//! network sees is made from it last, because a one-hot map takes hundreds of times the memory of its indices.

use std::path::Path;

use image::{ImageBuffer, Luma, Pixel, RgbImage};

use super::decode::{MAX_SIDE, read_image};
use super::depth_map::read_depth;
use super::kind::{Kind, KindName};
use super::label_map::read_labels;
use super::pixels::to_float;
use super::scale;
use super::show::{depth_color, label_color};
use super::transform::{Filter, Place};
use crate::error::{Error, Result};

/// The index of a class per pixel, or [`UNLABELLED`].
pub type LabelImage = ImageBuffer<Luma<u16>, Vec<u16>>;
/// Depth in [-1, 1] per pixel.
pub type DepthImage = ImageBuffer<Luma<f32>, Vec<f32>>;

/// Stands in a [`LabelImage`] for pixels without a class.
pub const UNLABELLED: u16 = u16::MAX;

/// A picture, label map or depth map.
#[derive(Clone, Debug, PartialEq)]
pub enum Raster {
    /// A picture.
    Rgb(RgbImage),
    /// A label map with indices below `classes`, or [`UNLABELLED`].
    Labels {
        /// The indices.
        map: LabelImage,
        /// How many classes there are.
        classes: usize,
    },
    /// A depth map.
    Depth(DepthImage),
}

impl From<RgbImage> for Raster {
    fn from(image: RgbImage) -> Self {
        Self::Rgb(image)
    }
}

impl Raster {
    /// Reads a file. The transparency of a picture is laid over `background` (red, green, blue).
    ///
    /// # Errors
    /// When the file cannot be opened, is none of its kind or damaged, or [`Kind::check`] fails.
    pub fn read(path: &Path, kind: Kind, background: [u8; 3]) -> Result<Self> {
        kind.check()?;
        Ok(match kind {
            Kind::Pictures => Self::Rgb(read_image(path, background)?),
            Kind::Labels { classes, ignore } => Self::Labels {
                map: read_labels(path, classes, ignore)?,
                classes,
            },
            Kind::Depth { form } => Self::Depth(read_depth(path, form)?),
        })
    }

    /// What it holds.
    pub fn kind(&self) -> KindName {
        match self {
            Self::Rgb(_) => KindName::Pictures,
            Self::Labels { .. } => KindName::Labels,
            Self::Depth(_) => KindName::Depth,
        }
    }

    /// Width and height in pixels.
    pub fn dimensions(&self) -> (u32, u32) {
        match self {
            Self::Rgb(image) => image.dimensions(),
            Self::Labels { map, .. } => map.dimensions(),
            Self::Depth(map) => map.dimensions(),
        }
    }

    /// How many channels a network sees.
    pub fn channels(&self) -> usize {
        match self {
            Self::Rgb(_) => 3,
            Self::Labels { classes, .. } => *classes,
            Self::Depth(_) => 1,
        }
    }

    /// How much memory the samples take.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Rgb(image) => image.as_raw().len(),
            Self::Labels { map, .. } => size_of_val(map.as_raw().as_slice()),
            Self::Depth(map) => size_of_val(map.as_raw().as_slice()),
        }
    }

    /// Appends what a network sees, `[height, width, channels]`: colours and depth in [-1, 1]; of label maps 1 in the
    /// channel of the pixel's class and 0 in the others, or 0 in all where the pixel has none.
    pub fn extend_floats(&self, floats: &mut Vec<f32>) {
        match self {
            Self::Rgb(image) => floats.extend(image.as_raw().iter().map(|&byte| to_float(byte))),
            Self::Labels { map, classes } => extend_one_hot(map.as_raw(), *classes, floats),
            Self::Depth(map) => floats.extend_from_slice(map.as_raw()),
        }
    }

    /// To look at: label maps in the colours of their classes, depth in grey.
    pub fn to_image(&self) -> RgbImage {
        match self {
            Self::Rgb(image) => image.clone(),
            Self::Labels { map, .. } => drawn(map.as_raw(), map.dimensions(), label_color),
            Self::Depth(map) => drawn(map.as_raw(), map.dimensions(), depth_color),
        }
    }

    /// The same seen in a mirror.
    pub fn mirrored(&self) -> Self {
        let (width, height) = self.dimensions();
        let place = Place {
            x: 0,
            y: 0,
            mirrored: true,
        };
        self.window(place, width, height)
    }

    /// Scaled, in proportion, until it covers `width` × `height` pixels, and the middle of these. What has this size
    /// already stays as it is.
    ///
    /// # Errors
    /// When it has no pixels or cannot be scaled.
    pub(crate) fn covering(self, width: u32, height: u32) -> Result<Self> {
        let (own_width, own_height) = self.dimensions();
        if own_width == 0 || own_height == 0 {
            return Err(Error::input("it has no pixels"));
        }
        let product = |left: u32, right: u32| u64::from(left) * u64::from(right);
        // The side that is too short for the proportions decides, and the other is at least as long as is wanted.
        let size = if product(own_width, height) >= product(width, own_height) {
            let scaled = product(own_width, height).div_ceil(u64::from(own_height));
            (u32::try_from(scaled), Ok(height))
        } else {
            let scaled = product(own_height, width).div_ceil(u64::from(own_width));
            (Ok(width), u32::try_from(scaled))
        };
        let (Ok(scaled_width), Ok(scaled_height)) = size else {
            return Err(Error::input("it is too long and thin to be scaled"));
        };
        let longest = scaled_width.max(scaled_height);
        if longest > MAX_SIDE.max(width).max(height) {
            return Err(Error::input("it is too long and thin to be scaled"));
        }
        let scaled = match (scaled_width, scaled_height) == (own_width, own_height) {
            true => self,
            false => self.resized((scaled_width, scaled_height), Filter::Lanczos)?,
        };
        let place = Place {
            x: (scaled_width - width) / 2,
            y: (scaled_height - height) / 2,
            mirrored: false,
        };
        Ok(scaled.window(place, width, height))
    }

    /// Scaled to these sides: pictures with `filter`, depth linearly, and labels never mixed.
    pub(crate) fn resized(&self, size: (u32, u32), filter: Filter) -> Result<Self> {
        Ok(match self {
            Self::Rgb(image) => Self::Rgb(scale::rgb(image, size, filter)?),
            Self::Labels { map, classes } => Self::Labels {
                map: scale::labels(map, size)?,
                classes: *classes,
            },
            Self::Depth(map) => Self::Depth(scale::depth(map, size)?),
        })
    }

    /// The part of this width and height whose upper left corner is at `place`; it must lie inside.
    pub(super) fn window(&self, place: Place, width: u32, height: u32) -> Self {
        match self {
            Self::Rgb(image) => Self::Rgb(window::<_, 3>(image, place, width, height)),
            Self::Labels { map, classes } => Self::Labels {
                map: window::<_, 1>(map, place, width, height),
                classes: *classes,
            },
            Self::Depth(map) => Self::Depth(window::<_, 1>(map, place, width, height)),
        }
    }
}

/// A part of an image whose pixels have `C` samples.
pub(super) fn window<P: Pixel, const C: usize>(
    image: &ImageBuffer<P, Vec<P::Subpixel>>,
    place: Place,
    width: u32,
    height: u32,
) -> ImageBuffer<P, Vec<P::Subpixel>> {
    let (x, line) = (place.x as usize, width as usize * C);
    let mut samples = Vec::with_capacity(line * height as usize);
    for row in place.y..place.y + height {
        let start = (row as usize * image.width() as usize + x) * C;
        let row = &image.as_raw()[start..start + line];
        if place.mirrored {
            for pixel in row.chunks_exact(C).rev() {
                samples.extend_from_slice(pixel);
            }
        } else {
            samples.extend_from_slice(row);
        }
    }
    ImageBuffer::from_raw(width, height, samples).expect("as many samples as the window has")
}

fn extend_one_hot(indices: &[u16], classes: usize, floats: &mut Vec<f32>) {
    let start = floats.len();
    floats.resize(start + indices.len() * classes, 0.0);
    let pixels = floats[start..].chunks_exact_mut(classes.max(1));
    for (&index, pixel) in indices.iter().zip(pixels) {
        // What is not there is `UNLABELLED`, which is above all classes.
        if let Some(value) = pixel.get_mut(usize::from(index)) {
            *value = 1.0;
        }
    }
}

fn drawn<T: Copy>(
    values: &[T],
    (width, height): (u32, u32),
    color: impl Fn(T) -> [u8; 3],
) -> RgbImage {
    let bytes = values.iter().flat_map(|&value| color(value)).collect();
    RgbImage::from_raw(width, height, bytes).expect("three bytes for every pixel")
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    fn labels(width: u32, indices: &[u16], classes: usize) -> Raster {
        let height = indices.len() as u32 / width;
        let map = LabelImage::from_raw(width, height, indices.to_vec()).unwrap();
        Raster::Labels { map, classes }
    }

    fn floats(raster: &Raster) -> Vec<f32> {
        let mut floats = vec![9.0];
        raster.extend_floats(&mut floats);
        floats.split_off(1)
    }

    #[test]
    fn one_hot_maps_have_the_classes_side_by_side() {
        let map = labels(2, &[1, 0, UNLABELLED, 2], 3);
        #[rustfmt::skip]
        let expected = [
            0.0, 1.0, 0.0,  1.0, 0.0, 0.0,
            0.0, 0.0, 0.0,  0.0, 0.0, 1.0,
        ];
        assert_eq!(floats(&map), expected);
        assert_eq!((map.channels(), map.bytes()), (3, 8));
    }

    #[test]
    fn colours_and_depth_are_floats_between_minus_one_and_one() {
        let picture = Raster::from(RgbImage::from_pixel(1, 1, Rgb([0, 255, 0])));
        assert_eq!(floats(&picture), [-1.0, 1.0, -1.0]);
        let depth = Raster::Depth(DepthImage::from_raw(2, 1, vec![-1.0, 0.5]).unwrap());
        assert_eq!(floats(&depth), [-1.0, 0.5]);
        assert_eq!((depth.channels(), depth.bytes()), (1, 8));
    }

    #[test]
    fn windows_agree_for_all_kinds() {
        let indices: Vec<u16> = (0..20).collect();
        let map = labels(5, &indices, 20);
        let picture = RgbImage::from_fn(5, 4, |x, y| Rgb([(y * 5 + x) as u8; 3]));
        let heights = indices.iter().map(|&index| f32::from(index)).collect();
        let depth = Raster::Depth(DepthImage::from_raw(5, 4, heights).unwrap());
        for mirrored in [false, true] {
            let place = Place {
                x: 1,
                y: 2,
                mirrored,
            };
            let expected: [u16; 6] = match mirrored {
                false => [11, 12, 13, 16, 17, 18],
                true => [13, 12, 11, 18, 17, 16],
            };
            assert_eq!(map.window(place, 3, 2), labels(3, &expected, 20));
            let Raster::Rgb(window) = Raster::from(picture.clone()).window(place, 3, 2) else {
                panic!("a picture stays one");
            };
            let green = window.pixels().map(|pixel| u16::from(pixel.0[1]));
            assert!(green.eq(expected));
            assert_eq!(floats(&depth.window(place, 3, 2)), expected.map(f32::from));
        }
        assert_eq!(
            labels(2, &[1, 2, 3, 4], 5).mirrored(),
            labels(2, &[2, 1, 4, 3], 5)
        );
    }

    #[test]
    fn a_covering_picture_keeps_its_proportions_and_its_middle() {
        let picture = RgbImage::from_fn(60, 20, |x, _| Rgb([x as u8 * 4; 3]));
        let picture = Raster::from(picture);
        assert_eq!(picture.clone().covering(60, 20).unwrap(), picture);
        let cut = picture.clone().covering(20, 20).unwrap();
        assert_eq!(floats(&cut)[0], to_float(20 * 4));
        for (width, height) in [(7, 50), (120, 40), (16, 16), (61, 20), (1, 1)] {
            let cut = picture.clone().covering(width, height).unwrap();
            assert_eq!(cut.dimensions(), (width, height));
        }
        assert!(Raster::from(RgbImage::new(0, 3)).covering(4, 4).is_err());
        assert!(
            Raster::from(RgbImage::new(3, 30_000))
                .covering(64, 64)
                .is_err()
        );
    }

    #[test]
    fn scaling_invents_no_labels() {
        let indices: Vec<u16> = (0..40 * 30)
            .map(|place| [3, 90, 17, UNLABELLED][place % 4])
            .collect();
        let map = labels(40, &indices, 91);
        for size in [(13, 9), (80, 61), (7, 100)] {
            let Raster::Labels { map, .. } = map.resized(size, Filter::Lanczos).unwrap() else {
                panic!("a label map stays one");
            };
            assert_eq!(map.dimensions(), size);
            assert!(
                map.as_raw()
                    .iter()
                    .all(|index| [3, 90, 17, UNLABELLED].contains(index))
            );
        }
        let doubled = labels(2, &[1, 2, 3, 4], 5)
            .resized((4, 2), Filter::Bicubic)
            .unwrap();
        assert_eq!(doubled, labels(4, &[1, 1, 2, 2, 3, 3, 4, 4], 5));
    }

    #[test]
    fn depth_is_scaled_linearly() {
        let steps = vec![-1.0, 1.0, 1.0, -1.0, -1.0, -1.0, 1.0, 1.0];
        let depth = Raster::Depth(DepthImage::from_raw(8, 1, steps).unwrap());
        let wide = floats(&depth.resized((64, 1), Filter::Nearest).unwrap());
        assert_eq!(wide.len(), 64);
        assert!(wide.iter().all(|value| (-1.0..=1.0).contains(value)));
        assert!(wide.iter().any(|value| value.abs() < 0.5));
    }

    #[test]
    fn maps_are_drawn_in_colour_and_grey() {
        let image = labels(2, &[0, 7], 8).to_image();
        assert_eq!(image.get_pixel(0, 0).0, label_color(0));
        assert_eq!(image.get_pixel(1, 0).0, label_color(7));
        let depth = Raster::Depth(DepthImage::from_raw(1, 1, vec![1.0]).unwrap());
        assert_eq!(depth.to_image().get_pixel(0, 0).0, [255; 3]);
    }
}
