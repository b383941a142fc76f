//! Single pictures of any size through a tokenizer, at once or in tiles. Sides that are no multiple of f are continued
//! by reflection, and the surplus is cut off again.

use super::tiled::{self, Area, Plan};
use crate::checkpoint::host_codes;
use crate::data::{KindName, Raster, picture_of, tensor_of};
use crate::model::Model;
use burn::tensor::{Int, Shape, Tensor, TensorData};
use image::imageops::replace;
use image::{ImageBuffer, Pixel, RgbImage};

/// The codes of a picture in reading order, with the rows and columns of its grid.
pub fn encode(model: &Model, picture: &RgbImage) -> (Vec<i64>, [usize; 2]) {
    encode_raster(model, &picture.clone().into())
}

/// [`encode`] of a picture, label map or depth map, whichever the tokenizer is for.
pub fn encode_raster(model: &Model, raster: &Raster) -> (Vec<i64>, [usize; 2]) {
    let plan = Plan::at_once(model, sides(raster));
    encode_planned(model, raster, &plan, &mut || ())
}

/// [`encode_raster`] in tiles, if the encoder's `plan` for this size of picture says so. `progress` is called
/// [`Plan::steps`] times.
pub fn encode_planned(
    model: &Model,
    raster: &Raster,
    plan: &Plan,
    progress: &mut dyn FnMut(),
) -> (Vec<i64>, [usize; 2]) {
    let vectors = vectors(model, raster, plan, progress);
    let codes = model.tokenizer.quantize(vectors).codes;
    let [_, rows, columns] = codes.dims();
    (host_codes(codes), [rows, columns])
}

/// A picture through encoder, quantiser and decoder, same size.
pub fn reconstruct(model: &Model, picture: &RgbImage) -> RgbImage {
    reconstruct_raster(model, &picture.clone().into())
}

/// [`reconstruct`] of a picture, label map or depth map, whichever the tokenizer is for, drawn as [`picture_of`] does.
pub fn reconstruct_raster(model: &Model, raster: &Raster) -> RgbImage {
    let plan = Plan::at_once(model, sides(raster));
    reconstruct_planned(model, raster, &[plan.clone(), plan], &mut || ())
}

/// [`reconstruct_raster`] in tiles, if the plans of encoder and decoder for this size of picture say so. `progress` is
/// called as often as both have [`Plan::steps`].
pub fn reconstruct_planned(
    model: &Model,
    raster: &Raster,
    [encoder, decoder]: &[Plan; 2],
    progress: &mut dyn FnMut(),
) -> RgbImage {
    let vectors = vectors(model, raster, encoder, progress);
    let latent = model.tokenizer.quantize(vectors).latent;
    let (width, height) = raster.dimensions();
    let mut canvas = Canvas {
        picture: RgbImage::new(width, height),
        kind: raster.kind(),
    };
    canvas.paint(model, latent, decoder, progress);
    canvas.picture
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
    let latent = model.tokenizer.lookup(codes);
    let [_, rows, columns, _] = latent.dims();
    let factor = model.tokenizer_config.factor();
    let mut canvas = Canvas {
        picture: RgbImage::new((columns * factor) as u32, (rows * factor) as u32),
        kind: KindName::Pictures,
    };
    canvas.paint(model, latent, plan, progress);
    canvas.picture
}

/// The vectors before quantisation, `[1, rows, columns, embed_dim]`.
fn vectors(model: &Model, raster: &Raster, plan: &Plan, progress: &mut dyn FnMut()) -> Tensor<4> {
    let device = model.device();
    let pixels = |area: &Area| tensor_of(&[part(raster, area)], &device);
    let hidden = tiled::encode(&model.tokenizer, plan, &pixels, progress);
    model.tokenizer.vectors_of(hidden)
}

/// What is decoded, as it is being put together.
struct Canvas {
    picture: RgbImage,
    kind: KindName,
}

impl Canvas {
    /// Decodes `latent`; what lies outside of the picture is cut off.
    fn paint(&mut self, model: &Model, latent: Tensor<4>, plan: &Plan, progress: &mut dyn FnMut()) {
        let mut put = |area: &Area, pixels: &[f32]| {
            let [height, width] = area.size();
            let part = picture_of(pixels, height, width, self.kind);
            let [left, top] = [area.columns.start, area.rows.start].map(|place| place as i64);
            replace(&mut self.picture, &part, left, top);
        };
        tiled::decode(&model.tokenizer, plan, latent, &mut put, progress);
    }
}

/// Height and width.
fn sides(raster: &Raster) -> [usize; 2] {
    let (width, height) = raster.dimensions();
    [height as usize, width as usize]
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
fn part(raster: &Raster, area: &Area) -> Raster {
    match raster {
        Raster::Rgb(image) => Raster::Rgb(reflected(image, area)),
        Raster::Labels { map, classes } => Raster::Labels {
            map: reflected(map, area),
            classes: *classes,
        },
        Raster::Depth(map) => Raster::Depth(reflected(map, area)),
    }
}

fn reflected<P: Pixel>(
    picture: &ImageBuffer<P, Vec<P::Subpixel>>,
    area: &Area,
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
    let [rows, columns] = area.size().map(|side| side as u32);
    let (top, left) = (area.rows.start as u32, area.columns.start as u32);
    ImageBuffer::from_fn(columns, rows, |x, y| {
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
