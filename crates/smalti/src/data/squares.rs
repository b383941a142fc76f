//! Square pictures as bytes, as images, and as tensors.

use super::bytes_to_floats;
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
