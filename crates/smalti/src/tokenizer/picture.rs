//! Single pictures of any size through a tokenizer. Sides that are no multiple of f are continued by reflection, and the
//! surplus is cut off again.

use crate::checkpoint::{host_codes, host_values};
use crate::data::{Raster, picture_of, tensor_of};
use crate::model::Model;
use image::imageops::crop_imm;
use image::{ImageBuffer, Pixel, RgbImage};

/// The codes of a picture in reading order, with the rows and columns of its grid.
pub fn encode(model: &Model, picture: &RgbImage) -> (Vec<i64>, [usize; 2]) {
    encode_raster(model, &picture.clone().into())
}

/// [`encode`] of a picture, label map or depth map, whichever the tokenizer is for.
pub fn encode_raster(model: &Model, raster: &Raster) -> (Vec<i64>, [usize; 2]) {
    let padded = continued(raster, model);
    let pixels = tensor_of(&[padded], &model.device());
    let codes = model.tokenizer.encode(pixels).codes;
    let [_, rows, columns] = codes.dims();
    (host_codes(codes), [rows, columns])
}

/// A picture through encoder, quantiser and decoder, same size.
pub fn reconstruct(model: &Model, picture: &RgbImage) -> RgbImage {
    reconstruct_raster(model, &picture.clone().into())
}

/// [`reconstruct`] of a picture, label map or depth map, whichever the tokenizer is for, drawn as [`picture_of`] does.
pub fn reconstruct_raster(model: &Model, raster: &Raster) -> RgbImage {
    let padded = continued(raster, model);
    let (width, height) = padded.dimensions();
    let pixels = tensor_of(&[padded], &model.device());
    let latent = model.tokenizer.encode(pixels).latent;
    let output = host_values(model.tokenizer.decode(latent));
    let output = picture_of(&output, height as usize, width as usize, raster.kind());
    let (width, height) = raster.dimensions();
    crop_imm(&output, 0, 0, width, height).to_image()
}

/// Peak signal-to-noise ratio of 8-bit pictures of one size, in decibels; infinite for equal ones.
pub fn psnr(left: &RgbImage, right: &RgbImage) -> f64 {
    let squares = left.as_raw().iter().zip(right.as_raw()).map(|(&a, &b)| {
        let difference = f64::from(a) - f64::from(b);
        difference * difference
    });
    let mean = squares.sum::<f64>() / left.as_raw().len().max(1) as f64;
    10.0 * (255.0 * 255.0 / mean).log10()
}

/// Continued until both sides are multiples of the tokenizer's factor.
fn continued(raster: &Raster, model: &Model) -> Raster {
    let multiple = model.tokenizer_config.factor() as u32;
    match raster {
        Raster::Rgb(image) => Raster::Rgb(reflect(image, multiple)),
        Raster::Labels { map, classes } => Raster::Labels {
            map: reflect(map, multiple),
            classes: *classes,
        },
        Raster::Depth(map) => Raster::Depth(reflect(map, multiple)),
    }
}

/// Continues a picture to the right and below, mirrored at its edge, until both sides are multiples of `multiple`.
fn reflect<P: Pixel>(
    picture: &ImageBuffer<P, Vec<P::Subpixel>>,
    multiple: u32,
) -> ImageBuffer<P, Vec<P::Subpixel>> {
    let (width, height) = picture.dimensions();
    let source = |position: u32, length: u32| {
        // Walking back and forth between the first and the last pixel.
        let period = (2 * (length - 1)).max(1);
        let place = position % period;
        if place < length {
            place
        } else {
            period - place
        }
    };
    ImageBuffer::from_fn(
        width.next_multiple_of(multiple),
        height.next_multiple_of(multiple),
        |x, y| *picture.get_pixel(source(x, width), source(y, height)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reflection_walks_back_from_the_edge() {
        let picture = RgbImage::from_fn(3, 1, |x, _| image::Rgb([x as u8; 3]));
        let row: Vec<u8> = reflect(&picture, 8)
            .rows()
            .next()
            .unwrap()
            .map(|pixel| pixel[0])
            .collect();
        assert_eq!(row, [0, 1, 2, 1, 0, 1, 2, 1]);
    }

    #[test]
    fn psnr_of_a_known_error() {
        let black = RgbImage::from_pixel(2, 2, image::Rgb([0; 3]));
        let grey = RgbImage::from_pixel(2, 2, image::Rgb([1; 3]));
        assert!((psnr(&black, &grey) - 48.130_803_6).abs() < 1e-6);
    }
}
