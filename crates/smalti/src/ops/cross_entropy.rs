//! Cross-entropy of logits against codes.

use super::{cpu::LossOps, on_cpu};
use burn::backend::Dispatch;
use burn::tensor::{Int, Tensor, activation::log_softmax};

/// Minus the log-probability, in nats, that each row of `logits` `[n, vocabulary]` gives to its target `[n]`: `[n]`.
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    if !on_cpu(&logits) {
        return composed(logits, targets);
    }
    Tensor::from_dispatch(Dispatch::smalti_cross_entropy(
        logits.into_dispatch(),
        targets.into_dispatch(),
    ))
}

pub(super) fn composed(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    let rows = targets.dims()[0];
    log_softmax(logits, 1)
        .gather(1, targets.reshape([rows, 1]))
        .reshape([rows])
        .neg()
}
