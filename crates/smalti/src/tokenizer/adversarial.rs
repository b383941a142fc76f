//! TEMPORARY
use super::discriminator::Discriminator;
use crate::checkpoint::TensorMap;
use crate::ops;
use burn::tensor::{Tensor, activation::softplus};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdversarialLoss {
    Hinge,
    Vanilla,
    NonSaturating,
}
pub struct DiscriminatorLoss {
    pub total: Tensor<1>,
    pub logits_real: Tensor<1>,
    pub logits_fake: Tensor<1>,
    pub accuracy: Tensor<1>,
}
pub fn generator_loss(_l: AdversarialLoss, logits_fake: Tensor<4>) -> Tensor<1> {
    logits_fake.mean().neg()
}
pub fn discriminator_loss(
    loss: AdversarialLoss,
    real: Tensor<4>,
    fake: Tensor<4>,
) -> DiscriminatorLoss {
    let total = match loss {
        AdversarialLoss::Hinge => {
            ops::relu(real.clone().neg() + 1.0).mean() + ops::relu(fake.clone() + 1.0).mean()
        }
        _ => softplus(real.clone().neg(), 1.0).mean() + softplus(fake.clone(), 1.0).mean(),
    };
    let accuracy = (real.clone().greater_elem(0.0).float().mean()
        + fake.clone().lower_elem(0.0).float().mean())
        * 0.5;
    DiscriminatorLoss {
        total: total * 0.5,
        logits_real: real.mean(),
        logits_fake: fake.mean(),
        accuracy,
    }
}
#[derive(Debug, Clone, Copy, Default)]
pub struct LeCam {
    r: f32,
    f: f32,
}
impl LeCam {
    pub fn penalty(&self, real: Tensor<1>, fake: Tensor<1>) -> Tensor<1> {
        ops_relu(real - self.f).square() + ops_relu(fake.neg() + self.r).square()
    }
    pub fn update(&mut self, r: f32, f: f32) {
        self.r = 0.999 * self.r + 0.001 * r;
        self.f = 0.999 * self.f + 0.001 * f;
    }
    pub fn state(&self, _p: &str) -> TensorMap {
        TensorMap::new()
    }
    pub fn load(&mut self, _s: &TensorMap, _p: &str) {}
}
fn ops_relu(t: Tensor<1>) -> Tensor<1> {
    t.clamp_min(0.0)
}
pub fn r1_penalty(_d: &Discriminator, _real: Tensor<4>) -> (f32, Tensor<1>) {
    unimplemented!()
}
