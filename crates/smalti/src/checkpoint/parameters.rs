//! Between a network's parameters and named tensors: a parameter's key is the path of its field.

use super::tensor::{HostTensor, TensorMap};
use crate::error::{Error, Result};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Int, Shape, Tensor, TensorData};
use std::collections::BTreeSet;

/// Collects the parameters of a module under `prefix` + `key(path)`.
pub fn parameters<M: Module>(module: &M, prefix: &str, key: impl Fn(&str) -> String) -> TensorMap {
    let mut visitor = Collect {
        path: ParameterPath::default(),
        prefix,
        key,
        tensors: TensorMap::new(),
    };
    module.visit(&mut visitor);
    visitor.tensors
}

/// The keys that [`parameters`] would give, without the values.
pub fn parameter_keys<M: Module>(
    module: &M,
    prefix: &str,
    key: impl Fn(&str) -> String,
) -> BTreeSet<String> {
    let mut visitor = Keys {
        path: ParameterPath::default(),
        prefix,
        key,
        keys: BTreeSet::new(),
    };
    module.visit(&mut visitor);
    visitor.keys
}

/// Replaces every parameter of `module` by the tensor of its key.
///
/// # Errors
/// The first parameter that is missing or has another shape or type, by name.
pub fn load_parameters<M: Module>(
    module: M,
    tensors: &TensorMap,
    prefix: &str,
    key: impl Fn(&str) -> String,
) -> Result<M> {
    let mut mapper = Load {
        path: ParameterPath::default(),
        prefix,
        key,
        tensors,
        error: None,
    };
    let module = module.map(&mut mapper);
    match mapper.error {
        Some(message) => Err(Error::Input(message)),
        None => Ok(module),
    }
}

/// The path of the field being visited. Enum variants are no part of it: the authors' keys know one quantiser only.
#[derive(Default)]
pub(crate) struct ParameterPath(Vec<Option<String>>);

impl ParameterPath {
    pub(crate) fn enter(&mut self, name: &str, container: &str) {
        let part = (!container.starts_with("Enum")).then(|| name.to_string());
        self.0.push(part);
    }

    pub(crate) fn exit(&mut self) {
        self.0.pop();
    }

    pub(crate) fn dotted(&self) -> String {
        let parts: Vec<&str> = self.0.iter().flatten().map(String::as_str).collect();
        parts.join(".")
    }
}

struct Collect<'a, K> {
    path: ParameterPath,
    prefix: &'a str,
    key: K,
    tensors: TensorMap,
}

impl<K: Fn(&str) -> String> ModuleVisitor for Collect<'_, K> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        let shape = tensor.dims().to_vec();
        let key = format!("{}{}", self.prefix, (self.key)(&self.path.dotted()));
        self.tensors
            .insert(key, HostTensor::f32(shape, host_values(tensor)));
    }
}

struct Keys<'a, K> {
    path: ParameterPath,
    prefix: &'a str,
    key: K,
    keys: BTreeSet<String>,
}

impl<K: Fn(&str) -> String> ModuleVisitor for Keys<'_, K> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, _: &Param<Tensor<D>>) {
        let key = format!("{}{}", self.prefix, (self.key)(&self.path.dotted()));
        self.keys.insert(key);
    }
}

/// The values of a float tensor on the host, row-major.
pub(crate) fn host_values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor
        .into_data_as::<f32>()
        .try_into_vec()
        .expect("the values were just converted to f32")
}

/// Codes on the host, in reading order.
pub(crate) fn host_codes(codes: Tensor<3, Int>) -> Vec<i64> {
    host_indices(codes)
}

/// The values of a tensor of whole numbers on the host, row-major.
pub(crate) fn host_indices<const D: usize>(indices: Tensor<D, Int>) -> Vec<i64> {
    indices
        .into_data_as::<i64>()
        .try_into_vec()
        .expect("the values were just converted to i64")
}

struct Load<'a, K> {
    path: ParameterPath,
    prefix: &'a str,
    key: K,
    tensors: &'a TensorMap,
    error: Option<String>,
}

impl<K: Fn(&str) -> String> Load<'_, K> {
    fn values(&self, key: &str, shape: &[usize]) -> std::result::Result<Vec<f32>, String> {
        let Some(tensor) = self.tensors.get(key) else {
            return Err(format!("`{key}` is missing"));
        };
        if tensor.shape != shape {
            return Err(format!(
                "`{key}` has shape {:?}, but the configuration asks for {shape:?}",
                tensor.shape
            ));
        }
        match tensor.as_f32() {
            Some(values) => Ok(values.to_vec()),
            None => Err(format!("`{key}` holds whole numbers, not weights")),
        }
    }
}

impl<K: Fn(&str) -> String> ModuleMapper for Load<'_, K> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.error.is_some() {
            return param;
        }
        let key = format!("{}{}", self.prefix, (self.key)(&self.path.dotted()));
        match self.values(&key, &param.dims()) {
            Ok(values) => param.map(|old| {
                let data = TensorData::new(values, Shape::from(old.dims()));
                let new = Tensor::from_data(data, &old.device());
                new.set_require_grad(old.is_require_grad())
            }),
            Err(message) => {
                self.error = Some(message);
                param
            }
        }
    }
}
