//! Linear layers and embeddings, weights in checkpoint layout.

use super::{Precision, cpu::LinearOps, on_cpu};
use burn::backend::Dispatch;
use burn::tensor::{Int, Tensor, module};

/// `input · weightᵀ + bias`: `input` `[b, t, in]`, `weight` `[out, in]`, `bias` `[out]`, to `[b, t, out]`, all f32; the
/// products are of numbers in `precision`.
pub fn linear(
    input: Tensor<3>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    precision: Precision,
) -> Tensor<3> {
    if !on_cpu(&input) {
        return composed(input, weight, bias);
    }
    let bias = bias.unwrap_or_else(|| super::conv2d::placeholder(&input));
    Tensor::from_dispatch(Dispatch::smalti_linear(
        input.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        precision,
    ))
}

pub(super) fn composed(input: Tensor<3>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<3> {
    let [batch, tokens, inputs] = input.dims();
    let outputs = weight.dims()[0];
    let product = input
        .reshape([batch * tokens, inputs])
        .matmul(weight.transpose());
    let output = match bias {
        Some(bias) => product + bias.reshape([1, outputs]),
        None => product,
    };
    output.reshape([batch, tokens, outputs])
}

/// The rows of `table` `[k, c]` that `indices` `[b, t]` name, `[b, t, c]`.
pub fn embedding(table: Tensor<2>, indices: Tensor<2, Int>) -> Tensor<3> {
    module::embedding(table, indices)
}
