//! The search of the nearest codebook entry.

use super::{cpu::LossOps, on_cpu};
use burn::backend::Dispatch;
use burn::tensor::{Int, Tensor};

/// The index of the entry of `codebook` `[k, d]` nearest to each of `vectors` `[n, d]`; the first one of equals. Not
/// differentiable. Distances are `|z|² + |e|² − 2 z·e` in f32, in the authors' order of operations
/// (taming/modules/vqvae/quantize.py, `VectorQuantizer2`).
pub fn nearest_code(vectors: Tensor<2>, codebook: Tensor<2>) -> Tensor<1, Int> {
    let (vectors, codebook) = (vectors.without_autodiff(), codebook.without_autodiff());
    if !on_cpu(&vectors) {
        return composed(vectors, codebook);
    }
    Tensor::from_dispatch(Dispatch::smalti_nearest_code(
        vectors.into_dispatch(),
        codebook.into_dispatch(),
    ))
}

pub(super) fn composed(vectors: Tensor<2>, codebook: Tensor<2>) -> Tensor<1, Int> {
    let count = vectors.dims()[0];
    let entries = codebook.dims()[0];
    let vector_norms = vectors.clone().square().sum_dim(1);
    let entry_norms = codebook.clone().square().sum_dim(1).reshape([1, entries]);
    let products = vectors.matmul(codebook.transpose());
    (vector_norms + entry_norms - products * 2.0)
        .argmin(1)
        .reshape([count])
}
