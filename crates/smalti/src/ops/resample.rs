//! Other resolutions without parameters: repeated pixels, averaged pixels, and pixels out of channels.

use super::{Activation, Convolution, Filter, depthwise_conv2d};
use burn::tensor::{Shape, Tensor, TensorData};

/// Doubles height and width by repeating every pixel. `[b, h, w, c]` to `[b, 2h, 2w, c]`.
pub fn upsample_nearest(input: Tensor<4>) -> Tensor<4> {
    let [batch, height, width, channels] = input.dims();
    input
        .reshape([batch * height, 1, width, 1, channels])
        .expand([batch * height, 2, width, 2, channels])
        .reshape([batch, 2 * height, 2 * width, channels])
}

/// Halves height and width by the mean of every 2×2 pixels; an odd last row or column is left out. `[b, h, w, c]` to
/// `[b, ⌊h/2⌋, ⌊w/2⌋, c]`.
pub fn average_pool(input: Tensor<4>) -> Tensor<4> {
    let [batch, height, width, channels] = input.dims();
    let (rows, columns) = (height / 2, width / 2);
    let even = if (height, width) == (2 * rows, 2 * columns) {
        input
    } else {
        input.slice([0..batch, 0..2 * rows, 0..2 * columns, 0..channels])
    };
    even.reshape([batch * rows, 2, columns, 2, channels])
        .mean_dim(1)
        .mean_dim(3)
        .reshape([batch, rows, columns, channels])
}

/// The mean of the 3×3 pixels around every pixel, `[b, h, w, c]` to the same. Pixels beyond the border are zero if
/// `counted` (PyTorch's average pooling), and left out of the mean if not (TensorFlow's).
pub fn average_neighbours(input: Tensor<4>, counted: bool) -> Tensor<4> {
    let [_, height, width, channels] = input.dims();
    let (device, dtype) = (input.device(), input.dtype());
    let ones = Filter {
        weight: Tensor::ones([channels, 1, 3, 3], &device),
        bias: None,
    };
    let sums = depthwise_conv2d(input, ones, Convolution::padded(1), Activation::None);
    if counted {
        return sums / 9.0;
    }
    let inside = |place: usize, extent: usize| (place + 2).min(extent) - place.saturating_sub(1);
    let shares: Vec<f32> = (0..height * width)
        .map(|pixel| inside(pixel / width, height) * inside(pixel % width, width))
        .map(|pixels| 1.0 / pixels as f32)
        .collect();
    let shares = TensorData::new(shares, Shape::from([1, height, width, 1]));
    sums * Tensor::<4>::from_data(shares, &device).cast(dtype)
}

/// Doubles height and width by giving each pixel's channels to 2×2 pixels: the first quarter to the upper left one, the
/// second to the upper right one. `[b, h, w, 4c]` to `[b, 2h, 2w, c]`.
pub fn depth_to_space(input: Tensor<4>) -> Tensor<4> {
    let [batch, height, width, channels] = input.dims();
    let channels = channels / 4;
    input
        .reshape([batch * height, width, 2, 2, channels])
        .permute([0, 2, 1, 3, 4])
        .reshape([batch, 2 * height, 2 * width, channels])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::host_values;
    use burn::tensor::Device;

    fn counting<const D: usize>(shape: [usize; D]) -> Tensor<D> {
        let count = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|value| value as f32).collect();
        Tensor::from_data(TensorData::new(values, Shape::from(shape)), &Device::flex())
    }

    #[test]
    fn pools_are_means_of_four_pixels() {
        // Rows of three pixels of two channels; the last row and column are odd ones out.
        let pooled = average_pool(counting([1, 3, 3, 2]));
        assert_eq!(pooled.dims(), [1, 1, 1, 2]);
        assert_eq!(host_values(pooled), [4.0, 5.0]);
        let pooled = average_pool(counting([2, 2, 4, 1]));
        assert_eq!(host_values(pooled), [2.5, 4.5, 10.5, 12.5]);
    }

    #[test]
    fn neighbours_beyond_the_border_count_or_do_not() {
        let picture = || counting([1, 2, 3, 1]);
        let left_out = host_values(average_neighbours(picture(), false));
        assert_eq!(left_out, [2.0, 2.5, 3.0, 2.0, 2.5, 3.0]);
        let counted = host_values(average_neighbours(picture(), true));
        let sums = [8.0, 15.0, 12.0, 8.0, 15.0, 12.0];
        for (mean, sum) in counted.into_iter().zip(sums) {
            assert!((mean - sum / 9.0_f32).abs() < 1e-6, "{mean}");
        }
        let alone = counting([2, 1, 1, 2]) + 1.0;
        let means = host_values(average_neighbours(alone.clone(), false));
        assert_eq!(means, host_values(alone));
    }

    #[test]
    fn quarters_of_the_channels_become_neighbours() {
        let spread = depth_to_space(counting([1, 1, 2, 8]));
        assert_eq!(spread.dims(), [1, 2, 4, 2]);
        let upper = [0, 1, 2, 3, 8, 9, 10, 11];
        let lower = [4, 5, 6, 7, 12, 13, 14, 15];
        let expected: Vec<f32> = upper.iter().chain(&lower).map(|&v| v as f32).collect();
        assert_eq!(host_values(spread), expected);
    }
}
