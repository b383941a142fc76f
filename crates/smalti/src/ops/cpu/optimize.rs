//! One step of Adam on one parameter.

use super::super::optimize::AdamStep;
use super::values::Values;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn_flex::FlexTensor;
use smalti_kernels::adam;

#[backend_extension(Flex, Autodiff)]
pub trait OptimizeOps: Backend {
    /// The moved parameter and its two moments.
    fn smalti_adam_step(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first_moment: FloatTensor<Self>,
        second_moment: FloatTensor<Self>,
        step: AdamStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

impl OptimizeOps for Flex {
    fn smalti_adam_step(
        mut parameter: FlexTensor,
        gradient: FlexTensor,
        mut first_moment: FlexTensor,
        mut second_moment: FlexTensor,
        step: AdamStep,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        // In place, unless somebody else holds one of them too.
        let scalars = adam::AdamStep {
            learning_rate: f64::from(step.learning_rate),
            beta1: f64::from(step.beta1),
            beta2: f64::from(step.beta2),
            epsilon: f64::from(step.epsilon),
            weight_decay: f64::from(step.weight_decay),
            bias_correction1: f64::from(step.bias_correction1()),
            bias_correction2: f64::from(step.bias_correction2()),
        };
        let gradient = Values::of(&gradient);
        adam::step(
            &scalars,
            parameter.storage_mut(),
            gradient.slice(),
            first_moment.storage_mut(),
            second_moment.storage_mut(),
        );
        (parameter, first_moment, second_moment)
    }
}

impl<B: OptimizeOps, C: CheckpointStrategy> OptimizeOps for Autodiff<B, C> {
    fn smalti_adam_step(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: AdamStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("optimisers move tensors without autodiff")
    }
}
