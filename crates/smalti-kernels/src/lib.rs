//! Processor kernels of the networks: plain functions on `f32` slices.
//!
//! Images are channels-last (`[batch, height, width, channels]`), convolution weights keep the
//! order of published checkpoints (`[out, in, height, width]`), and attention tensors are
//! `[batch, tokens, heads, head_dim]` so that the output of a linear layer needs no transpose.
//!
//! Every operation has its own module with a fast version and, in its submodule `reference`, a
//! slow and obvious one computed in `f64`, which the tests take as the truth. Fast versions use all
//! threads of the current rayon pool; for a given number of threads their results are the same bit
//! for bit on every run. Slices of the wrong length panic: they are mistakes of the caller.
//!
//! Products of matrices go through [`matmul`]; other hot loops are compiled once per instruction
//! set and chosen at run time, see [`dispatch`].

pub mod activation;
pub mod adam;
mod amx;
pub mod attention;
pub mod ceiling;
pub mod conv2d;
pub mod cross_entropy;
pub mod decoding;
pub mod depthwise;
pub mod dispatch;
pub mod element;
pub mod feature_distance;
pub mod gelu;
pub mod group_norm;
pub mod layer_norm;
pub mod linear;
pub mod math;
pub mod matmul;
pub mod max_pool;
mod microkernel;
pub mod nearest_code;
mod prefetch;
mod reduce;
mod scratch;
mod split;
#[cfg(test)]
mod testing;
mod transpose;

/// Number of threads the kernels share their work between.
pub fn threads() -> usize {
    rayon::current_num_threads()
}
