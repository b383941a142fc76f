//! Elementary functions and sums, written so that loops around them vectorise.
//!
//! All are branch-free and `#[inline(always)]`: inside a loop compiled for a vector instruction
//! set they become vector code. Nothing here fuses operations, so results do not depend on that
//! set.

use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, LOG2_E};

/// Beyond this magnitude the exponential would leave the range of normal numbers.
const EXP_LIMIT: f32 = 87.0;

/// Adding and subtracting one and a half times 2^23 rounds to the nearest integer.
const ROUNDING: f32 = 12_582_912.0;

/// ln 2 in two parts; the first is short enough that its multiples by small integers are exact.
const LN_2_HIGH: f32 = 355.0 / 512.0;
const LN_2_LOW: f32 = -0.000_212_194_44;

/// Near-minimax coefficients of `(exp(r) - 1 - r) / r^2` on half a binary order around zero.
const EXP_COEFFICIENTS: [f32; 5] = [
    0.499_999_94,
    0.166_665_21,
    0.041_668_39,
    0.008_368_745,
    0.001_381_453_9,
];

/// Near-minimax rational approximation of `erf(x) / x` in `x^2` for `|x| <= 4`.
const ERF_NUMERATOR: [f32; 6] = [
    FRAC_2_SQRT_PI,
    0.194_965_23,
    0.053_293_716,
    0.003_946_233_5,
    0.000_286_325_73,
    0.000_001_979_887_2,
];
const ERF_DENOMINATOR: [f32; 6] = [
    1.0,
    0.506_115_4,
    0.115_941_34,
    0.015_331_66,
    0.001_201_537_9,
    0.000_037_441_88,
];

/// Number of running sums a long sum is spread over.
const LANES: usize = 16;

/// Exponential within 1e-7 relative error; 0 below -87 and constant above 87. NaN stays NaN.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let value = exp_above_zero(x);
    if x < -EXP_LIMIT { 0.0 } else { value }
}

/// [`exp`], but constant below -87 too. What is added to one there leaves one as it is.
#[inline(always)]
fn exp_above_zero(x: f32) -> f32 {
    let limited = x.clamp(-EXP_LIMIT, EXP_LIMIT);
    let shifted = limited * LOG2_E + ROUNDING;
    let halvings = shifted - ROUNDING;
    let rest = (limited - halvings * LN_2_HIGH) - halvings * LN_2_LOW;
    let near_one = 1.0 + (rest + rest * rest * polynomial(&EXP_COEFFICIENTS, rest));
    // The low bits of `shifted` hold the integer; moved into the exponent they make a power of 2.
    let exponent = shifted.to_bits().wrapping_sub(ROUNDING.to_bits());
    let power = f32::from_bits(exponent.wrapping_add(127) << 23);
    near_one * power
}

/// `1 / (1 + exp(-x))`.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp_above_zero(-x))
}

/// `x * sigmoid(x)`.
#[inline(always)]
pub fn silu(x: f32) -> f32 {
    x / (1.0 + exp_above_zero(-x))
}

/// Derivative of [`silu`].
#[inline(always)]
pub fn silu_derivative(x: f32) -> f32 {
    let sigmoid = sigmoid(x);
    sigmoid * (1.0 + x * (1.0 - sigmoid))
}

/// Error function within 5e-7; exactly one in magnitude from 4 on. NaN stays NaN.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let limited = x.clamp(-4.0, 4.0);
    let square = limited * limited;
    let ratio = polynomial(&ERF_NUMERATOR, square) / polynomial(&ERF_DENOMINATOR, square);
    (limited * ratio).clamp(-1.0, 1.0)
}

/// Distribution function of the standard normal law.
#[inline(always)]
pub fn normal_distribution(x: f32) -> f32 {
    0.5 * (1.0 + erf(x * FRAC_1_SQRT_2))
}

/// Density of the standard normal law.
#[inline(always)]
pub fn normal_density(x: f32) -> f32 {
    const SCALE: f32 = 0.5 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
    SCALE * exp(-0.5 * x * x)
}

/// Sum of `term` over `values`, in an order that depends only on their number.
#[inline(always)]
pub fn sum_by(values: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (blocks, rest) = values.as_chunks::<LANES>();
    for block in blocks {
        for (lane, &value) in lanes.iter_mut().zip(block) {
            *lane += term(value);
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane += term(value);
    }
    fold_lanes(lanes)
}

/// Sum of `term` over pairs of `left` and `right`, in an order that depends only on their number.
#[inline(always)]
pub fn sum_by_pairs(left: &[f32], right: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (left_blocks, left_rest) = left.as_chunks::<LANES>();
    let (right_blocks, right_rest) = right.as_chunks::<LANES>();
    for (left, right) in left_blocks.iter().zip(right_blocks) {
        for (lane, (&left, &right)) in lanes.iter_mut().zip(left.iter().zip(right)) {
            *lane += term(left, right);
        }
    }
    for (lane, (&left, &right)) in lanes.iter_mut().zip(left_rest.iter().zip(right_rest)) {
        *lane += term(left, right);
    }
    fold_lanes(lanes)
}

/// Largest value; negative infinity for an empty slice. NaN is passed over.
#[inline(always)]
pub fn maximum(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (blocks, rest) = values.as_chunks::<LANES>();
    for block in blocks {
        for (lane, &value) in lanes.iter_mut().zip(block) {
            *lane = larger(*lane, value);
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane = larger(*lane, value);
    }
    lanes.into_iter().fold(f32::NEG_INFINITY, larger)
}

/// The larger number, the first one when `candidate` is NaN.
#[inline(always)]
pub fn larger(current: f32, candidate: f32) -> f32 {
    if candidate > current {
        candidate
    } else {
        current
    }
}

#[inline(always)]
fn fold_lanes(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        let (low, high) = lanes.split_at_mut(half);
        for (low, high) in low.iter_mut().zip(high) {
            *low += *high;
        }
        half /= 2;
    }
    lanes[0]
}

#[inline(always)]
fn polynomial<const N: usize>(coefficients: &[f32; N], x: f32) -> f32 {
    let mut value = coefficients[N - 1];
    let mut index = N - 1;
    while index > 0 {
        index -= 1;
        value = value * x + coefficients[index];
    }
    value
}

/// Slow versions in double precision.
pub mod reference {
    /// Error function by its series of positive terms, which loses no digits.
    pub fn erf(x: f64) -> f64 {
        let mut term = x;
        let mut sum = x;
        for n in 1..400 {
            term *= 2.0 * x * x / f64::from(2 * n + 1);
            sum += term;
        }
        std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
    }

    /// `1 / (1 + exp(-x))`.
    pub fn sigmoid(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::values;

    #[test]
    fn exp_is_accurate_over_its_whole_range() {
        for step in 0..=1_740_000 {
            let x = (f64::from(step) * 1e-4 - 87.0) as f32;
            let x = x.clamp(-87.0, 87.0);
            let truth = f64::from(x).exp();
            let error = (f64::from(exp(x)) - truth).abs() / truth;
            assert!(error < 1.1e-7, "exp({x}) is off by {error}");
        }
    }

    #[test]
    fn exp_outside_its_range() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-87.5), 0.0);
        assert_eq!(exp(1e30), exp(87.0));
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn what_vanishes_beside_one_changes_no_bit() {
        let steps = (-2_000_000..=2_000_000).map(|step| step as f32 * 1e-4);
        for x in steps.chain([f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, -0.0]) {
            let below = 1.0 + exp(-x);
            assert_eq!(
                sigmoid(x).to_bits(),
                (1.0 / below).to_bits(),
                "sigmoid({x})"
            );
            assert_eq!(silu(x).to_bits(), (x / below).to_bits(), "silu({x})");
        }
        assert!(silu(f32::NAN).is_nan() && sigmoid(f32::NAN).is_nan());
    }

    #[test]
    fn erf_against_tabulated_values() {
        const TABLE: [(f64, f64); 8] = [
            (0.001, 0.001_128_378_790_969_236_5),
            (0.1, 0.112_462_916_018_284_88),
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (1.5, 0.966_105_146_475_310_6),
            (2.5, 0.999_593_047_982_555),
            (3.5, 0.999_999_256_901_627_7),
            (5.0, 0.999_999_999_998_462_5),
        ];
        for (x, truth) in TABLE {
            assert!((reference::erf(x) - truth).abs() < 1e-13);
            assert!((reference::erf(-x) + truth).abs() < 1e-13);
        }
    }

    #[test]
    fn erf_against_its_series() {
        for step in -6000..=6000 {
            let x = step as f32 * 1e-3;
            let truth = reference::erf(f64::from(x));
            let error = (f64::from(erf(x)) - truth).abs();
            assert!(error < 5e-7, "erf({x}) is off by {error}");
        }
        assert_eq!(erf(-9.0), -1.0);
        assert!(erf(f32::NAN).is_nan());
    }

    #[test]
    fn sums_and_maxima_of_every_short_length() {
        for len in 0..70 {
            let (left, right) = (values(1, len), values(2, len));
            let truth: f64 = left.iter().map(|&v| f64::from(v)).sum();
            assert!((f64::from(sum_by(&left, |v| v)) - truth).abs() < 1e-5);
            let products = left.iter().zip(&right);
            let truth: f64 = products.map(|(&l, &r)| f64::from(l) * f64::from(r)).sum();
            let sum = sum_by_pairs(&left, &right, |l, r| l * r);
            assert!((f64::from(sum) - truth).abs() < 1e-5);
            let truth = left.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(maximum(&left), truth);
        }
    }
}
