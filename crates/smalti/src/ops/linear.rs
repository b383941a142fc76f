//! Linear layers and embeddings, weights in checkpoint layout.

use burn::tensor::{Int, Tensor, module};

/// `input · weightᵀ + bias`: `input` `[b, t, in]`, `weight` `[out, in]`, `bias` `[out]`, to `[b, t, out]`.
pub fn linear(input: Tensor<3>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<3> {
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
