//! New numbers for the codes that are used, where others never are: a prior then has no vocabulary it does not need
//! (`remap` and `unknown_index` of `VectorQuantizer2`, taming/modules/vqvae/quantize.py).

use super::config::TokenizerConfig;
use crate::checkpoint::{host_codes, host_values};
use crate::error::{Error, Result};
use crate::initializer::Initializer;
use burn::module::{Module, Param};
use burn::tensor::{Int, Shape, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// What becomes of a code that has no new number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownCode {
    /// One of the used codes, at random.
    #[default]
    Random,
    /// A number of its own, the one after the last; it is decoded as the first used code.
    Extra,
}

/// The list of used codes.
#[derive(Module, Debug)]
pub struct Remap {
    /// The old number of each new one, `[used_codes]`.
    pub used: Param<Tensor<1>>,
    #[module(skip)]
    unknown: UnknownCode,
}

impl Remap {
    /// A list to be filled, if `config` has one: the first codes keep their numbers.
    pub fn new(init: &Initializer, config: &TokenizerConfig) -> Option<Self> {
        (config.used_codes > 0).then(|| Self {
            used: init.counting(config.used_codes).set_require_grad(false),
            unknown: config.unknown_code,
        })
    }

    /// Refuses a list that names what is no code: files come from strangers.
    ///
    /// # Errors
    /// A number that is not whole, or not below `codebook_size`.
    pub fn check(&self, codebook_size: usize) -> Result<()> {
        let is_code =
            |number: &f32| number.fract() == 0.0 && (0.0..codebook_size as f32).contains(number);
        match host_values(self.used.val())
            .iter()
            .find(|number| !is_code(number))
        {
            Some(wrong) => Err(Error::input(format!(
                "the list of used codes names {wrong}, which is none of {codebook_size} codes"
            ))),
            None => Ok(()),
        }
    }

    /// New numbers for codes `[b, h, w]`.
    pub fn to_used(&self, codes: Tensor<3, Int>) -> Tensor<3, Int> {
        let used = self.used_codes();
        let largest = used.iter().copied().max().unwrap_or(0);
        let mut numbers = vec![None; largest + 1];
        for (number, &code) in used.iter().enumerate() {
            numbers[code] = Some(number as i64);
        }
        // The same picture has the same codes, whatever was encoded before.
        let mut random = ChaCha8Rng::seed_from_u64(0);
        self.replace(codes, |code| {
            let number = usize::try_from(code)
                .ok()
                .and_then(|code| *numbers.get(code)?);
            number.unwrap_or_else(|| match self.unknown {
                UnknownCode::Random => random.random_range(0..used.len() as i64),
                UnknownCode::Extra => used.len() as i64,
            })
        })
    }

    /// The codebook's numbers of codes `[b, h, w]`.
    pub fn to_codebook(&self, codes: Tensor<3, Int>) -> Tensor<3, Int> {
        let used = self.used_codes();
        self.replace(codes, |number| {
            let code = usize::try_from(number)
                .ok()
                .and_then(|number| used.get(number));
            code.or(used.first()).map_or(0, |&code| code as i64)
        })
    }

    fn used_codes(&self) -> Vec<usize> {
        let numbers = host_values(self.used.val());
        numbers.into_iter().map(|number| number as usize).collect()
    }

    fn replace(
        &self,
        codes: Tensor<3, Int>,
        replacement: impl FnMut(i64) -> i64,
    ) -> Tensor<3, Int> {
        let (shape, device) = (codes.dims(), codes.device());
        let values: Vec<i64> = host_codes(codes).into_iter().map(replacement).collect();
        Tensor::from_data(TensorData::new(values, Shape::from(shape)), &device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn remap(unknown: UnknownCode) -> Remap {
        let values = TensorData::new(vec![7.0f32, 2.0, 5.0], Shape::from([3]));
        Remap {
            used: Param::from_tensor(Tensor::from_data(values, &Device::flex())),
            unknown,
        }
    }

    fn grid(codes: &[i64]) -> Tensor<3, Int> {
        let data = TensorData::new(codes.to_vec(), Shape::from([1, 1, codes.len()]));
        Tensor::from_data(data, &Device::flex())
    }

    #[test]
    fn what_is_no_code_is_refused() {
        remap(UnknownCode::Random).check(8).unwrap();
        for wrong in [f32::NAN, f32::INFINITY, -1.0, 1.5, 8.0, 1e30] {
            let values = TensorData::new(vec![2.0, wrong], Shape::from([2]));
            let remap = Remap {
                used: Param::from_tensor(Tensor::from_data(values, &Device::flex())),
                unknown: UnknownCode::Random,
            };
            assert!(remap.check(8).is_err(), "{wrong}");
        }
    }

    #[test]
    fn used_codes_go_and_come_back() {
        let remap = remap(UnknownCode::Random);
        let new = remap.to_used(grid(&[2, 5, 7, 2]));
        assert_eq!(host_codes(new.clone()), [1, 2, 0, 1]);
        assert_eq!(host_codes(remap.to_codebook(new)), [2, 5, 7, 2]);
    }

    #[test]
    fn unknown_codes_become_what_was_chosen() {
        let extra = remap(UnknownCode::Extra);
        let new = extra.to_used(grid(&[0, 2, 900]));
        assert_eq!(host_codes(new.clone()), [3, 1, 3]);
        assert_eq!(host_codes(extra.to_codebook(new)), [7, 2, 7]);
        let random = remap(UnknownCode::Random);
        let drawn = || host_codes(random.to_used(grid(&[0; 50])));
        assert_eq!(drawn(), drawn());
        assert!(drawn().iter().all(|code| (0..3).contains(code)));
        assert!((0..3).all(|code| drawn().contains(&code)));
    }
}
