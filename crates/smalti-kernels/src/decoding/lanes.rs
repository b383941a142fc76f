//! Arithmetic on all outputs of a panel at once.

use super::panel::{Panel, multiply_panel};
use super::step::{PANEL, Step};
use crate::element::{Element, bf16};

/// An instruction set. A value of an implementing type proves that the processor has it, so the
/// methods are safe; they must be inlined into a function that is compiled for it.
pub(super) trait Lanes: Copy + Send + Sync {
    /// One number for each output.
    type Numbers: Copy;

    /// Most rows whose sums fit into the registers.
    const ROWS: usize;

    /// The same number for every output.
    fn splat(self, value: f32) -> Self::Numbers;

    fn load(self, source: &[f32; PANEL]) -> Self::Numbers;

    fn load_bf16(self, source: &[bf16; PANEL]) -> Self::Numbers;

    fn load_i8(self, source: &[i8; PANEL]) -> Self::Numbers;

    /// The lower four bits of each byte, less 8.
    fn load_lower_halves(self, source: &[u8; PANEL]) -> Self::Numbers;

    /// The upper four bits of each byte, less 8.
    fn load_upper_halves(self, source: &[u8; PANEL]) -> Self::Numbers;

    /// `left * right + sum`
    fn multiply_add(
        self,
        left: Self::Numbers,
        right: Self::Numbers,
        sum: Self::Numbers,
    ) -> Self::Numbers;

    fn store(self, numbers: Self::Numbers, target: &mut [f32; PANEL]);

    /// [`multiply_panel`] compiled for the instruction set, for as many rows as `products` has
    /// room for.
    fn multiply<S: Step>(self, panel: Panel<'_, S>, columns: &[f32], products: &mut [f32]);
}

/// Any processor: the compiler makes of it what it can.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Lanes for Portable {
    type Numbers = [f32; PANEL];
    const ROWS: usize = 1;

    #[inline(always)]
    fn splat(self, value: f32) -> [f32; PANEL] {
        [value; PANEL]
    }

    #[inline(always)]
    fn load(self, source: &[f32; PANEL]) -> [f32; PANEL] {
        *source
    }

    #[inline(always)]
    fn load_bf16(self, source: &[bf16; PANEL]) -> [f32; PANEL] {
        source.map(Element::to_f32)
    }

    #[inline(always)]
    fn load_i8(self, source: &[i8; PANEL]) -> [f32; PANEL] {
        source.map(f32::from)
    }

    #[inline(always)]
    fn load_lower_halves(self, source: &[u8; PANEL]) -> [f32; PANEL] {
        source.map(|byte| f32::from(byte & 0x0f) - 8.0)
    }

    #[inline(always)]
    fn load_upper_halves(self, source: &[u8; PANEL]) -> [f32; PANEL] {
        source.map(|byte| f32::from(byte >> 4) - 8.0)
    }

    #[inline(always)]
    fn multiply_add(
        self,
        left: [f32; PANEL],
        right: [f32; PANEL],
        mut sum: [f32; PANEL],
    ) -> [f32; PANEL] {
        for (sum, (left, right)) in sum.iter_mut().zip(left.iter().zip(&right)) {
            *sum += left * right;
        }
        sum
    }

    #[inline(always)]
    fn store(self, numbers: [f32; PANEL], target: &mut [f32; PANEL]) {
        *target = numbers;
    }

    fn multiply<S: Step>(self, panel: Panel<'_, S>, columns: &[f32], products: &mut [f32]) {
        multiply_panel::<Portable, S, 1, false>(self, panel, columns, products);
    }
}
