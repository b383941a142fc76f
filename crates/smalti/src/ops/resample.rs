//! Changes of resolution that have no weights: nearest upsampling and max pooling.

use burn::tensor::{Tensor, module::max_pool2d, ops::MaxPoolOptions};

/// Doubles height and width by repeating every pixel. `[b, h, w, c]` to `[b, 2h, 2w, c]`.
pub fn upsample_nearest(input: Tensor<4>) -> Tensor<4> {
    let [batch, height, width, channels] = input.dims();
    input
        .reshape([batch * height, 1, width, 1, channels])
        .expand([batch * height, 2, width, 2, channels])
        .reshape([batch, 2 * height, 2 * width, channels])
}

/// Max pooling without padding, `[b, h, w, c]`; used by the perceptual networks.
pub fn max_pool(input: Tensor<4>, size: usize, stride: usize) -> Tensor<4> {
    let options = MaxPoolOptions::new([size, size]).with_stride([stride, stride]);
    max_pool2d(input.permute([0, 3, 1, 2]), options).permute([0, 2, 3, 1])
}
