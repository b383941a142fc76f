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

    /// One search per codebook from those of the parts of a batch.
    pub fn join(parts: Vec<Vec<Self>>) -> Vec<Self> {
        let books = parts.first().map_or(0, Vec::len);
        let mut parts: Vec<_> = parts.into_iter().map(Vec::into_iter).collect();
        (0..books)
            .map(|_| {
                let of_book: Vec<Self> = parts.iter_mut().filter_map(Iterator::next).collect();
                let (vectors, codes): (Vec<_>, Vec<_>) = of_book
                    .into_iter()
                    .map(|search| (search.vectors, search.codes))
                    .unzip();
                Self {
                    vectors: Tensor::cat(vectors, 0),
                    codes: Tensor::cat(codes, 0),
                }
            })
            .collect()
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
