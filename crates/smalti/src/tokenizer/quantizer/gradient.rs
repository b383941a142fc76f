//! How the decoder's gradient gets past the choice of a code, which has no derivative of its own.

use crate::ops;
use burn::tensor::{Int, Tensor};
use serde::{Deserialize, Serialize};

/// The estimator of the encoder's gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CodeGradient {
    /// The vector gets the code's gradient unchanged (paper, section 3.1).
    StraightThrough,
    /// The gradient is turned and scaled as the vector would have to be to become the code, so that its angle to the
    /// code stays the angle to the vector (Fifty et al., "Restructuring Vector Quantization with the Rotation Trick").
    Rotation,
}

impl CodeGradient {
    /// `chosen` in the forward pass, `[b, h, w, d]`; in the backward pass what leads to `vectors`.
    pub(super) fn pass(self, vectors: Tensor<4>, chosen: Tensor<4>) -> Tensor<4> {
        match self {
            Self::StraightThrough => vectors.clone() + (chosen - vectors).detach(),
            Self::Rotation => rotate(vectors, chosen.detach()),
        }
    }
}

/// The rows of `table` `[k, d]` that `codes` `[n]` name, `[n, d]`. In the backward pass the choice is as soft as
/// `probabilities` `[n, k]`: straight-through for quantisers that choose by them, (one-hot − sg[p] + p) · table.
pub(super) fn hard_choice(
    probabilities: Tensor<2>,
    codes: Tensor<1, Int>,
    table: Tensor<2>,
) -> Tensor<2> {
    let ([count], [_, width]) = (codes.dims(), table.dims());
    let chosen = ops::embedding(table.clone(), codes.reshape([1, count])).reshape([count, width]);
    // Exactly 0, so that the value is the row itself.
    let softness = probabilities.clone() - probabilities.detach();
    chosen + softness.matmul(table.without_autodiff())
}

/// λ·R·z with λ = |q| / |z| and R = I − 2rrᵀ + 2q̂ẑᵀ, r the unit vector halfway between ẑ and q̂; λ and R are constants of
/// the backward pass. R turns ẑ to q̂, so the value is q itself.
fn rotate(vectors: Tensor<4>, chosen: Tensor<4>) -> Tensor<4> {
    let constant = vectors.clone().detach();
    let length = |tensor: &Tensor<4>| tensor.clone().square().sum_dim(3).clamp_min(1e-12).sqrt();
    let (vector_length, code_length) = (length(&constant), length(&chosen));
    let direction = constant / vector_length.clone();
    let target = chosen.clone() / code_length.clone();
    let between = direction.clone() + target.clone();
    let between = between.clone() / length(&between);
    let along = |axis: Tensor<4>| (vectors.clone() * axis).sum_dim(3);
    let turned =
        vectors.clone() - along(between.clone()) * between * 2.0 + along(direction) * target * 2.0;
    let scaled = turned * (code_length / vector_length);
    // Rounding must not decide what the decoder sees.
    scaled.clone() + (chosen - scaled).detach()
}
