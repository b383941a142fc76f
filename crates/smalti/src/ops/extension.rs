//! The operations that have CPU kernels, as burn extension operations: what runs forward, and what runs backward.
//!
//! [`CpuKernels`] is the plain arithmetic on the CPU backend's tensors; [`CpuOps`] is what the dispatcher routes to, and
//! its implementation for `Autodiff` records the backward pass. Backward states hold the tensors themselves, so no
//! operation is ever recomputed.

use super::attention::Attention;
use super::conv2d::Convolution;
use super::group_norm::GroupNormalization;
use super::kernels::CpuKernels;
use super::optimize::AdamStep;
use burn::backend::autodiff::{
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Flex, backend_extension};

#[backend_extension(Flex, Autodiff)]
pub trait CpuOps: Backend {
    fn smalti_conv2d(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        convolution: Convolution,
    ) -> FloatTensor<Self>;

    fn smalti_conv2d_weight_gradient(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        convolution: Convolution,
    ) -> FloatTensor<Self>;

    fn smalti_group_norm(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        normalization: GroupNormalization,
    ) -> FloatTensor<Self>;

    fn smalti_layer_norm(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self>;

    fn smalti_gelu(input: FloatTensor<Self>) -> FloatTensor<Self>;

    fn smalti_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        mask: Attention,
    ) -> FloatTensor<Self>;

    fn smalti_cross_entropy(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> FloatTensor<Self>;

    fn smalti_nearest_code(
        vectors: FloatTensor<Self>,
        codebook: FloatTensor<Self>,
    ) -> IntTensor<Self>;

    fn smalti_adam_step(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first_moment: FloatTensor<Self>,
        second_moment: FloatTensor<Self>,
        step: AdamStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

impl CpuOps for Flex {
    fn smalti_conv2d(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        convolution: Convolution,
    ) -> FloatTensor<Self> {
        <Self as CpuKernels>::conv2d_forward(&input, &weight, &bias, convolution)
    }

    fn smalti_conv2d_weight_gradient(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        convolution: Convolution,
    ) -> FloatTensor<Self> {
        <Self as CpuKernels>::conv2d_weight_gradient(&input, &weight, &gradient, convolution)
    }

    fn smalti_group_norm(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        normalization: GroupNormalization,
    ) -> FloatTensor<Self> {
        <Self as CpuKernels>::group_norm_forward(&input, &gamma, &beta, normalization).0
    }

    fn smalti_layer_norm(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        <Self as CpuKernels>::layer_norm_forward(&input, &gamma, &beta, epsilon).0
    }

    fn smalti_gelu(input: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::gelu_forward(&input)
    }

    fn smalti_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        mask: Attention,
    ) -> FloatTensor<Self> {
        <Self as CpuKernels>::attention_forward([&query, &key, &value], mask).0
    }

    fn smalti_cross_entropy(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> FloatTensor<Self> {
        <Self as CpuKernels>::cross_entropy_forward(&logits, &targets).0
    }

    fn smalti_nearest_code(
        vectors: FloatTensor<Self>,
        codebook: FloatTensor<Self>,
    ) -> IntTensor<Self> {
        <Self as CpuKernels>::nearest_code(&vectors, &codebook)
    }

    fn smalti_adam_step(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first_moment: FloatTensor<Self>,
        second_moment: FloatTensor<Self>,
        step: AdamStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        <Self as CpuKernels>::adam(parameter, &gradient, first_moment, second_moment, step)
    }
}

impl<B: CpuOps + CpuKernels, C: CheckpointStrategy> CpuOps for Autodiff<B, C> {
    fn smalti_conv2d(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        convolution: Convolution,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Conv2dBackward;
        impl<B: CpuKernels> Backward<B, 3> for Conv2dBackward {
            type State = ([FloatTensor<B>; 2], Convolution);

            fn backward(
                self,
                ops: Ops<Self::State, 3>,
                gradients: &mut Gradients,
                _: &mut Checkpointer,
            ) {
                let gradient = gradients.consume::<B>(&ops.node);
                let ([input, weight], convolution) = ops.state;
                let [to_input, to_weight, to_bias] = ops.parents;
                if let Some(parent) = to_input {
                    let value = B::conv2d_input_gradient(&input, &weight, &gradient, convolution);
                    gradients.register::<B>(parent.id, value);
                }
                if let Some(parent) = to_weight {
                    let value = B::conv2d_weight_gradient(&input, &weight, &gradient, convolution);
                    gradients.register::<B>(parent.id, value);
                }
                if let Some(parent) = to_bias {
                    let value = B::conv2d_bias_gradient(&input, &weight, &gradient, convolution);
                    gradients.register::<B>(parent.id, value);
                }
            }
        }
        let output = B::conv2d_forward(
            input.primitive(),
            weight.primitive(),
            bias.primitive(),
            convolution,
        );
        let nodes = [input.node(), weight.node(), bias.node()];
        match Conv2dBackward
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let saved = [input.primitive().clone(), weight.primitive().clone()];
                prep.finish((saved, convolution), output)
            }
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn smalti_conv2d_weight_gradient(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Convolution,
    ) -> FloatTensor<Self> {
        unreachable!("weight gradients are taken of tensors without autodiff")
    }

    fn smalti_group_norm(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        normalization: GroupNormalization,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct GroupNormBackward;
        impl<B: CpuKernels> Backward<B, 3> for GroupNormBackward {
            // Input, gamma, beta, mean and reciprocal deviation.
            type State = ([FloatTensor<B>; 5], GroupNormalization);

            fn backward(
                self,
                ops: Ops<Self::State, 3>,
                gradients: &mut Gradients,
                _: &mut Checkpointer,
            ) {
                let gradient = gradients.consume::<B>(&ops.node);
                let (saved, normalization) = ops.state;
                let values = B::group_norm_backward(&saved, &gradient, normalization);
                for (parent, value) in ops.parents.into_iter().zip(values) {
                    if let Some(parent) = parent {
                        gradients.register::<B>(parent.id, value);
                    }
                }
            }
        }
        let primitives = [input.primitive(), gamma.primitive(), beta.primitive()];
        let (output, mean, deviation) =
            B::group_norm_forward(primitives[0], primitives[1], primitives[2], normalization);
        let nodes = [input.node(), gamma.node(), beta.node()];
        match GroupNormBackward
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let [input, gamma, beta] = primitives.map(Clone::clone);
                prep.finish(
                    ([input, gamma, beta, mean, deviation], normalization),
                    output,
                )
            }
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn smalti_layer_norm(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct LayerNormBackward;
        impl<B: CpuKernels> Backward<B, 3> for LayerNormBackward {
            // Input, gamma, beta, mean, reciprocal deviation, and epsilon.
            type State = ([FloatTensor<B>; 5], f32);

            fn backward(
                self,
                ops: Ops<Self::State, 3>,
                gradients: &mut Gradients,
                _: &mut Checkpointer,
            ) {
                let gradient = gradients.consume::<B>(&ops.node);
                let (saved, epsilon) = ops.state;
                let values = B::layer_norm_backward(&saved, &gradient, epsilon);
                for (parent, value) in ops.parents.into_iter().zip(values) {
                    if let Some(parent) = parent {
                        gradients.register::<B>(parent.id, value);
                    }
                }
            }
        }
        let primitives = [input.primitive(), gamma.primitive(), beta.primitive()];
        let (output, mean, deviation) =
            B::layer_norm_forward(primitives[0], primitives[1], primitives[2], epsilon);
        let nodes = [input.node(), gamma.node(), beta.node()];
        match LayerNormBackward
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let [input, gamma, beta] = primitives.map(Clone::clone);
                prep.finish(([input, gamma, beta, mean, deviation], epsilon), output)
            }
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn smalti_gelu(input: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct GeluBackward;
        impl<B: CpuKernels> Backward<B, 1> for GeluBackward {
            type State = FloatTensor<B>;

            fn backward(
                self,
                ops: Ops<Self::State, 1>,
                gradients: &mut Gradients,
                _: &mut Checkpointer,
            ) {
                let gradient = gradients.consume::<B>(&ops.node);
                if let [Some(parent)] = ops.parents {
                    gradients.register::<B>(parent.id, B::gelu_gradient(&ops.state, &gradient));
                }
            }
        }
        let output = B::gelu_forward(input.primitive());
        match GeluBackward
            .prepare::<C>([input.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish(input.primitive().clone(), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn smalti_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        mask: Attention,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct AttentionBackward;
        impl<B: CpuKernels> Backward<B, 3> for AttentionBackward {
            // Query, key, value, output and the logarithm of each row's sum of exponentials.
            type State = ([FloatTensor<B>; 5], Attention);

            fn backward(
                self,
                ops: Ops<Self::State, 3>,
                gradients: &mut Gradients,
                _: &mut Checkpointer,
            ) {
                let gradient = gradients.consume::<B>(&ops.node);
                let (saved, mask) = ops.state;
                let values = B::attention_backward(&saved, &gradient, mask);
                for (parent, value) in ops.parents.into_iter().zip(values) {
                    if let Some(parent) = parent {
                        gradients.register::<B>(parent.id, value);
                    }
                }
            }
        }
        let primitives = [query.primitive(), key.primitive(), value.primitive()];
        let (output, log_sums) = B::attention_forward(primitives, mask);
        let nodes = [query.node(), key.node(), value.node()];
        match AttentionBackward
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let [query, key, value] = primitives.map(Clone::clone);
                prep.finish(
                    ([query, key, value, output.clone(), log_sums], mask),
                    output,
                )
            }
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn smalti_cross_entropy(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct CrossEntropyBackward;
        impl<B: CpuKernels> Backward<B, 1> for CrossEntropyBackward {
            // Logits, the logarithm of each row's sum of exponentials, targets.
            type State = (FloatTensor<B>, FloatTensor<B>, IntTensor<B>);

            fn backward(
                self,
                ops: Ops<Self::State, 1>,
                gradients: &mut Gradients,
                _: &mut Checkpointer,
            ) {
                let gradient = gradients.consume::<B>(&ops.node);
                let (logits, log_sums, targets) = ops.state;
                if let [Some(parent)] = ops.parents {
                    let value = B::cross_entropy_backward(&logits, &targets, &log_sums, &gradient);
                    gradients.register::<B>(parent.id, value);
                }
            }
        }
        let (output, log_sums) = B::cross_entropy_forward(logits.primitive(), &targets);
        match CrossEntropyBackward
            .prepare::<C>([logits.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                prep.finish((logits.primitive().clone(), log_sums, targets), output)
            }
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn smalti_nearest_code(_: FloatTensor<Self>, _: FloatTensor<Self>) -> IntTensor<Self> {
        unreachable!("codes are searched among tensors without autodiff")
    }

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
