//! Single pictures of any size through a tokenizer, at once or in tiles. Sides that are no multiple of f are continued
//! by reflection, and the surplus is cut off again.

use super::tiled::{self, Area, Plan};
use crate::checkpoint::host_codes;
use crate::data::{bytes_to_floats, to_image};
use crate::model::Model;
use burn::tensor::{Int, Shape, Tensor, TensorData};
use image::RgbImage;
use image::imageops::replace;

/// The codes of a picture in reading order, with the rows and columns of its grid.
pub fn encode(model: &Model, picture: &RgbImage) -> (Vec<i64>, [usize; 2]) {
    let plan = Plan::at_once(model, sides(picture));
    encode_planned(model, picture, &plan, &mut || ())
}

/// [`encode`] in tiles, if the encoder's `plan` for this size of picture says so. `progress` is called
/// [`Plan::steps`] times.
pub fn encode_planned(
    model: &Model,
    picture: &RgbImage,
    plan: &Plan,
    progress: &mut dyn FnMut(),
) -> (Vec<i64>, [usize; 2]) {
    let vectors = vectors(model, picture, plan, progress);
    let codes = model.tokenizer.quantize.forward(vectors).codes;
    let [_, rows, columns] = codes.dims();
    (host_codes(codes), [rows, columns])
}

/// A picture through encoder, quantiser and decoder, same size.
pub fn reconstruct(model: &Model, picture: &RgbImage) -> RgbImage {
    let plan = Plan::at_once(model, sides(picture));
    reconstruct_planned(model, picture, &[plan.clone(), plan], &mut || ())
}

/// [`reconstruct`] in tiles, if the plans of encoder and decoder for this size of picture say so. `progress` is called
/// as often as both have [`Plan::steps`].
pub fn reconstruct_planned(
    model: &Model,
    picture: &RgbImage,
    [encoder, decoder]: &[Plan; 2],
    progress: &mut dyn FnMut(),
) -> RgbImage {
    let vectors = vectors(model, picture, encoder, progress);
    let latent = model.tokenizer.quantize.forward(vectors).latent;
    let canvas = RgbImage::new(picture.width(), picture.height());
    paint(model, latent, decoder, canvas, progress)
}

/// The picture of the codes of a grid of `rows` and `columns`, in tiles if the decoder's plan for a picture of f times
/// that size says so. `progress` is called [`Plan::steps`] times.
pub fn decode_planned(
    model: &Model,
    codes: &[i64],
    [rows, columns]: [usize; 2],
    plan: &Plan,
    progress: &mut dyn FnMut(),
) -> RgbImage {
    let data = TensorData::new(codes.to_vec(), Shape::from([1, rows, columns]));
    let codes = Tensor::<3, Int>::from_data(data, &model.device());
    let latent = model.tokenizer.quantize.lookup(codes);
    let [_, rows, columns, _] = latent.dims();
    let factor = model.tokenizer_config.factor();
    let canvas = RgbImage::new((columns * factor) as u32, (rows * factor) as u32);
    paint(model, latent, plan, canvas, progress)
}

/// The vectors before quantisation, `[1, rows, columns, embed_dim]`.
fn vectors(
    model: &Model,
    picture: &RgbImage,
    plan: &Plan,
    progress: &mut dyn FnMut(),
) -> Tensor<4> {
    let device = model.device();
    let pixels = |area: &Area| -> Tensor<4> {
        let [rows, columns] = area.size();
        let floats = bytes_to_floats(reflected(picture, area).as_raw());
        let shape = Shape::from([1, rows, columns, 3]);
        Tensor::from_data(TensorData::new(floats, shape), &device)
    };
    let hidden = tiled::encode(&model.tokenizer, plan, &pixels, progress);
    model.tokenizer.vectors_of(hidden)
}

/// Decodes `latent` onto `canvas`; what lies outside of it is cut off.
fn paint(
    model: &Model,
    latent: Tensor<4>,
    plan: &Plan,
    mut canvas: RgbImage,
    progress: &mut dyn FnMut(),
) -> RgbImage {
    let mut put = |area: &Area, pixels: &[f32]| {
        let [height, width] = area.size();
        let part = to_image(pixels, height, width);
        let [left, top] = [area.columns.start, area.rows.start].map(|place| place as i64);
        replace(&mut canvas, &part, left, top);
    };
    tiled::decode(&model.tokenizer, plan, latent, &mut put, progress);
    canvas
}

/// Height and width.
fn sides(picture: &RgbImage) -> [usize; 2] {
    [picture.height() as usize, picture.width() as usize]
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

/// A part of a picture that is continued to the right and below, mirrored at its edge.
fn reflected(picture: &RgbImage, area: &Area) -> RgbImage {
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
    let [rows, columns] = area.size().map(|side| side as u32);
    let (top, left) = (area.rows.start as u32, area.columns.start as u32);
    RgbImage::from_fn(columns, rows, |x, y| {
        *picture.get_pixel(source(left + x, width), source(top + y, height))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reflection_walks_back_from_the_edge() {
        let picture = RgbImage::from_fn(3, 1, |x, _| image::Rgb([x as u8; 3]));
        let part = |columns: std::ops::Range<usize>| -> Vec<u8> {
            let area = Area {
                rows: 0..1,
                columns,
            };
            let part = reflected(&picture, &area);
            part.pixels().map(|pixel| pixel[0]).collect()
        };
        assert_eq!(part(0..8), [0, 1, 2, 1, 0, 1, 2, 1]);
        assert_eq!(part(3..6), [1, 0, 1]);
    }

    #[test]
    fn psnr_of_a_known_error() {
        let black = RgbImage::from_pixel(2, 2, image::Rgb([0; 3]));
        let grey = RgbImage::from_pixel(2, 2, image::Rgb([1; 3]));
        assert!((psnr(&black, &grey) - 48.130_803_6).abs() < 1e-6);
    }
}
