//! One step of Adam or AdamW on one parameter.

use super::{cpu::OptimizeOps, on_cpu};
use burn::backend::Dispatch;
use burn::tensor::Tensor;

/// The scalars of an Adam step, PyTorch's meaning of each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamStep {
    pub learning_rate: f32,
    pub beta1: f32,
    pub beta2: f32,
    pub epsilon: f32,
    /// Decoupled weight decay (AdamW); 0 for Adam.
    pub weight_decay: f32,
    /// The number of this step, from 1.
    pub step: u64,
}

impl AdamStep {
    pub(super) fn bias_correction1(&self) -> f32 {
        (1.0 - f64::from(self.beta1).powf(self.step as f64)) as f32
    }

    pub(super) fn bias_correction2(&self) -> f32 {
        (1.0 - f64::from(self.beta2).powf(self.step as f64)) as f32
    }
}

/// Moves `parameter` against `gradient` and returns it with its new first and second moment. Tensors without autodiff.
pub fn adam_step(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    moments: (Tensor<1>, Tensor<1>),
    step: AdamStep,
) -> (Tensor<1>, Tensor<1>, Tensor<1>) {
    if !on_cpu(&parameter) {
        return composed(parameter, gradient, moments, step);
    }
    let (parameter, first, second) = Dispatch::smalti_adam_step(
        parameter.into_dispatch(),
        gradient.into_dispatch(),
        moments.0.into_dispatch(),
        moments.1.into_dispatch(),
        step,
    );
    (
        Tensor::from_dispatch(parameter),
        Tensor::from_dispatch(first),
        Tensor::from_dispatch(second),
    )
}

pub(super) fn composed(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    (first, second): (Tensor<1>, Tensor<1>),
    step: AdamStep,
) -> (Tensor<1>, Tensor<1>, Tensor<1>) {
    let first = first * step.beta1 + gradient.clone() * (1.0 - step.beta1);
    let second = second * step.beta2 + gradient.square() * (1.0 - step.beta2);
    let denominator = second.clone().sqrt() / step.bias_correction2().sqrt() + step.epsilon;
    let decayed = parameter * (1.0 - step.learning_rate * step.weight_decay);
    let rate = step.learning_rate / step.bias_correction1();
    (decayed - first.clone() / denominator * rate, first, second)
}
