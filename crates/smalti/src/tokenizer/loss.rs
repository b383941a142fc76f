//! The reconstruction losses of stage 1 and the weight of the adversarial one (`VQLPIPSWithDiscriminator` of
//! taming/modules/losses/vqperceptual.py); the adversarial losses are in [`super::adversarial`].

use super::perceptual::Lpips;
use crate::ops;
use burn::tensor::Tensor;

/// The reconstruction loss and its parts, each `[1]`.
pub struct ReconstructionLoss {
    /// Mean of absolute difference plus weighted LPIPS: the authors' `nll_loss` and `rec_loss`.
    pub total: Tensor<1>,
    /// Mean absolute difference of pixels in [-1, 1].
    pub pixel: Tensor<1>,
    /// Mean LPIPS, before its weight.
    pub perceptual: Tensor<1>,
}

/// |x − x̂| + weight · LPIPS(x, x̂), averaged over the batch.
pub fn reconstruction_loss(
    pixels: Tensor<4>,
    reconstruction: Tensor<4>,
    perceptual: Option<(&Lpips, f32)>,
) -> ReconstructionLoss {
    let pixel = (pixels.clone() - reconstruction.clone()).abs().mean();
    match perceptual {
        Some((lpips, weight)) => {
            let perceptual = lpips.distance(pixels, reconstruction).mean();
            ReconstructionLoss {
                total: pixel.clone() + perceptual.clone() * weight,
                pixel,
                perceptual,
            }
        }
        None => ReconstructionLoss {
            total: pixel.clone(),
            perceptual: pixel.zeros_like().detach(),
            pixel,
        },
    }
}

/// The adaptive weight λ (paper, equation 7): by how much the adversarial gradient is scaled so that, at the decoder's
/// last layer, it is as long as the reconstruction gradient; at most 1e4.
pub fn adaptive_weight(reconstruction_gradient: Tensor<4>, adversarial_gradient: Tensor<4>) -> f32 {
    let norm = |gradient: Tensor<4>| -> f32 { gradient.square().sum().sqrt().into_scalar() };
    (norm(reconstruction_gradient) / (norm(adversarial_gradient) + 1e-4)).clamp(0.0, 1e4)
}

/// The reconstruction loss of tokenizers of label maps: binary cross-entropy of logits `[b, h, w, labels]` against
/// one-hot maps, averaged over all elements, `[1]` (`BCELossWithQuant` of taming/modules/losses/segmentation.py).
pub fn label_map_loss(labels: Tensor<4>, logits: Tensor<4>) -> Tensor<1> {
    // max(x, 0) − x·y + log(1 + e^−|x|) never overflows.
    let tail = logits.clone().abs().neg().exp().log1p();
    (ops::relu(logits.clone()) - logits * labels + tail).mean()
}
