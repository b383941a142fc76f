//! Softmax attention and its gradients, without ever holding all scores.
//!
//! Tensors are `[batch, tokens, heads, head_dim]`. A thread takes a block of queries and computes
//! their scores against all keys they see, as `[keys, queries]`: the queries of a block lie along
//! the vector registers, so maxima and sums over the keys need no horizontal steps. The forward
//! pass keeps the logarithm of each query's sum of exponentials (`[batch, heads, queries]`), from
//! which the backward pass computes the probabilities again.

mod backward;
mod by_block;
mod by_head;
mod forward;
mod products;
pub mod reference;
mod shape;
mod softmax_gradient;
#[cfg(test)]
mod tests;

pub use backward::backward;
pub use forward::forward;
pub use shape::AttentionShape;

/// Queries, keys and values.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    pub query: &'a [f32],
    pub key: &'a [f32],
    pub value: &'a [f32],
}

/// What the forward pass leaves for the backward pass.
#[derive(Clone, Copy, Debug)]
pub struct Saved<'a> {
    pub output: &'a [f32],
    /// `[batch, heads, queries]`
    pub logsumexp: &'a [f32],
}

/// Where the backward pass writes.
#[derive(Debug)]
pub struct Gradients<'a> {
    pub query: &'a mut [f32],
    pub key: &'a mut [f32],
    pub value: &'a mut [f32],
}
