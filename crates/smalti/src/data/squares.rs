//! Square pictures as bytes, as images, and as tensors.

use super::bytes_to_floats;
use super::raster::Raster;
use burn::tensor::{Device, Shape, Tensor, TensorData};
use image::RgbImage;

/// Pictures of `size` × `size` × 3 bytes as a tensor `[n, size, size, 3]` in [-1, 1].
pub fn squares(pictures: &[Vec<u8>], size: usize, device: &Device) -> Tensor<4> {
    let values: Vec<f32> = pictures
        .iter()
        .flat_map(|picture| bytes_to_floats(picture))
        .collect();
    let shape = Shape::from([pictures.len(), size, size, 3]);
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Files of one kind and one size as a tensor `[n, height, width, channels]`, as [`Raster::extend_floats`] says.
///
/// # Panics
/// When they are not of one kind and size.
pub fn tensor_of(rasters: &[Raster], device: &Device) -> Tensor<4> {
    let (width, height) = rasters.first().map_or((0, 0), Raster::dimensions);
    let channels = rasters.first().map_or(3, Raster::channels);
    let shape = [rasters.len(), height as usize, width as usize, channels];
    let mut values = Vec::with_capacity(shape.iter().product());
    for raster in rasters {
        raster.extend_floats(&mut values);
    }
    Tensor::from_data(TensorData::new(values, Shape::from(shape)), device)
}

/// A picture of `size` × `size` × 3 bytes as an image.
///
/// # Panics
/// When there are more or fewer bytes.
pub fn square(picture: &[u8], size: usize) -> RgbImage {
    RgbImage::from_raw(size as u32, size as u32, picture.to_vec())
        .expect("a square picture of this size")
}

/// The same picture seen in a mirror.
pub fn mirrored(picture: &[u8], size: usize) -> Vec<u8> {
    let rows = picture.chunks(size * 3);
    rows.flat_map(|row| row.chunks(3).rev().flatten())
        .copied()
        .collect()
}
