//! Gradients by the names of their parameters, for tests to compare.

use crate::checkpoint::{HostTensor, ParameterPath, TensorMap, host_values};
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

/// Gradients as tensors, by the path of their parameter.
pub fn named_gradients<M: Module>(module: &M, gradients: &GradientsParams) -> TensorMap {
    let mut visitor = Named {
        path: ParameterPath::default(),
        gradients,
        found: TensorMap::new(),
    };
    module.visit(&mut visitor);
    visitor.found
}

struct Named<'a> {
    path: ParameterPath,
    gradients: &'a GradientsParams,
    found: TensorMap,
}

impl ModuleVisitor for Named<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            let shape = gradient.dims().to_vec();
            let tensor = HostTensor::f32(shape, host_values(gradient));
            self.found.insert(self.path.dotted(), tensor);
        }
    }
}
