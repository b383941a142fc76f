//! The innermost product: one panel of weights with the inputs of a few rows.

use super::lanes::Lanes;
use super::step::{PANEL, STEP, Scales, Step};

/// The weights of [`PANEL`] outputs.
#[derive(Clone, Copy)]
pub(super) struct Panel<'a, S> {
    /// In the order of the inputs.
    pub(super) steps: &'a [S],
    /// One for each block of inputs, or none.
    pub(super) scales: &'a [Scales],
}

impl<S: Step> Panel<'_, S> {
    #[inline(always)]
    fn scale<L: Lanes>(&self, lanes: L, block: usize) -> L::Numbers {
        match self.scales.get(block) {
            Some(scales) => lanes.load_bf16(&scales.0),
            None => lanes.splat(1.0),
        }
    }
}

/// For each input of a step, its value in every row.
type Columns<const ROWS: usize> = [[f32; ROWS]; STEP];

/// Writes the products `[ROWS, PANEL]` of a panel with inputs `[inputs, ROWS]`.
///
/// With `PAIRS` two blocks of inputs are summed at the same time, so that the sums of few rows do
/// not wait for each other. Every sum adds up the same numbers in the same order either way.
#[inline(always)]
pub(super) fn multiply_panel<L: Lanes, S: Step, const ROWS: usize, const PAIRS: bool>(
    lanes: L,
    panel: Panel<'_, S>,
    columns: &[f32],
    products: &mut [f32],
) {
    let block = S::BLOCK / STEP;
    let (columns, _) = columns.as_chunks::<ROWS>();
    let (columns, _) = columns.as_chunks::<STEP>();
    let mut totals = [lanes.splat(0.0); ROWS];
    let steps = panel.steps.chunks(2 * block);
    for (pair, (steps, columns)) in steps.zip(columns.chunks(2 * block)).enumerate() {
        // The last block may be short, or without a second one.
        let (steps, other_steps) = steps.split_at(block.min(steps.len()));
        let (columns, other_columns) = columns.split_at(block.min(columns.len()));
        let mut sums = [lanes.splat(0.0); ROWS];
        let mut other_sums = sums;
        if PAIRS && other_steps.len() == steps.len() {
            let others = other_steps.iter().zip(other_columns);
            for ((step, columns), (other_step, other_columns)) in
                steps.iter().zip(columns).zip(others)
            {
                add_step(lanes, step, columns, &mut sums);
                add_step(lanes, other_step, other_columns, &mut other_sums);
            }
            add_scaled(lanes, &sums, panel.scale(lanes, 2 * pair), &mut totals);
        } else {
            for (step, columns) in steps.iter().zip(columns) {
                add_step(lanes, step, columns, &mut sums);
            }
            add_scaled(lanes, &sums, panel.scale(lanes, 2 * pair), &mut totals);
            for (step, columns) in other_steps.iter().zip(other_columns) {
                add_step(lanes, step, columns, &mut other_sums);
            }
        }
        let scale = panel.scale(lanes, 2 * pair + 1);
        add_scaled(lanes, &other_sums, scale, &mut totals);
    }
    let (products, _) = products.as_chunks_mut::<PANEL>();
    for (products, &total) in products.iter_mut().zip(&totals) {
        lanes.store(total, products);
    }
}

// Written out, not as a loop: the sums must be in registers, whatever the compiler unrolls.
#[inline(always)]
fn add_step<L: Lanes, S: Step, const ROWS: usize>(
    lanes: L,
    step: &S,
    columns: &Columns<ROWS>,
    sums: &mut [L::Numbers; ROWS],
) {
    prefetch(step);
    let [first, second, third, fourth] = columns;
    add_input(lanes, step.input(lanes, 0), first, sums);
    add_input(lanes, step.input(lanes, 1), second, sums);
    add_input(lanes, step.input(lanes, 2), third, sums);
    add_input(lanes, step.input(lanes, 3), fourth, sums);
}

#[inline(always)]
fn add_input<L: Lanes, const ROWS: usize>(
    lanes: L,
    weights: L::Numbers,
    inputs: &[f32; ROWS],
    sums: &mut [L::Numbers; ROWS],
) {
    for (sum, &input) in sums.iter_mut().zip(inputs) {
        *sum = lanes.multiply_add(weights, lanes.splat(input), *sum);
    }
}

#[inline(always)]
fn add_scaled<L: Lanes, const ROWS: usize>(
    lanes: L,
    sums: &[L::Numbers; ROWS],
    scale: L::Numbers,
    totals: &mut [L::Numbers; ROWS],
) {
    for (total, &sum) in totals.iter_mut().zip(sums) {
        *total = lanes.multiply_add(sum, scale, *total);
    }
}

/// Asks for the memory that is read some time after a step.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn prefetch<S>(step: &S) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    /// In bytes: about as much as arrives while memory answers. The processor's own prefetching
    /// stops at every page.
    const AHEAD: usize = 2048;
    /// Bytes of a cache line.
    const LINE: usize = 64;
    let ahead = std::ptr::from_ref(step).cast::<i8>().wrapping_add(AHEAD);
    for line in 0..size_of::<S>() / LINE {
        // SAFETY: every x86-64 processor has the instruction. It is a hint that may name any
        // address, memory of others and none included.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_add(line * LINE)) };
    }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn prefetch<S>(_: &S) {}
