//! Slices of the CPU backend's tensors, and tensors of vectors.

use super::buffer::Buffer;
pub use super::buffer::unset;
use burn::tensor::{DType, Element, Shape, TensorData};
use burn_flex::FlexTensor;

/// A type that both the backend's tensors and the kernels can hold.
pub trait Value: Element + bytemuck::Pod + smalti_kernels::element::Element {}

impl Value for f32 {}
impl Value for half::bf16 {}

/// A tensor whose values lie in reading order.
pub struct Values(FlexTensor);

impl Values {
    pub fn of(tensor: &FlexTensor) -> Self {
        Self(tensor.to_contiguous())
    }

    /// The values; the tensor must be of that type.
    pub fn of_type<E: Value>(&self) -> &[E] {
        self.0
            .as_slice()
            .expect("a contiguous tensor of the type that was asked for")
    }

    /// The values of a tensor of f32.
    pub fn slice(&self) -> &[f32] {
        self.of_type()
    }
}

pub fn dims<const D: usize>(tensor: &FlexTensor) -> [usize; D] {
    let shape: Vec<usize> = tensor.layout().shape().iter().copied().collect();
    shape
        .try_into()
        .expect("the operation fixes the number of axes")
}

pub fn tensor<E: Value, const D: usize>(values: Buffer<E>, shape: [usize; D]) -> FlexTensor {
    with_shape(values, Shape::from(shape))
}

/// A tensor of the shape of another one.
pub fn tensor_like<E: Value>(values: Buffer<E>, other: &FlexTensor) -> FlexTensor {
    with_shape(values, other.layout().shape().clone())
}

fn with_shape<E: Value>(values: Buffer<E>, shape: Shape) -> FlexTensor {
    FlexTensor::from_data(TensorData::from_bytes(
        values.into_bytes(),
        shape,
        E::dtype(),
    ))
}

pub fn indices(tensor: &FlexTensor) -> Vec<i64> {
    let data = tensor.clone().into_data().convert::<i64>();
    data.try_into_vec()
        .expect("the indices were just converted to i64")
}

/// A copy in f32.
pub fn widened(tensor: &FlexTensor) -> FlexTensor {
    match tensor.dtype() {
        DType::F32 => tensor.clone(),
        DType::BF16 => converted::<half::bf16, f32>(tensor),
        other => panic!("the CPU kernels have no {other:?}"),
    }
}

/// An f32 tensor in another type.
pub fn narrowed(tensor: FlexTensor, dtype: DType) -> FlexTensor {
    match dtype {
        DType::BF16 => converted::<f32, half::bf16>(&tensor),
        _ => tensor,
    }
}

fn converted<A: Value, B: Value>(tensor: &FlexTensor) -> FlexTensor {
    let values = Values::of(tensor);
    let mut converted = unset::<B>(values.of_type::<A>().len());
    smalti_kernels::element::convert(values.of_type::<A>(), &mut converted);
    tensor_like(converted, tensor)
}

/// Calls `$function` with the type of a tensor's values.
macro_rules! by_type {
    ($tensor:expr, $function:ident($($argument:expr),* $(,)?)) => {
        match $tensor.dtype() {
            burn::tensor::DType::F32 => $function::<f32>($($argument),*),
            burn::tensor::DType::BF16 => $function::<half::bf16>($($argument),*),
            other => panic!("the CPU kernels have no {other:?}"),
        }
    };
}
pub(crate) use by_type;
