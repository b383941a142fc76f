//! The operations that have CPU kernels, as burn extension operations.
//!
//! Each file has two traits: what the kernels compute, forward and backward, on the CPU backend's tensors; and the
//! operation the dispatcher routes to, whose implementation for `Autodiff` records the backward pass. Backward states hold
//! the tensors themselves, so no operation of burn is ever recomputed.

mod attention;
mod buffer;
mod convolution;
mod depthwise;
mod features;
mod linear;
mod loss;
mod normalization;
mod optimize;
mod panels;
mod values;

pub use attention::AttentionOps;
pub use convolution::{ConvolutionOps, ConvolutionSpec, Reading};
pub use depthwise::DepthwiseOps;
pub use features::FeatureOps;
pub use linear::LinearOps;
pub use loss::LossOps;
pub use normalization::NormalizationOps;
pub use optimize::OptimizeOps;
pub use panels::release_panels;

use burn::backend::Autodiff;
use burn::backend::Backend;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use std::fmt::Debug;
use std::marker::PhantomData;

/// The backward pass of an operation of `N` tensors.
trait Differentiate<B: Backend, const N: usize>: Debug + Send + 'static {
    /// What the forward pass leaves for it.
    type Saved: Clone + Send + Debug + 'static;

    /// The gradients of the tensors that `wanted` names.
    fn gradients(
        saved: Self::Saved,
        gradient: FloatTensor<B>,
        wanted: [bool; N],
    ) -> [Option<FloatTensor<B>>; N];
}

#[derive(Debug)]
struct Step<D>(PhantomData<D>);

impl<B: Backend, D: Differentiate<B, N> + Sync, const N: usize> Backward<B, N> for Step<D> {
    type State = D::Saved;

    fn backward(self, ops: Ops<Self::State, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let values = D::gradients(ops.state, gradient, wanted);
        for (parent, value) in ops.parents.into_iter().zip(values) {
            if let (Some(parent), Some(value)) = (parent, value) {
                gradients.register::<B>(parent.id, value);
            }
        }
    }
}

/// The output of an operation, with its backward pass recorded if any of `nodes` needs it.
fn record<B, C, D, const N: usize>(
    nodes: [NodeGuard; N],
    output: FloatTensor<B>,
    saved: impl FnOnce() -> D::Saved,
) -> FloatTensor<Autodiff<B, C>>
where
    B: Backend,
    C: CheckpointStrategy,
    D: Differentiate<B, N> + Sync,
{
    let step = Step::<D>(PhantomData);
    match step.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(saved(), output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}
