//! Linear layers and GELU. Tensors are f32; products can be bf16.

use super::super::precision::Precision;
use super::values::{Value, Values, dims, tensor, tensor_like, unset};
use super::{Differentiate, record};
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn_flex::FlexTensor;
use half::bf16;
use smalti_kernels::gelu;
use smalti_kernels::linear::{self, LinearShape};

/// Input and weight.
type Saved<B> = ([FloatTensor<B>; 2], Precision);

pub trait LinearKernels: Backend {
    /// `input · weightᵀ + bias`; a bias without values is none.
    fn multiply(operands: [&FloatTensor<Self>; 3], precision: Precision) -> FloatTensor<Self>;

    /// The wanted gradients of input, weight and bias.
    fn multiply_backward(
        saved: &Saved<Self>,
        gradient: &FloatTensor<Self>,
        wanted: [bool; 3],
    ) -> [Option<FloatTensor<Self>>; 3];

    fn gelu_forward(input: &FloatTensor<Self>) -> FloatTensor<Self>;

    fn gelu_gradient(input: &FloatTensor<Self>, gradient: &FloatTensor<Self>) -> FloatTensor<Self>;
}

#[backend_extension(Flex, Autodiff)]
pub trait LinearOps: Backend {
    fn smalti_linear(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self>;

    fn smalti_gelu(input: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl LinearOps for Flex {
    fn smalti_linear(
        input: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        precision: Precision,
    ) -> FlexTensor {
        Self::multiply([&input, &weight, &bias], precision)
    }

    fn smalti_gelu(input: FlexTensor) -> FlexTensor {
        Self::gelu_forward(&input)
    }
}

#[derive(Debug)]
struct LinearBackward;

impl<B: LinearKernels> Differentiate<B, 3> for LinearBackward {
    type Saved = Saved<B>;

    fn gradients(
        saved: Saved<B>,
        gradient: FloatTensor<B>,
        wanted: [bool; 3],
    ) -> [Option<FloatTensor<B>>; 3] {
        B::multiply_backward(&saved, &gradient, wanted)
    }
}

#[derive(Debug)]
struct GeluBackward;

impl<B: LinearKernels> Differentiate<B, 1> for GeluBackward {
    type Saved = FloatTensor<B>;

    fn gradients(
        input: FloatTensor<B>,
        gradient: FloatTensor<B>,
        _: [bool; 1],
    ) -> [Option<FloatTensor<B>>; 1] {
        [Some(B::gelu_gradient(&input, &gradient))]
    }
}

impl<B: LinearOps + LinearKernels, C: CheckpointStrategy> LinearOps for Autodiff<B, C> {
    fn smalti_linear(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let operands = [input.primitive(), weight.primitive(), bias.primitive()];
        let output = B::multiply(operands, precision);
        let nodes = [input.node(), weight.node(), bias.node()];
        record::<B, C, LinearBackward, 3>(nodes, output, || {
            ([operands[0].clone(), operands[1].clone()], precision)
        })
    }

    fn smalti_gelu(input: FloatTensor<Self>) -> FloatTensor<Self> {
        let output = B::gelu_forward(input.primitive());
        record::<B, C, GeluBackward, 1>([input.node()], output, || input.primitive().clone())
    }
}

fn linear_shape(input: &FlexTensor, weight: &FlexTensor) -> LinearShape {
    let [batch, tokens, inputs] = dims(input);
    let [outputs, _] = dims(weight);
    LinearShape {
        rows: batch * tokens,
        inputs,
        outputs,
    }
}

impl LinearKernels for Flex {
    fn multiply(operands: [&FlexTensor; 3], precision: Precision) -> FlexTensor {
        match precision {
            Precision::F32 => forward::<f32>(operands),
            Precision::Bf16 => forward::<bf16>(operands),
        }
    }

    fn multiply_backward(
        (operands, precision): &Saved<Self>,
        gradient: &FlexTensor,
        wanted: [bool; 3],
    ) -> [Option<FlexTensor>; 3] {
        match precision {
            Precision::F32 => backward::<f32>(operands, gradient, wanted),
            Precision::Bf16 => backward::<bf16>(operands, gradient, wanted),
        }
    }

    fn gelu_forward(input: &FlexTensor) -> FlexTensor {
        let values = Values::of(input);
        let mut output = unset(values.slice().len());
        gelu::forward(values.slice(), &mut output);
        tensor_like(output, input)
    }

    fn gelu_gradient(input: &FlexTensor, gradient: &FlexTensor) -> FlexTensor {
        let (values, gradient) = (Values::of(input), Values::of(gradient));
        let mut output = unset(values.slice().len());
        gelu::backward(values.slice(), gradient.slice(), &mut output);
        tensor_like(output, input)
    }
}

fn forward<E: Value>([input, weight, bias]: [&FlexTensor; 3]) -> FlexTensor {
    let shape = linear_shape(input, weight);
    let [batch, tokens, _] = dims(input);
    let [values, weight, bias] = [input, weight, bias].map(Values::of);
    let bias = (bias.slice().len() == shape.outputs).then(|| bias.slice());
    let mut output = unset(shape.rows * shape.outputs);
    linear::forward::<E>(&shape, values.slice(), weight.slice(), bias, &mut output);
    tensor(output, [batch, tokens, shape.outputs])
}

fn backward<E: Value>(
    [input, weight]: &[FlexTensor; 2],
    gradient: &FlexTensor,
    wanted: [bool; 3],
) -> [Option<FlexTensor>; 3] {
    let shape = linear_shape(input, weight);
    let (values, weights, gradient) = (Values::of(input), Values::of(weight), Values::of(gradient));
    let to_input = wanted[0].then(|| {
        let mut result = unset(values.slice().len());
        linear::backward_input::<E>(&shape, gradient.slice(), weights.slice(), &mut result);
        tensor_like(result, input)
    });
    let to_weight = wanted[1].then(|| {
        let mut result = unset(weights.slice().len());
        linear::backward_weight::<E>(&shape, values.slice(), gradient.slice(), &mut result);
        tensor_like(result, weight)
    });
    let to_bias = wanted[2].then(|| {
        let mut result = unset(shape.outputs);
        linear::backward_bias(gradient.slice(), &mut result);
        tensor(result, [shape.outputs])
    });
    [to_input, to_weight, to_bias]
}
