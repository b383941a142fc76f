//! A moving average of a network's weights: smoother than the weights of any one step, and what pictures, measurements
//! and the saved model are made with.

use crate::checkpoint::ParameterPath;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;
use std::collections::BTreeMap;

/// The average of a module without autodiff.
pub struct WeightAverage<M> {
    /// The averaged network.
    pub module: M,
    decay: f64,
    /// Paths that are copied as they are.
    copies: fn(&str) -> bool,
}

impl<M: Module> WeightAverage<M> {
    /// Starts at `module`, which must be without autodiff. What `copies` names follows the newest weights at once.
    pub fn new(module: M, decay: f64, copies: fn(&str) -> bool) -> Self {
        Self {
            module,
            decay,
            copies,
        }
    }

    /// Takes in the weights after `step` steps (from 1). Early on, when the average would be mostly the random start, it
    /// forgets faster.
    pub fn update(&mut self, newest: &M, step: u64) {
        let mut collect = Collect::default();
        newest.visit(&mut collect);
        let decay = self.decay.min((1.0 + step as f64) / (10.0 + step as f64)) as f32;
        let mut mapper = Follow {
            path: ParameterPath::default(),
            newest: collect.tensors,
            decay,
            copies: self.copies,
        };
        self.module = self.module.clone().map(&mut mapper);
    }
}

#[derive(Default)]
struct Collect {
    path: ParameterPath,
    /// Flat, by path.
    tensors: BTreeMap<String, Tensor<1>>,
}

impl ModuleVisitor for Collect {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        let count: usize = tensor.dims().iter().product();
        let flat = tensor.without_autodiff().reshape([count]);
        self.tensors.insert(self.path.dotted(), flat);
    }
}

struct Follow {
    path: ParameterPath,
    newest: BTreeMap<String, Tensor<1>>,
    decay: f32,
    copies: fn(&str) -> bool,
}

impl ModuleMapper for Follow {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.path.dotted();
        let Some(newest) = self.newest.remove(&path) else {
            return param;
        };
        let keep = if (self.copies)(&path) {
            0.0
        } else {
            self.decay
        };
        param.map(|average| {
            let newest = newest.reshape(average.dims());
            average * keep + newest * (1.0 - keep)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::host_values;
    use crate::initializer::Initializer;
    use crate::layers::Linear;
    use burn::tensor::Device;

    #[test]
    fn follows_by_its_decay_and_copies_what_it_is_told() {
        let layer = |value: f32| {
            let init = Initializer::zeros(&Device::flex());
            Linear {
                weight: init.constant([1, 1], value),
                bias: Some(init.constant([1], value)),
            }
        };
        let mut average = WeightAverage::new(layer(0.0), 0.75, |path| path == "bias");
        average.update(&layer(1.0), 1000);
        average.update(&layer(1.0), 1000);
        let value = |parameter: Tensor<1>| host_values(parameter)[0];
        let weight = value(average.module.weight.val().reshape([1]));
        assert!((weight - 0.4375).abs() < 1e-6, "{weight}");
        assert_eq!(value(average.module.bias.as_ref().unwrap().val()), 1.0);
    }

    #[test]
    fn the_first_steps_count_more() {
        let init = Initializer::zeros(&Device::flex());
        let layer = |value: f32| Linear {
            weight: init.constant([1, 1], value),
            bias: None,
        };
        let mut average = WeightAverage::new(layer(0.0), 0.999, |_| false);
        average.update(&layer(1.0), 1);
        let weight = host_values(average.module.weight.val())[0];
        assert!((weight - 9.0 / 11.0).abs() < 1e-6, "{weight}");
    }
}
