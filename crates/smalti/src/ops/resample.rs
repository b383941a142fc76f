//! Other resolutions without parameters: repeated pixels, averaged pixels, and pixels out of channels.

use burn::tensor::Tensor;

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
    use burn::tensor::{Device, Shape, TensorData};

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
    fn quarters_of_the_channels_become_neighbours() {
        let spread = depth_to_space(counting([1, 1, 2, 8]));
        assert_eq!(spread.dims(), [1, 2, 4, 2]);
        let upper = [0, 1, 2, 3, 8, 9, 10, 11];
        let lower = [4, 5, 6, 7, 12, 13, 14, 15];
        let expected: Vec<f32> = upper.iter().chain(&lower).map(|&v| v as f32).collect();
        assert_eq!(host_values(spread), expected);
    }
}
