//! The adversarial side of stage 1: what discriminator and generator want of the logits (`VQLPIPSWithDiscriminator` of
//! taming/modules/losses/vqperceptual.py), and two regularisers of the discriminator.

mod lecam;
mod r1;
#[cfg(test)]
mod tests;

pub use lecam::LeCam;
pub use r1::{R1Penalty, r1_penalty};

use crate::ops;
use burn::tensor::{Tensor, activation::softplus};
use serde::{Deserialize, Serialize};

/// The game between the networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdversarialLoss {
    /// Logits are pushed beyond ±1 and no further; half the sum of both sides.
    Hinge,
    /// Cross-entropy, half the sum of both sides. The generator's loss is linear in the logits, as with the hinge: the
    /// authors' choice.
    Vanilla,
    /// Cross-entropy for both networks, as in StyleGAN: the sum of both sides, without the half.
    NonSaturating,
}

/// Logits `[b, h, w, 1]` of real and of reconstructed pictures. The two go through the discriminator apart, so that
/// each has its own batch statistics.
#[derive(Debug, Clone)]
pub struct Logits {
    pub real: Tensor<4>,
    pub fake: Tensor<4>,
}

/// The discriminator's loss and what it is like, each `[1]`.
pub struct DiscriminatorLoss {
    pub total: Tensor<1>,
    /// Mean logits.
    pub logits_real: Tensor<1>,
    pub logits_fake: Tensor<1>,
    /// The share of logits on the right side of 0, real and fake counting half each; a half is guesswork. Constant.
    pub accuracy: Tensor<1>,
}

/// What the generator wants of the discriminator's logits for its pictures, `[1]`.
pub fn generator_loss(loss: AdversarialLoss, logits_fake: Tensor<4>) -> Tensor<1> {
    match loss {
        AdversarialLoss::Hinge | AdversarialLoss::Vanilla => logits_fake.mean().neg(),
        AdversarialLoss::NonSaturating => softplus(logits_fake.neg(), 1.0).mean(),
    }
}

/// What the discriminator wants of its own.
pub fn discriminator_loss(loss: AdversarialLoss, logits: &Logits) -> DiscriminatorLoss {
    let (real, fake) = (logits.real.clone(), logits.fake.clone());
    let total = match loss {
        AdversarialLoss::Hinge => {
            (ops::relu(real.neg() + 1.0).mean() + ops::relu(fake + 1.0).mean()) * 0.5
        }
        AdversarialLoss::Vanilla => cross_entropy(real, fake) * 0.5,
        AdversarialLoss::NonSaturating => cross_entropy(real, fake),
    };
    DiscriminatorLoss {
        total,
        logits_real: logits.real.clone().mean(),
        logits_fake: logits.fake.clone().mean(),
        accuracy: accuracy(logits),
    }
}

/// −log sigmoid(real) − log(1 − sigmoid(fake)), each averaged.
fn cross_entropy(real: Tensor<4>, fake: Tensor<4>) -> Tensor<1> {
    softplus(real.neg(), 1.0).mean() + softplus(fake, 1.0).mean()
}

fn accuracy(logits: &Logits) -> Tensor<1> {
    let real = logits.real.clone().without_autodiff().greater_elem(0.0);
    let fake = logits.fake.clone().without_autodiff().lower_elem(0.0);
    (real.float().mean() + fake.float().mean()) * 0.5
}
