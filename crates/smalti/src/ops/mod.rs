//! The operations the networks are written in, channels last: pictures are `[batch, height, width, channels]`.
//!
//! Every operation is composed of burn operations, which run on any device and under autodiff, and are the truth the
//! tests compare with. Where it pays, the CPU has a version that calls `smalti-kernels` with a hand-written backward;
//! [`on_cpu`] decides between the two. No network calls burn's convolutions, norms or attention directly.

mod activation;
mod affine;
mod attention;
mod conv2d;
mod cpu;
mod cross_entropy;
mod depthwise;
mod features;
mod group_norm;
mod layer_norm;
mod linear;
mod nearest_code;
mod optimize;
mod precision;
mod resample;
#[cfg(test)]
mod tests;

pub use activation::{elu, gated, gelu, relu, silu};
pub use affine::{Affine, affine};
pub use attention::{Attention, attention, attention_with_dropout};
pub use conv2d::{
    Convolution, Filter, Normalized, Padding, affine_conv2d, conv2d, conv2d_weight_gradient,
    normalized_conv2d, pad, upsampled_conv2d,
};
pub(crate) use cpu::release_panels;
pub use cross_entropy::cross_entropy;
pub use depthwise::depthwise_conv2d;
pub use features::{feature_distance, max_pool};
pub use group_norm::{GroupNormalization, group_norm};
pub use layer_norm::layer_norm;
pub use linear::{embedding, linear};
pub use nearest_code::nearest_code;
pub use optimize::{AdamStep, adam_step};
pub use precision::Precision;
pub use resample::{average_neighbours, average_pool, depth_to_space, upsample_nearest};
pub use smalti_kernels::activation::Activation;

use crate::error::{Error, Result};
use burn::backend::DispatchDevice;
use burn::tensor::{DType, Device, Tensor};

/// Says what is wrong with the instruction set that `SMALTI_ISA` asks for, if it cannot be used.
pub fn check_instruction_set() -> Result<()> {
    smalti_kernels::dispatch::Isa::from_env()
        .map(|_| ())
        .map_err(Error::Input)
}

/// Whether a device is the CPU backend, with autodiff or without.
pub(crate) fn is_cpu(device: &Device) -> bool {
    let device = device.clone().inner();
    matches!(device.as_dispatch(), DispatchDevice::Flex(_))
}

/// Whether the CPU kernels can run on this tensor: it lies on the CPU backend, in f32 or bf16.
fn on_cpu<const D: usize>(tensor: &Tensor<D>) -> bool {
    is_cpu(&tensor.device()) && matches!(tensor.dtype(), DType::F32 | DType::BF16)
}
