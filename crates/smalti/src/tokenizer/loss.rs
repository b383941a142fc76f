//! The losses of stage 1 (`VQLPIPSWithDiscriminator` of taming/modules/losses/vqperceptual.py).

use super::perceptual::Lpips;
use crate::ops;
use burn::tensor::Tensor;

/// The reconstruction loss and its parts, each `[1]`.
pub struct ReconstructionLoss {
    /// The weighted sum: the authors' `nll_loss` and `rec_loss`.
    pub total: Tensor<1>,
    /// Mean absolute difference of pixels in [-1, 1], before its weight; of label maps the binary cross-entropy.
    pub pixel: Tensor<1>,
    /// Mean LPIPS, before its weight.
    pub perceptual: Option<Tensor<1>>,
}

impl ReconstructionLoss {
    /// Where the cross-entropy of label maps is all there is.
    pub fn of_label_maps(cross_entropy: Tensor<1>) -> Self {
        Self {
            total: cross_entropy.clone(),
            pixel: cross_entropy,
            perceptual: None,
        }
    }
}

/// How much the parts of the reconstruction loss count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReconstructionWeights {
    /// Of |x − x̂|.
    pub l1: f32,
    /// Of (x − x̂)².
    pub l2: f32,
    pub perceptual: f32,
}

/// l1·|x − x̂| + l2·(x − x̂)² + perceptual·LPIPS(x, x̂), averaged over the batch. A weight of 0 leaves its part out.
pub fn reconstruction_loss(
    pixels: Tensor<4>,
    reconstruction: Tensor<4>,
    lpips: Option<&Lpips>,
    weights: ReconstructionWeights,
) -> ReconstructionLoss {
    let difference = pixels.clone() - reconstruction.clone();
    let pixel = difference.clone().abs().mean();
    let mut total = pixel.clone() * weights.l1;
    if weights.l2 != 0.0 {
        total = total + difference.square().mean() * weights.l2;
    }
    let perceptual = lpips
        .filter(|_| weights.perceptual != 0.0)
        .map(|lpips| lpips.distance(pixels, reconstruction).mean());
    if let Some(perceptual) = &perceptual {
        total = total + perceptual.clone() * weights.perceptual;
    }
    ReconstructionLoss {
        total,
        pixel,
        perceptual,
    }
}

/// The adaptive weight λ (paper, equation 7): by how much the adversarial gradient is scaled so that, at the decoder's
/// last layer, it is as long as the reconstruction gradient. Not limited yet.
pub fn adaptive_weight(reconstruction_gradient: Tensor<4>, adversarial_gradient: Tensor<4>) -> f32 {
    let norm = |gradient: Tensor<4>| -> f32 { gradient.square().sum().sqrt().into_scalar() };
    norm(reconstruction_gradient) / (norm(adversarial_gradient) + 1e-4)
}

/// The reconstruction loss of tokenizers of label maps: binary cross-entropy of logits `[b, h, w, labels]` against
/// one-hot maps, averaged over all elements, `[1]` (`BCELossWithQuant` of taming/modules/losses/segmentation.py).
pub fn label_map_loss(labels: Tensor<4>, logits: Tensor<4>) -> Tensor<1> {
    // max(x, 0) − x·y + log(1 + e^−|x|) never overflows.
    let tail = logits.clone().abs().neg().exp().log1p();
    (ops::relu(logits.clone()) - logits * labels + tail).mean()
}
