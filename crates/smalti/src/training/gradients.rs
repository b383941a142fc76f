//! The length of a gradient over all parameters of a module: what clipping and the guard against overflow look at.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

/// The L2 norm of all gradients of `module` together, as PyTorch's `clip_grad_norm_` takes it.
pub fn gradient_norm<M: Module>(module: &M, gradients: &GradientsParams) -> f32 {
    let mut visitor = Squares {
        gradients,
        sum: 0.0,
    };
    module.visit(&mut visitor);
    visitor.sum.sqrt() as f32
}

/// By what gradients of this norm are multiplied so that they are no longer than `limit`; 0 sets no limit.
pub fn clip_scale(norm: f32, limit: f32) -> f32 {
    if limit > 0.0 && norm > limit {
        limit / norm
    } else {
        1.0
    }
}

struct Squares<'a> {
    gradients: &'a GradientsParams,
    sum: f64,
}

impl ModuleVisitor for Squares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            let squares: f32 = gradient.square().sum().into_scalar();
            self.sum += f64::from(squares);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::initializer::Initializer;
    use crate::layers::Linear;
    use crate::ops::Precision;
    use burn::tensor::Device;

    #[test]
    fn the_norm_is_that_of_all_gradients_together() {
        let device = Device::flex().autodiff();
        let layer = Linear::new(&mut Initializer::seeded(&device, 1), [3, 2], true);
        let input = Tensor::<3>::from_floats([[[1.0, 2.0, -2.0]]], &device);
        let loss = layer.forward(input, Precision::F32).sum();
        let gradients = GradientsParams::from_grads(loss.backward(), &layer);
        // Both rows of the weight get the input (length 3), both biases 1: √(9 + 9 + 1 + 1).
        let norm = gradient_norm(&layer, &gradients);
        assert!((norm - 20f32.sqrt()).abs() < 1e-5, "{norm}");
        assert_eq!(clip_scale(norm, 0.0), 1.0);
        assert_eq!(clip_scale(norm, 10.0), 1.0);
        assert!((clip_scale(norm, 1.0) * norm - 1.0).abs() < 1e-6);
    }
}
