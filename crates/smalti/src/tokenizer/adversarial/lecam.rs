//! LeCAM: holds the discriminator's logits to where those of the other side have been on average, so that it does not
//! run away with little data (Tseng et al., "Regularizing generative adversarial networks under limited data", 2021).

use super::Logits;
use crate::checkpoint::{HostTensor, TensorMap};
use crate::error::{Error, Result};
use crate::ops;
use burn::tensor::Tensor;

/// Moving averages of the mean logits of real and of reconstructed pictures.
///
/// The averages are free of the zero they start from, as in the paper's code: after one step they are that step's
/// logits, not a thousandth of them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LeCam {
    real: f32,
    fake: f32,
    /// How much of the averages is data: 0 at first, 1 in the end.
    weight: f32,
}

impl LeCam {
    /// What is kept of the averages in every step; Open-MAGVIT2's and TiTok's value.
    pub const DECAY: f32 = 0.999;

    /// Counts the mean logits of a step. Comes before the step's penalty.
    pub fn update(&mut self, real: f32, fake: f32) {
        let rate = 1.0 - Self::DECAY;
        self.real += rate * (real - self.real);
        self.fake += rate * (fake - self.fake);
        self.weight += rate * (1.0 - self.weight);
    }

    /// mean relu(real − average fake)² + mean relu(average real − fake)², `[1]`, before its weight; 0 until there are
    /// averages.
    ///
    /// As in the paper, every logit is compared and squared by itself. TiTok compares the mean logits, which leaves out
    /// how far they spread.
    pub fn penalty(&self, logits: &Logits) -> Tensor<1> {
        let Some([real, fake]) = self.averages() else {
            return Tensor::zeros([1], &logits.real.device());
        };
        let above = ops::relu(logits.real.clone() - fake);
        let below = ops::relu(logits.fake.clone().neg() + real);
        above.square().mean() + below.square().mean()
    }

    /// The averages of real and fake, once there are any.
    pub fn averages(&self) -> Option<[f32; 2]> {
        (self.weight > 0.0).then(|| [self.real / self.weight, self.fake / self.weight])
    }

    /// The state as the named tensor `{prefix}averages`.
    pub fn state(&self, prefix: &str) -> TensorMap {
        let values = vec![self.real, self.fake, self.weight];
        TensorMap::from([(format!("{prefix}averages"), HostTensor::f32([3], values))])
    }

    /// Takes up a state written by [`LeCam::state`]. A training that has had no LeCAM so far starts it afresh.
    ///
    /// # Errors
    /// Values that cannot be such averages.
    pub fn load(&mut self, tensors: &TensorMap, prefix: &str) -> Result<()> {
        let key = format!("{prefix}averages");
        let Some(tensor) = tensors.get(&key) else {
            *self = Self::default();
            return Ok(());
        };
        match tensor.as_f32() {
            Some(&[real, fake, weight])
                if real.is_finite() && fake.is_finite() && (0.0..=1.0).contains(&weight) =>
            {
                *self = Self { real, fake, weight };
                Ok(())
            }
            _ => Err(Error::input(format!(
                "`{key}` of the training state must be two finite averages and a weight from 0 to 1"
            ))),
        }
    }
}
