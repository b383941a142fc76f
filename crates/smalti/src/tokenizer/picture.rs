//! Single pictures of any size through a tokenizer. Sides that are no multiple of f are continued by reflection, and the
//! surplus is cut off again.

use crate::checkpoint::{host_codes, host_values};
use crate::data::{bytes_to_floats, to_image};
use crate::model::Model;
use burn::tensor::{Shape, Tensor, TensorData};
use image::RgbImage;
use image::imageops::crop_imm;

/// The codes of a picture in reading order, with the rows and columns of its grid.
pub fn encode(model: &Model, picture: &RgbImage) -> (Vec<i64>, [usize; 2]) {
    let padded = reflect(picture, model.tokenizer_config.factor() as u32);
    let codes = model.tokenizer.encode(pixels(model, &padded)).codes;
    let [_, rows, columns] = codes.dims();
    (host_codes(codes), [rows, columns])
}

/// A picture through encoder, quantiser and decoder, same size.
pub fn reconstruct(model: &Model, picture: &RgbImage) -> RgbImage {
    let padded = reflect(picture, model.tokenizer_config.factor() as u32);
    let latent = model.tokenizer.encode(pixels(model, &padded)).latent;
    let output = host_values(model.tokenizer.decode(latent));
    let output = to_image(&output, padded.height() as usize, padded.width() as usize);
    crop_imm(&output, 0, 0, picture.width(), picture.height()).to_image()
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

fn pixels(model: &Model, picture: &RgbImage) -> Tensor<4> {
    let device = model.device();
    let shape = Shape::from([1, picture.height() as usize, picture.width() as usize, 3]);
    Tensor::from_data(
        TensorData::new(bytes_to_floats(picture.as_raw()), shape),
        &device,
    )
}

/// Continues a picture to the right and below, mirrored at its edge, until both sides are multiples of `multiple`.
fn reflect(picture: &RgbImage, multiple: u32) -> RgbImage {
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
    RgbImage::from_fn(
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
