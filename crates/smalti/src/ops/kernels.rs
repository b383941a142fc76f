//! The CPU kernels on the CPU backend's tensors: shapes are read off, slices handed over, results wrapped.

use super::attention::Attention;
use super::conv2d::Convolution;
use super::group_norm::GroupNormalization;
use super::optimize::AdamStep;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Flex};
use burn::tensor::{Shape, TensorData};
use burn_flex::FlexTensor;
use smalti_kernels::attention::{self, AttentionShape};
use smalti_kernels::conv2d::{self, ConvShape};
use smalti_kernels::group_norm::{self, GroupNorm, GroupNormShape};
use smalti_kernels::layer_norm::{self, LayerNorm};
use smalti_kernels::{adam, cross_entropy, gelu, nearest_code};

/// Forward and backward arithmetic of the operations, for backends without autodiff. Shapes are those of the functions
/// of [`super`].
pub trait CpuKernels: Backend {
    fn conv2d_forward(
        input: &FloatTensor<Self>,
        weight: &FloatTensor<Self>,
        bias: &FloatTensor<Self>,
        convolution: Convolution,
    ) -> FloatTensor<Self>;

    fn conv2d_input_gradient(
        input: &FloatTensor<Self>,
        weight: &FloatTensor<Self>,
        gradient: &FloatTensor<Self>,
        convolution: Convolution,
    ) -> FloatTensor<Self>;

    fn conv2d_weight_gradient(
        input: &FloatTensor<Self>,
        weight: &FloatTensor<Self>,
        gradient: &FloatTensor<Self>,
        convolution: Convolution,
    ) -> FloatTensor<Self>;

    fn conv2d_bias_gradient(
        input: &FloatTensor<Self>,
        weight: &FloatTensor<Self>,
        gradient: &FloatTensor<Self>,
        convolution: Convolution,
    ) -> FloatTensor<Self>;

    /// Output, and mean and reciprocal deviation of each group.
    fn group_norm_forward(
        input: &FloatTensor<Self>,
        gamma: &FloatTensor<Self>,
        beta: &FloatTensor<Self>,
        normalization: GroupNormalization,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// Gradients of input, gamma and beta. `saved` holds these and the two statistics.
    fn group_norm_backward(
        saved: &[FloatTensor<Self>; 5],
        gradient: &FloatTensor<Self>,
        normalization: GroupNormalization,
    ) -> [FloatTensor<Self>; 3];

    /// Output, and mean and reciprocal deviation of each row.
    fn layer_norm_forward(
        input: &FloatTensor<Self>,
        gamma: &FloatTensor<Self>,
        beta: &FloatTensor<Self>,
        epsilon: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// Gradients of input, gamma and beta. `saved` holds input, gamma, beta and the two statistics.
    fn layer_norm_backward(
        saved: &[FloatTensor<Self>; 5],
        gradient: &FloatTensor<Self>,
        epsilon: f32,
    ) -> [FloatTensor<Self>; 3];

    fn gelu_forward(input: &FloatTensor<Self>) -> FloatTensor<Self>;

    fn gelu_gradient(input: &FloatTensor<Self>, gradient: &FloatTensor<Self>) -> FloatTensor<Self>;

    /// Output, and the logarithm of each row's sum of exponentials, from query, key and value.
    fn attention_forward(
        inputs: [&FloatTensor<Self>; 3],
        mask: Attention,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Gradients of query, key and value. `saved` holds these, the output and the logarithms.
    fn attention_backward(
        saved: &[FloatTensor<Self>; 5],
        gradient: &FloatTensor<Self>,
        mask: Attention,
    ) -> [FloatTensor<Self>; 3];

    /// Losses, and the logarithm of each row's sum of exponentials.
    fn cross_entropy_forward(
        logits: &FloatTensor<Self>,
        targets: &IntTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    fn cross_entropy_backward(
        logits: &FloatTensor<Self>,
        targets: &IntTensor<Self>,
        log_sums: &FloatTensor<Self>,
        gradient: &FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    fn nearest_code(vectors: &FloatTensor<Self>, codebook: &FloatTensor<Self>) -> IntTensor<Self>;

    /// The moved parameter and its two moments.
    fn adam(
        parameter: FloatTensor<Self>,
        gradient: &FloatTensor<Self>,
        first_moment: FloatTensor<Self>,
        second_moment: FloatTensor<Self>,
        step: AdamStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// A tensor whose values lie in reading order.
struct Values(FlexTensor);

impl Values {
    fn of(tensor: &FlexTensor) -> Self {
        Self(tensor.to_contiguous())
    }

    fn slice(&self) -> &[f32] {
        self.0.as_slice().expect("a contiguous tensor of f32")
    }
}

fn dims<const D: usize>(tensor: &FlexTensor) -> [usize; D] {
    let shape: Vec<usize> = tensor.layout().shape().iter().copied().collect();
    shape
        .try_into()
        .expect("the operation fixes the number of axes")
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, Shape::from(shape)))
}

fn zeros(count: usize) -> Vec<f32> {
    vec![0.0; count]
}

fn indices(tensor: &FlexTensor) -> Vec<i64> {
    let data = tensor.clone().into_data().convert::<i64>();
    data.try_into_vec()
        .expect("the indices were just converted to i64")
}

fn conv_shape(input: &FlexTensor, weight: &FlexTensor, convolution: Convolution) -> ConvShape {
    let [batch, height, width, in_channels] = dims(input);
    let [out_channels, _, kernel_height, kernel_width] = dims(weight);
    let padding = convolution.padding;
    ConvShape {
        batch,
        height,
        width,
        in_channels,
        out_channels,
        kernel: [kernel_height, kernel_width],
        stride: [convolution.stride; 2],
        padding: [padding.top, padding.bottom, padding.left, padding.right],
    }
}

fn group_norm_shape(input: &FlexTensor, groups: usize) -> GroupNormShape {
    let [batch, height, width, channels] = dims(input);
    GroupNormShape {
        batch,
        positions: height * width,
        channels,
        groups,
    }
}

fn attention_shape(query: &FlexTensor, key: &FlexTensor, mask: Attention) -> AttentionShape {
    let [batch, queries, heads, head_dim] = dims(query);
    let [_, keys, _, _] = dims(key);
    AttentionShape {
        batch,
        heads,
        queries,
        keys,
        head_dim,
        causal: mask.causal,
        scale: (head_dim as f32).sqrt().recip(),
        unmasked_prefix: mask.unmasked_prefix,
    }
}

impl CpuKernels for Flex {
    fn conv2d_forward(
        input: &FlexTensor,
        weight: &FlexTensor,
        bias: &FlexTensor,
        convolution: Convolution,
    ) -> FlexTensor {
        let shape = conv_shape(input, weight, convolution);
        let (height, width) = shape.output();
        let mut output = zeros(shape.output_len());
        let (input, weight, bias) = (Values::of(input), Values::of(weight), Values::of(bias));
        conv2d::forward(
            &shape,
            input.slice(),
            weight.slice(),
            Some(bias.slice()),
            &mut output,
        );
        tensor(output, [shape.batch, height, width, shape.out_channels])
    }

    fn conv2d_input_gradient(
        input: &FlexTensor,
        weight: &FlexTensor,
        gradient: &FlexTensor,
        convolution: Convolution,
    ) -> FlexTensor {
        let shape = conv_shape(input, weight, convolution);
        let mut output = zeros(shape.input_len());
        let (weight, gradient) = (Values::of(weight), Values::of(gradient));
        conv2d::backward_input(&shape, gradient.slice(), weight.slice(), &mut output);
        tensor(output, dims::<4>(input))
    }

    fn conv2d_weight_gradient(
        input: &FlexTensor,
        weight: &FlexTensor,
        gradient: &FlexTensor,
        convolution: Convolution,
    ) -> FlexTensor {
        let shape = conv_shape(input, weight, convolution);
        let mut output = zeros(shape.weight_len());
        let (input, gradient) = (Values::of(input), Values::of(gradient));
        conv2d::backward_weight(&shape, input.slice(), gradient.slice(), &mut output);
        tensor(output, dims::<4>(weight))
    }

    fn conv2d_bias_gradient(
        input: &FlexTensor,
        weight: &FlexTensor,
        gradient: &FlexTensor,
        convolution: Convolution,
    ) -> FlexTensor {
        let shape = conv_shape(input, weight, convolution);
        let mut output = zeros(shape.out_channels);
        conv2d::backward_bias(&shape, Values::of(gradient).slice(), &mut output);
        tensor(output, [shape.out_channels])
    }

    fn group_norm_forward(
        input: &FlexTensor,
        gamma: &FlexTensor,
        beta: &FlexTensor,
        normalization: GroupNormalization,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let shape = group_norm_shape(input, normalization.groups);
        let (gamma, beta) = (Values::of(gamma), Values::of(beta));
        let layer = GroupNorm {
            shape,
            gamma: gamma.slice(),
            beta: beta.slice(),
            epsilon: normalization.epsilon,
            silu: normalization.silu,
        };
        let values = Values::of(input);
        let statistics = shape.batch * shape.groups;
        let mut output = zeros(values.slice().len());
        let (mut mean, mut rstd) = (zeros(statistics), zeros(statistics));
        group_norm::forward(&layer, values.slice(), &mut output, &mut mean, &mut rstd);
        (
            tensor(output, dims::<4>(input)),
            tensor(mean, [statistics]),
            tensor(rstd, [statistics]),
        )
    }

    fn group_norm_backward(
        saved: &[FlexTensor; 5],
        gradient: &FlexTensor,
        normalization: GroupNormalization,
    ) -> [FlexTensor; 3] {
        let shape = group_norm_shape(&saved[0], normalization.groups);
        let [input, gamma, beta, mean, rstd] = saved.each_ref().map(Values::of);
        let layer = GroupNorm {
            shape,
            gamma: gamma.slice(),
            beta: beta.slice(),
            epsilon: normalization.epsilon,
            silu: normalization.silu,
        };
        let statistics = group_norm::Statistics {
            mean: mean.slice(),
            rstd: rstd.slice(),
        };
        let mut to_input = zeros(input.slice().len());
        let (mut to_gamma, mut to_beta) = (zeros(shape.channels), zeros(shape.channels));
        let gradients = group_norm::Gradients {
            input: &mut to_input,
            gamma: &mut to_gamma,
            beta: &mut to_beta,
        };
        group_norm::backward(
            &layer,
            input.slice(),
            statistics,
            Values::of(gradient).slice(),
            gradients,
        );
        [
            tensor(to_input, dims::<4>(&saved[0])),
            tensor(to_gamma, [shape.channels]),
            tensor(to_beta, [shape.channels]),
        ]
    }

    fn layer_norm_forward(
        input: &FlexTensor,
        gamma: &FlexTensor,
        beta: &FlexTensor,
        epsilon: f32,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let [batch, tokens, channels] = dims(input);
        let rows = batch * tokens;
        let (gamma, beta, values) = (Values::of(gamma), Values::of(beta), Values::of(input));
        let layer = LayerNorm {
            gamma: gamma.slice(),
            beta: beta.slice(),
            epsilon,
        };
        let mut output = zeros(rows * channels);
        let (mut mean, mut rstd) = (zeros(rows), zeros(rows));
        layer_norm::forward(&layer, values.slice(), &mut output, &mut mean, &mut rstd);
        (
            tensor(output, [batch, tokens, channels]),
            tensor(mean, [rows]),
            tensor(rstd, [rows]),
        )
    }

    fn layer_norm_backward(
        saved: &[FlexTensor; 5],
        gradient: &FlexTensor,
        epsilon: f32,
    ) -> [FlexTensor; 3] {
        let shape: [usize; 3] = dims(&saved[0]);
        let channels = shape[2];
        let [input, gamma, beta, mean, rstd] = saved.each_ref().map(Values::of);
        let layer = LayerNorm {
            gamma: gamma.slice(),
            beta: beta.slice(),
            epsilon,
        };
        let statistics = layer_norm::Statistics {
            mean: mean.slice(),
            rstd: rstd.slice(),
        };
        let mut to_input = zeros(input.slice().len());
        let (mut to_gamma, mut to_beta) = (zeros(channels), zeros(channels));
        let gradients = layer_norm::Gradients {
            input: &mut to_input,
            gamma: &mut to_gamma,
            beta: &mut to_beta,
        };
        layer_norm::backward(
            &layer,
            input.slice(),
            statistics,
            Values::of(gradient).slice(),
            gradients,
        );
        [
            tensor(to_input, shape),
            tensor(to_gamma, [channels]),
            tensor(to_beta, [channels]),
        ]
    }

    fn gelu_forward(input: &FlexTensor) -> FlexTensor {
        let values = Values::of(input);
        let mut output = zeros(values.slice().len());
        gelu::forward(values.slice(), &mut output);
        FlexTensor::from_data(TensorData::new(output, input.layout().shape().clone()))
    }

    fn gelu_gradient(input: &FlexTensor, gradient: &FlexTensor) -> FlexTensor {
        let (values, gradient) = (Values::of(input), Values::of(gradient));
        let mut output = zeros(values.slice().len());
        gelu::backward(values.slice(), gradient.slice(), &mut output);
        FlexTensor::from_data(TensorData::new(output, input.layout().shape().clone()))
    }

    fn attention_forward(inputs: [&FlexTensor; 3], mask: Attention) -> (FlexTensor, FlexTensor) {
        let shape = attention_shape(inputs[0], inputs[1], mask);
        let [query, key, value] = inputs.map(Values::of);
        let rows = shape.batch * shape.heads * shape.queries;
        let mut output = zeros(query.slice().len());
        let mut log_sums = zeros(rows);
        let inputs_read = attention::Inputs {
            query: query.slice(),
            key: key.slice(),
            value: value.slice(),
        };
        attention::forward(&shape, inputs_read, &mut output, &mut log_sums);
        (
            tensor(output, dims::<4>(inputs[0])),
            tensor(log_sums, [rows]),
        )
    }

    fn attention_backward(
        saved: &[FlexTensor; 5],
        gradient: &FlexTensor,
        mask: Attention,
    ) -> [FlexTensor; 3] {
        let shape = attention_shape(&saved[0], &saved[1], mask);
        let [query, key, value, output, log_sums] = saved.each_ref().map(Values::of);
        let gradient = Values::of(gradient);
        let mut to_query = zeros(query.slice().len());
        let (mut to_key, mut to_value) = (zeros(key.slice().len()), zeros(key.slice().len()));
        attention::backward(
            &shape,
            attention::Inputs {
                query: query.slice(),
                key: key.slice(),
                value: value.slice(),
            },
            attention::Saved {
                output: output.slice(),
                logsumexp: log_sums.slice(),
            },
            gradient.slice(),
            attention::Gradients {
                query: &mut to_query,
                key: &mut to_key,
                value: &mut to_value,
            },
        );
        [
            tensor(to_query, dims::<4>(&saved[0])),
            tensor(to_key, dims::<4>(&saved[1])),
            tensor(to_value, dims::<4>(&saved[2])),
        ]
    }

    fn cross_entropy_forward(
        logits: &FlexTensor,
        targets: &FlexTensor,
    ) -> (FlexTensor, FlexTensor) {
        let [rows, _] = dims(logits);
        let (mut losses, mut log_sums) = (zeros(rows), zeros(rows));
        cross_entropy::forward(
            Values::of(logits).slice(),
            &indices(targets),
            &mut losses,
            &mut log_sums,
        );
        (tensor(losses, [rows]), tensor(log_sums, [rows]))
    }

    fn cross_entropy_backward(
        logits: &FlexTensor,
        targets: &FlexTensor,
        log_sums: &FlexTensor,
        gradient: &FlexTensor,
    ) -> FlexTensor {
        let values = Values::of(logits);
        let (log_sums, gradient) = (Values::of(log_sums), Values::of(gradient));
        let mut output = zeros(values.slice().len());
        cross_entropy::backward(
            values.slice(),
            &indices(targets),
            log_sums.slice(),
            gradient.slice(),
            &mut output,
        );
        tensor(output, dims::<2>(logits))
    }

    fn nearest_code(vectors: &FlexTensor, codebook: &FlexTensor) -> FlexTensor {
        let [count, dimension] = dims(vectors);
        let mut codes = vec![0i64; count];
        let (vectors, codebook) = (Values::of(vectors), Values::of(codebook));
        nearest_code::nearest_codes(vectors.slice(), codebook.slice(), dimension, &mut codes);
        FlexTensor::from_data(TensorData::new(codes, Shape::from([count])))
    }

    fn adam(
        parameter: FlexTensor,
        gradient: &FlexTensor,
        first_moment: FlexTensor,
        second_moment: FlexTensor,
        step: AdamStep,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let owned = |tensor: FlexTensor| -> Vec<f32> {
            tensor
                .into_data()
                .try_into_vec()
                .expect("optimisers hold f32")
        };
        let (mut parameter, mut first, mut second) =
            (owned(parameter), owned(first_moment), owned(second_moment));
        let scalars = adam::AdamStep {
            learning_rate: f64::from(step.learning_rate),
            beta1: f64::from(step.beta1),
            beta2: f64::from(step.beta2),
            epsilon: f64::from(step.epsilon),
            weight_decay: f64::from(step.weight_decay),
            bias_correction1: f64::from(step.bias_correction1()),
            bias_correction2: f64::from(step.bias_correction2()),
        };
        adam::step(
            &scalars,
            &mut parameter,
            Values::of(gradient).slice(),
            &mut first,
            &mut second,
        );
        let count = parameter.len();
        (
            tensor(parameter, [count]),
            tensor(first, [count]),
            tensor(second, [count]),
        )
    }
}
