//! Nearest upsampling.

use burn::tensor::Tensor;

/// Doubles height and width by repeating every pixel. `[b, h, w, c]` to `[b, 2h, 2w, c]`.
pub fn upsample_nearest(input: Tensor<4>) -> Tensor<4> {
    let [batch, height, width, channels] = input.dims();
    input
        .reshape([batch * height, 1, width, 1, channels])
        .expand([batch * height, 2, width, 2, channels])
        .reshape([batch, 2 * height, 2 * width, channels])
}
