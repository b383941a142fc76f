//! Tensors as they lie in files: a shape and plain values, before any backend or network knows them.

use std::collections::BTreeMap;

/// The values of a [`HostTensor`], row-major. Floating types of files (f16, bf16, f64) become f32, integers and booleans i64.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    F32(Vec<f32>),
    I64(Vec<i64>),
}

/// A tensor on the host, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct HostTensor {
    pub shape: Vec<usize>,
    pub values: Values,
}

/// Named tensors, by checkpoint key (`encoder.down.0.block.0.conv1.weight`).
pub type TensorMap = BTreeMap<String, HostTensor>;

/// 64-bit floats, row-major: statistics, whose digits matter. Networks have none.
#[derive(Debug, Clone, PartialEq)]
pub struct Doubles {
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

/// Named 64-bit floats.
pub type DoublesMap = BTreeMap<String, Doubles>;

impl HostTensor {
    /// A float tensor; `values.len()` must be the product of `shape`.
    pub fn f32(shape: impl Into<Vec<usize>>, values: Vec<f32>) -> Self {
        let shape = shape.into();
        assert_eq!(shape.iter().product::<usize>(), values.len());
        Self {
            shape,
            values: Values::F32(values),
        }
    }

    /// An integer tensor; `values.len()` must be the product of `shape`.
    pub fn i64(shape: impl Into<Vec<usize>>, values: Vec<i64>) -> Self {
        let shape = shape.into();
        assert_eq!(shape.iter().product::<usize>(), values.len());
        Self {
            shape,
            values: Values::I64(values),
        }
    }

    /// The float values, or `None` for an integer tensor.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &self.values {
            Values::F32(values) => Some(values),
            Values::I64(_) => None,
        }
    }

    /// The integer values, or `None` for a float tensor.
    pub fn as_i64(&self) -> Option<&[i64]> {
        match &self.values {
            Values::I64(values) => Some(values),
            Values::F32(_) => None,
        }
    }
}
