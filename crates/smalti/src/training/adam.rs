//! Adam and AdamW over all parameters of a module, with PyTorch's constants. Moments are kept by parameter path, so a
//! training state can be saved and read back by name.

use crate::checkpoint::{HostTensor, ParameterPath, TensorMap, host_values, parameters};
use crate::error::{Error, Result};
use crate::ops::{AdamStep, adam_step, release_panels};
use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Shape, Tensor, TensorData};
use std::collections::BTreeMap;

/// The constants of Adam.
#[derive(Clone, Copy)]
pub struct AdamConfig {
    pub beta1: f32,
    pub beta2: f32,
    pub epsilon: f32,
    /// Decoupled decay (AdamW) of the parameters that `decays` names; 0 is Adam.
    pub weight_decay: f32,
    /// Whether the parameter at a path decays.
    pub decays: fn(&str) -> bool,
}

impl AdamConfig {
    /// The authors' Adam of stage 1: betas 0.5 and 0.9, no decay.
    pub fn tokenizer() -> Self {
        Self {
            beta1: 0.5,
            beta2: 0.9,
            epsilon: 1e-8,
            weight_decay: 0.0,
            decays: |_| false,
        }
    }
}

struct Moments {
    first: Tensor<1>,
    second: Tensor<1>,
}

/// The optimiser of one module.
pub struct Adam {
    config: AdamConfig,
    step: u64,
    moments: BTreeMap<String, Moments>,
}

impl Adam {
    pub fn new(config: AdamConfig) -> Self {
        Self {
            config,
            step: 0,
            moments: BTreeMap::new(),
        }
    }

    /// Moves every parameter of `module` that has a gradient. All gradients are multiplied by `scale` first.
    pub fn step<M: Module>(
        &mut self,
        learning_rate: f64,
        scale: f32,
        module: M,
        gradients: GradientsParams,
    ) -> M {
        self.step += 1;
        let mut mapper = Update {
            path: ParameterPath::default(),
            adam: self,
            learning_rate: learning_rate as f32,
            scale,
            gradients,
        };
        let moved = module.map(&mut mapper);
        release_panels();
        moved
    }

    /// Forgets what it knows about some rows of the table at `path`: they hold something new.
    pub fn forget_rows(&mut self, path: &str, rows: &[usize], width: usize) {
        let Some(moments) = self.moments.get_mut(path) else {
            return;
        };
        for moment in [&mut moments.first, &mut moments.second] {
            let (mut values, device) = (host_values(moment.clone()), moment.device());
            for &row in rows {
                values[row * width..][..width].fill(0.0);
            }
            let shape = Shape::from([values.len()]);
            *moment = Tensor::from_data(TensorData::new(values, shape), &device);
        }
    }

    /// The state as named tensors: `{prefix}step`, `{prefix}first.PATH`, `{prefix}second.PATH`.
    pub fn state(&self, prefix: &str) -> TensorMap {
        let mut tensors = TensorMap::new();
        tensors.insert(
            format!("{prefix}step"),
            HostTensor::i64([1], vec![self.step as i64]),
        );
        for (path, moments) in &self.moments {
            for (name, moment) in [("first", &moments.first), ("second", &moments.second)] {
                let values = host_values(moment.clone());
                let tensor = HostTensor::f32([values.len()], values);
                tensors.insert(format!("{prefix}{name}.{path}"), tensor);
            }
        }
        tensors
    }

    /// Takes up a state written by [`Adam::state`].
    ///
    /// # Errors
    /// A state without step count, or with moments that are missing or do not fit `module`.
    pub fn load<M: Module>(
        &mut self,
        module: &M,
        tensors: &TensorMap,
        prefix: &str,
        device: &Device,
    ) -> Result<()> {
        let sizes = parameters(module, "", str::to_string);
        let step = tensors
            .get(&format!("{prefix}step"))
            .and_then(HostTensor::as_i64)
            .and_then(|values| values.first().copied())
            .ok_or_else(|| Error::input(format!("the training state has no `{prefix}step`")))?;
        let device = device.clone().inner();
        let moment = |key: &str, path: &str| -> Result<Tensor<1>> {
            let size = sizes.get(path).map(|tensor| tensor.shape.iter().product());
            let values = tensors
                .get(key)
                .and_then(HostTensor::as_f32)
                .filter(|values| Some(values.len()) == size)
                .ok_or_else(|| {
                    Error::input(format!(
                        "the training state has no `{key}` that fits the network"
                    ))
                })?;
            let data = TensorData::new(values.to_vec(), Shape::from([values.len()]));
            Ok(Tensor::from_data(data, &device))
        };
        let first = format!("{prefix}first.");
        self.moments.clear();
        for key in tensors.keys() {
            if let Some(path) = key.strip_prefix(&first) {
                let moments = Moments {
                    first: moment(key, path)?,
                    second: moment(&format!("{prefix}second.{path}"), path)?,
                };
                self.moments.insert(path.to_string(), moments);
            }
        }
        self.step = step.max(0) as u64;
        Ok(())
    }
}

struct Update<'a> {
    path: ParameterPath,
    adam: &'a mut Adam,
    learning_rate: f32,
    scale: f32,
    gradients: GradientsParams,
}

impl Update<'_> {
    fn scalars(&self, path: &str) -> AdamStep {
        let config = &self.adam.config;
        AdamStep {
            learning_rate: self.learning_rate,
            beta1: config.beta1,
            beta2: config.beta2,
            epsilon: config.epsilon,
            weight_decay: if (config.decays)(path) {
                config.weight_decay
            } else {
                0.0
            },
            step: self.adam.step,
        }
    }
}

impl ModuleMapper for Update<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(mut gradient) = self.gradients.remove::<D>(param.id) else {
            return param;
        };
        if self.scale != 1.0 {
            gradient = gradient * self.scale;
        }
        let path = self.path.dotted();
        let step = self.scalars(&path);
        let (id, tensor, mapper) = param.consume();
        let shape = tensor.dims();
        let count: usize = shape.iter().product();
        let value: Tensor<1> = tensor.inner().reshape([count]);
        let moments = match self.adam.moments.remove(&path) {
            Some(moments) => (moments.first, moments.second),
            None => (value.zeros_like(), value.zeros_like()),
        };
        let (value, first, second) = adam_step(value, gradient.reshape([count]), moments, step);
        self.adam.moments.insert(path, Moments { first, second });
        let value = Tensor::from_inner(value.reshape(shape)).require_grad();
        Param::from_mapped_value(id, value, mapper)
    }
}
