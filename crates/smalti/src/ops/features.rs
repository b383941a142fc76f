//! What the perceptual loss needs besides convolutions.

use super::{cpu::FeatureOps, on_cpu};
use burn::backend::Dispatch;
use burn::tensor::{DType, Tensor, module::max_pool2d, ops::MaxPoolOptions};

/// Max pooling without padding, `[b, h, w, c]`; used by the perceptual networks.
pub fn max_pool(input: Tensor<4>, size: usize, stride: usize) -> Tensor<4> {
    if !on_cpu(&input) {
        return composed_max_pool(input, size, stride);
    }
    Tensor::from_dispatch(Dispatch::smalti_max_pool(
        input.into_dispatch(),
        size,
        stride,
    ))
}

pub(super) fn composed_max_pool(input: Tensor<4>, size: usize, stride: usize) -> Tensor<4> {
    let options = MaxPoolOptions::new([size, size]).with_stride([stride, stride]);
    max_pool2d(input.permute([0, 3, 1, 2]), options).permute([0, 2, 3, 1])
}

/// LPIPS of one layer: how far apart features `[b, h, w, c]` are, each vector divided by its length, squares of
/// differences weighted by `weights` (`[c]`), averaged over positions: `[b]`, f32. The epsilon stands inside the root,
/// where the authors have it outside, so that the gradient of a zero vector is finite.
pub fn feature_distance(left: Tensor<4>, right: Tensor<4>, weights: Tensor<1>) -> Tensor<1> {
    if !on_cpu(&left) {
        return composed_feature_distance(left, right, weights);
    }
    Tensor::from_dispatch(Dispatch::smalti_feature_distance(
        left.into_dispatch(),
        right.into_dispatch(),
        weights.into_dispatch(),
    ))
}

pub(super) fn composed_feature_distance(
    left: Tensor<4>,
    right: Tensor<4>,
    weights: Tensor<1>,
) -> Tensor<1> {
    let [batch, height, width, channels] = left.dims();
    let unit = |features: Tensor<4>| {
        let features = features.cast(DType::F32);
        let length = (features.clone().square().sum_dim(3) + 1e-20).sqrt();
        features / length
    };
    let difference = (unit(left) - unit(right)).square();
    let weighted = difference * weights.reshape([1, 1, 1, channels]);
    let sums = weighted
        .reshape([batch, height * width * channels])
        .sum_dim(1);
    (sums / (height * width) as f32).reshape([batch])
}
