//! The entropy loss: every vector should be sure of its code, and the batch should use all of them (`entropy_loss` of
//! MaskGIT, Chang et al. 2022, and of MAGVIT-v2, Yu et al. 2024).
//!
//! With p_i the probabilities that vector i gives to the codes and p̄ their mean over n vectors, the loss is the mean
//! of H(p_i) less H(p̄). In one sum it is mean_i Σ_j p_ij·u_ij with u_ij = log p̄_j − log p_ij. Its derivative by the
//! logits a_ij is G_ij = p_ij·(u_ij − Σ_l p_il·u_il) / n, as if u were constant: what comes through log p and log p̄
//! adds up to the change of a sum of probabilities, which is always 1.
//!
//! The logits of −|z − e|²/τ are, up to a constant per row that a softmax does not see, a_ij = s·z_i·e_j − |e_j|²/τ
//! with s = 2/τ; those of the product z·e/τ have s = 1/τ and no second term. So ∂/∂z_i = s·Σ_j G_ij·e_j and
//! ∂/∂e_j = s·(Σ_i G_ij·z_i − e_j·Σ_i G_ij), for the product without the second term.
//!
//! All of it is computed by hand in blocks of vectors, so that the n × k probabilities never exist at once.

use super::rows_at_once;
use burn::tensor::Tensor;
use burn::tensor::activation::{log_softmax, softmax};

/// What a logit is, before it is divided by the temperature.
#[derive(Debug, Clone, Copy)]
pub(super) enum Affinity {
    /// −|z − e|².
    Distance,
    /// z·e.
    Product,
}

/// MaskGIT's.
pub(super) const TEMPERATURE: f32 = 0.01;

/// Probabilities below this are as good as 0, and their logarithm stays finite.
const LEAST: f32 = 1e-30;

/// The loss of `vectors` `[n, d]` among the rows of `codebook` `[k, d]`, `[1]`, with gradients to both.
pub(super) fn entropy_loss(
    vectors: Tensor<2>,
    codebook: Tensor<2>,
    affinity: Affinity,
    temperature: f32,
) -> Tensor<1> {
    let entropy = Entropy::new(codebook.clone(), affinity, temperature);
    let rows = rows_at_once(codebook.dims()[0]);
    let found = entropy.differentiate(vectors.clone().without_autodiff(), rows);
    // Exactly 0, with the slopes as its derivative.
    let pass = |tensor: Tensor<2>, slopes: Tensor<2>| {
        ((tensor.clone() - tensor.without_autodiff()) * slopes).sum()
    };
    pass(vectors, found.by_vectors) + pass(codebook, found.by_codebook) + found.value
}

/// The codes and how vectors are compared with them; without autodiff.
pub(super) struct Entropy {
    codebook: Tensor<2>,
    /// What is taken off the logits, `[1, k]`.
    offset: Tensor<2>,
    /// The factor of the products.
    scale: f32,
    affinity: Affinity,
}

/// The loss `[1]` and its derivatives `[n, d]` and `[k, d]`.
pub(super) struct Differentiated {
    pub value: Tensor<1>,
    pub by_vectors: Tensor<2>,
    pub by_codebook: Tensor<2>,
}

impl Entropy {
    pub(super) fn new(codebook: Tensor<2>, affinity: Affinity, temperature: f32) -> Self {
        let codebook = codebook.without_autodiff();
        let entries = codebook.dims()[0];
        let lengths = codebook.clone().square().sum_dim(1).reshape([1, entries]);
        let (offset, scale) = match affinity {
            Affinity::Distance => (lengths / temperature, 2.0 / temperature),
            Affinity::Product => (lengths.zeros_like(), 1.0 / temperature),
        };
        Self {
            codebook,
            offset,
            scale,
            affinity,
        }
    }

    fn logits(&self, vectors: Tensor<2>) -> Tensor<2> {
        vectors.matmul(self.codebook.clone().transpose()) * self.scale - self.offset.clone()
    }

    /// The loss of all vectors, `rows` of them at a time.
    pub(super) fn differentiate(&self, vectors: Tensor<2>, rows: usize) -> Differentiated {
        let count = vectors.dims()[0] as f32;
        let blocks = vectors.split(rows, 0);
        let log_mean = self.log_mean(&blocks, count);
        let mut value = Tensor::<1>::zeros([1], &self.codebook.device());
        let mut by_vectors = Vec::new();
        let mut by_codebook = self.codebook.zeros_like();
        for block in blocks {
            let logarithms = log_softmax(self.logits(block.clone()), 1);
            let probabilities = logarithms.clone().exp();
            let weighted = probabilities.clone() * (log_mean.clone() - logarithms);
            let sums = weighted.clone().sum_dim(1);
            value = value + sums.clone().sum();
            let slopes = (weighted - probabilities * sums) * (self.scale / count);
            by_codebook = by_codebook + self.pull(&slopes, block);
            by_vectors.push(slopes.matmul(self.codebook.clone()));
        }
        Differentiated {
            value: value / count,
            by_vectors: Tensor::cat(by_vectors, 0),
            by_codebook,
        }
    }

    /// The logarithm of the mean probabilities, `[1, k]`.
    fn log_mean(&self, blocks: &[Tensor<2>], count: f32) -> Tensor<2> {
        let mut sum = self.offset.zeros_like();
        for block in blocks {
            sum = sum + softmax(self.logits(block.clone()), 1).sum_dim(0);
        }
        (sum / count).clamp_min(LEAST).log()
    }

    /// What `slopes` `[rows, k]` of the products do to the codebook.
    fn pull(&self, slopes: &Tensor<2>, vectors: Tensor<2>) -> Tensor<2> {
        let by_products = slopes.clone().transpose().matmul(vectors);
        match self.affinity {
            Affinity::Distance => {
                let sums = slopes.clone().sum_dim(0).transpose();
                by_products - self.codebook.clone() * sums
            }
            Affinity::Product => by_products,
        }
    }
}
