//! The low-pass filter before a halving: without it, a picture moved by a pixel would look different afterwards (Zhang,
//! "Making convolutional networks shift-invariant again", 2019; StyleGAN2 has the taps 1, 3, 3, 1).

use burn::tensor::{Tensor, ops::PadMode};

/// Surrounds feature maps `[b, h, w, c]` with `padding` zeros and averages each 4×4 square with weights
/// (1, 3, 3, 1) / 8 per direction: `[b, h + 2 · padding − 3, w + 2 · padding − 3, c]`.
pub fn blur(maps: Tensor<4>, padding: usize) -> Tensor<4> {
    let sides = (padding, padding);
    let padded = maps.pad([sides, sides, (0, 0)], PadMode::Constant(0.0));
    along(along(padded, 1), 2)
}

fn along(maps: Tensor<4>, axis: usize) -> Tensor<4> {
    let length = maps.dims()[axis] - 3;
    let tap = |first: usize| maps.clone().slice_dim(axis, first..first + length);
    (tap(0) + tap(3)) * 0.125 + (tap(1) + tap(2)) * 0.375
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::host_values;
    use burn::tensor::Device;

    #[test]
    fn a_single_pixel_becomes_the_filter() {
        let mut values = [0.0f32; 25];
        values[12] = 64.0;
        let pixels = Tensor::<1>::from_floats(values.as_slice(), &Device::flex());
        let blurred = blur(pixels.reshape([1, 5, 5, 1]), 1);
        assert_eq!(blurred.dims(), [1, 4, 4, 1]);
        let taps = [1.0f32, 3.0, 3.0, 1.0];
        let filter: Vec<f32> = taps
            .iter()
            .flat_map(|row| taps.iter().map(move |column| row * column))
            .collect();
        assert_eq!(host_values(blurred), filter);
    }

    #[test]
    fn an_even_picture_stays_even_inside() {
        let pixels = Tensor::<4>::ones([1, 6, 6, 2], &Device::flex());
        let blurred = blur(pixels, 2);
        assert_eq!(blurred.dims(), [1, 7, 7, 2]);
        let inside = blurred.slice([0..1, 2..5, 2..5, 0..2]);
        assert!(host_values(inside).iter().all(|&value| value == 1.0));
    }
}
