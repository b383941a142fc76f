//! Codes without a codebook: whole numbers with one digit per dimension of the vector.

use burn::tensor::{Device, Int, Tensor};

/// How many values the digit of each dimension takes, and what one step of it is worth in the code.
#[derive(Debug, Clone)]
pub(super) struct Digits {
    pub levels: Vec<usize>,
    places: Vec<usize>,
}

impl Digits {
    /// The first dimension is the lowest digit.
    pub(super) fn lowest_first(levels: Vec<usize>) -> Self {
        let places = places(levels.iter());
        Self { levels, places }
    }

    /// The first dimension is the highest digit.
    pub(super) fn highest_first(levels: Vec<usize>) -> Self {
        let mut places = places(levels.iter().rev());
        places.reverse();
        Self { levels, places }
    }

    /// Digits `[b, h, w, d]`, whole numbers from 0, to codes `[b, h, w]`.
    pub(super) fn join(&self, digits: Tensor<4>) -> Tensor<3, Int> {
        let [batch, height, width, _] = digits.dims();
        let digits = digits.without_autodiff();
        let places: Vec<f32> = self.places.iter().map(|&place| place as f32).collect();
        let places = row(&places, &digits.device());
        // No code is above 2^20, so sums in f32 are exact.
        let codes = (digits * places).sum_dim(3);
        codes.reshape([batch, height, width]).int()
    }

    /// Codes `[b, h, w]` to digits `[b, h, w, d]`.
    pub(super) fn split(&self, codes: Tensor<3, Int>) -> Tensor<4> {
        let [batch, height, width] = codes.dims();
        let codes = codes.reshape([batch, height, width, 1]);
        let digit = |(&level, &place): (&usize, &usize)| {
            let above = codes.clone().div_scalar(place as i64);
            above.remainder_scalar(level as i64).float()
        };
        let digits: Vec<Tensor<4>> = self.levels.iter().zip(&self.places).map(digit).collect();
        Tensor::cat(digits, 3)
    }
}

/// The product of the levels before each one.
fn places<'a>(levels: impl Iterator<Item = &'a usize>) -> Vec<usize> {
    let mut product = 1;
    let mut places = Vec::new();
    for level in levels {
        places.push(product);
        product *= level;
    }
    places
}

/// One number per dimension, `[1, 1, 1, d]`, to be combined with vectors `[b, h, w, d]`.
pub(super) fn row(values: &[f32], device: &Device) -> Tensor<4> {
    Tensor::<1>::from_floats(values, device).reshape([1, 1, 1, values.len()])
}
