//! A step: the weights of all outputs of a panel for a few inputs, in one of the formats.

use super::lanes::Lanes;
use crate::element::{Element, bf16};

/// Outputs of a panel. They lie along the vector registers, so that sums over inputs need no
/// horizontal steps.
pub(super) const PANEL: usize = 32;

/// Inputs of a step: so many that a step fills whole cache lines in every format.
pub(super) const STEP: usize = 4;

/// A value that starts on a cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line<T>(pub(super) T);

/// For each output of a panel, the factor of a block of weights.
pub(super) type Scales = Line<[bf16; PANEL]>;

/// Weights `[STEP, PANEL]`. Those of an output for [`Step::BLOCK`] consecutive inputs have a scale
/// in common; what a step holds is multiplied by it.
pub(super) trait Step: Copy + Send + Sync {
    /// No weights at all.
    const ZERO: Self;

    /// Inputs with a common scale. Their products are added up before they are scaled.
    const BLOCK: usize;

    /// Whether there are scales; without them all are one.
    const SCALED: bool;

    /// The scale of a block of weights of one output.
    fn scale(weights: &[f32]) -> f32;

    /// Stores the quotient of a weight and its scale.
    fn set(&mut self, input: usize, output: usize, quotient: f32);

    /// What was stored, rounded.
    fn get(&self, input: usize, output: usize) -> f32;

    /// What was stored for all outputs.
    fn input<L: Lanes>(&self, lanes: L, input: usize) -> L::Numbers;
}

pub(super) type F32Step = Line<[[f32; PANEL]; STEP]>;
pub(super) type Bf16Step = Line<[[bf16; PANEL]; STEP]>;
pub(super) type Int8Step = Line<[[i8; PANEL]; STEP]>;

/// Each byte has an even input in its lower half and the next input in its upper half, both as
/// whole numbers from 0 to 15 that stand for -8 to 7.
pub(super) type Int4Step = Line<[[u8; PANEL]; STEP / 2]>;

impl Step for F32Step {
    const ZERO: Self = Line([[0.0; PANEL]; STEP]);
    const BLOCK: usize = 64;
    const SCALED: bool = false;

    fn scale(_: &[f32]) -> f32 {
        1.0
    }

    fn set(&mut self, input: usize, output: usize, quotient: f32) {
        self.0[input][output] = quotient;
    }

    fn get(&self, input: usize, output: usize) -> f32 {
        self.0[input][output]
    }

    #[inline(always)]
    fn input<L: Lanes>(&self, lanes: L, input: usize) -> L::Numbers {
        lanes.load(&self.0[input])
    }
}

impl Step for Bf16Step {
    const ZERO: Self = Line([[bf16::ZERO; PANEL]; STEP]);
    const BLOCK: usize = 64;
    const SCALED: bool = false;

    fn scale(_: &[f32]) -> f32 {
        1.0
    }

    fn set(&mut self, input: usize, output: usize, quotient: f32) {
        self.0[input][output] = bf16::from_f32(quotient);
    }

    fn get(&self, input: usize, output: usize) -> f32 {
        Element::to_f32(self.0[input][output])
    }

    #[inline(always)]
    fn input<L: Lanes>(&self, lanes: L, input: usize) -> L::Numbers {
        lanes.load_bf16(&self.0[input])
    }
}

impl Step for Int8Step {
    const ZERO: Self = Line([[0; PANEL]; STEP]);
    const BLOCK: usize = 64;
    const SCALED: bool = true;

    fn scale(weights: &[f32]) -> f32 {
        extreme(weights).abs() / 127.0
    }

    fn set(&mut self, input: usize, output: usize, quotient: f32) {
        self.0[input][output] = quotient.round().clamp(-127.0, 127.0) as i8;
    }

    fn get(&self, input: usize, output: usize) -> f32 {
        f32::from(self.0[input][output])
    }

    #[inline(always)]
    fn input<L: Lanes>(&self, lanes: L, input: usize) -> L::Numbers {
        lanes.load_i8(&self.0[input])
    }
}

impl Step for Int4Step {
    const ZERO: Self = Line([[0x88; PANEL]; STEP / 2]);
    const BLOCK: usize = 32;
    const SCALED: bool = true;

    // The largest weight, whatever its sign, becomes -8: all sixteen numbers are used, and the
    // steps between them are smaller than with seven on each side.
    fn scale(weights: &[f32]) -> f32 {
        extreme(weights) / -8.0
    }

    fn set(&mut self, input: usize, output: usize, quotient: f32) {
        let number = (quotient.round().clamp(-8.0, 7.0) + 8.0) as u8;
        let byte = &mut self.0[input / 2][output];
        *byte = match input % 2 {
            0 => (*byte & 0xf0) | number,
            _ => (*byte & 0x0f) | (number << 4),
        };
    }

    fn get(&self, input: usize, output: usize) -> f32 {
        let byte = self.0[input / 2][output];
        let number = match input % 2 {
            0 => byte & 0x0f,
            _ => byte >> 4,
        };
        f32::from(number) - 8.0
    }

    #[inline(always)]
    fn input<L: Lanes>(&self, lanes: L, input: usize) -> L::Numbers {
        let bytes = &self.0[input / 2];
        match input % 2 {
            0 => lanes.load_lower_halves(bytes),
            _ => lanes.load_upper_halves(bytes),
        }
    }
}

/// The weight of the largest magnitude.
fn extreme(weights: &[f32]) -> f32 {
    let larger = |extreme: f32, &weight: &f32| {
        if weight.abs() > extreme.abs() {
            weight
        } else {
            extreme
        }
    };
    weights.iter().fold(0.0, larger)
}
