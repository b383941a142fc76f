//! The CPU versions against the composed ones: same values, same gradients. Composed operations are burn's own, so their
//! gradients are the truth here; the kernels' own tests check both against difference quotients.

mod bf16;
mod convolutions;
mod layers;
mod training;

use super::*;
use crate::checkpoint::host_values;
use crate::initializer::Initializer;
use burn::tensor::Device;

fn device() -> Device {
    Device::flex().autodiff()
}

fn random<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    // Not from the device's own generator, which tests that run at the same time share.
    let values = Initializer::seeded(&device(), seed).normal(shape, 1.0);
    values.val().detach()
}

#[track_caller]
fn assert_near<const D: usize>(what: &str, ours: Tensor<D>, truth: Tensor<D>) {
    assert_eq!(ours.dims(), truth.dims(), "{what}");
    let (ours, truth) = (host_values(ours), host_values(truth));
    let largest = truth
        .iter()
        .fold(1.0f32, |largest, value| largest.max(value.abs()));
    for (index, (ours, truth)) in ours.iter().zip(&truth).enumerate() {
        let error = (ours - truth).abs();
        assert!(
            error <= 2e-5 * largest,
            "{what}[{index}]: {ours} instead of {truth}"
        );
    }
}

/// Compares two versions of an operation of three tensors: outputs, and gradients of a random weighing of the outputs.
fn compare<const A: usize, const B: usize, const C: usize, const O: usize>(
    inputs: (Tensor<A>, Tensor<B>, Tensor<C>),
    ours: impl Fn(Tensor<A>, Tensor<B>, Tensor<C>) -> Tensor<O>,
    truth: impl Fn(Tensor<A>, Tensor<B>, Tensor<C>) -> Tensor<O>,
) {
    let run = |operation: &dyn Fn(Tensor<A>, Tensor<B>, Tensor<C>) -> Tensor<O>| {
        let leaves = (
            inputs.0.clone().detach().require_grad(),
            inputs.1.clone().detach().require_grad(),
            inputs.2.clone().detach().require_grad(),
        );
        let output = operation(leaves.0.clone(), leaves.1.clone(), leaves.2.clone());
        let weights = random(output.dims(), 99);
        let gradients = (output.clone() * weights).sum().backward();
        (
            output,
            leaves.0.grad(&gradients).unwrap(),
            leaves.1.grad(&gradients).unwrap(),
            leaves.2.grad(&gradients).unwrap(),
        )
    };
    let (ours, truth) = (run(&ours), run(&truth));
    assert_near("output", ours.0, truth.0);
    assert_near("gradient of the first", ours.1, truth.1);
    assert_near("gradient of the second", ours.2, truth.2);
    assert_near("gradient of the third", ours.3, truth.3);
}

fn filter(weight: Tensor<4>, bias: Tensor<1>) -> Filter {
    Filter {
        weight,
        bias: Some(bias),
    }
}

/// Root of the mean square of the difference, relative to that of the truth.
fn relative_difference<const D: usize>(ours: Tensor<D>, truth: Tensor<D>) -> f32 {
    let (ours, truth) = (host_values(Precision::F32.of(ours)), host_values(truth));
    let differences = ours
        .iter()
        .zip(&truth)
        .map(|(ours, truth)| (ours - truth).powi(2));
    let squares = truth.iter().map(|truth| truth.powi(2));
    (differences.sum::<f32>() / squares.sum::<f32>()).sqrt()
}
