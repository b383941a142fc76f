//! What the upkeep of a codebook needs of a quantiser: its rows, and what was searched for in them.

use super::EmbeddingEma;
use burn::module::Param;
use burn::tensor::{Int, Tensor};

/// The vectors of one step and the codes found for them, outside the gradient graph.
pub struct Search {
    /// `[n, d]`, as they were compared.
    pub vectors: Tensor<2>,
    /// `[n]`.
    pub codes: Tensor<1, Int>,
}

impl Search {
    pub(super) fn new(vectors: Tensor<2>, codes: Tensor<1, Int>) -> Self {
        Self {
            vectors: vectors.without_autodiff(),
            codes: codes.without_autodiff(),
        }
    }
}

/// A codebook that a training may rewrite.
pub struct Codebook<'a> {
    /// Where its rows are: a parameter that follows a gradient, or averages of the vectors.
    pub rows: Rows<'a>,
    /// Whether codes are compared by direction, so that rows have length 1.
    pub unit_length: bool,
    /// The path of the rows below the quantiser, by which the optimiser knows them.
    pub path: String,
}

/// The rows `[k, d]` of a codebook.
pub enum Rows<'a> {
    Learned(&'a mut Param<Tensor<2>>),
    Averaged(&'a mut EmbeddingEma),
}
