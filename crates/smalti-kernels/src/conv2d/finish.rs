//! What happens to sums on their way to the output: bias, residual and activation, while they are still in a cache.

#[cfg(target_arch = "x86_64")]
mod native;

use crate::activation::{Activation, with_activation};
use crate::dispatch::{Isa, vectorised};
use crate::element::Element;
use crate::microkernel::WIDEST_PANEL;
use std::ops::Range;

/// What happens to sums before they are stored.
pub(crate) struct Finish<'a, E> {
    /// Sums per row of a panel.
    pub panel: usize,
    /// Values from one output row to the next.
    pub step: usize,
    /// Zeros where there is none.
    pub bias: [f32; WIDEST_PANEL],
    /// Lies as the target does.
    pub residual: Option<&'a [E]>,
    pub activation: Activation,
}

/// A panel's part of the bias.
pub(crate) fn panel_bias(bias: Option<&[f32]>, columns: Range<usize>) -> [f32; WIDEST_PANEL] {
    let mut values = [0.0; WIDEST_PANEL];
    if let Some(bias) = bias {
        values[..columns.len()].copy_from_slice(&bias[columns]);
    }
    values
}

/// Writes `count` columns of every row of sums.
pub(crate) fn finish_row<E: Element>(
    isa: Isa,
    sums: &[f32],
    finish: &Finish<'_, E>,
    count: usize,
    target: &mut [E],
) {
    #[cfg(target_arch = "x86_64")]
    if native::suits(isa, finish, count) {
        // SAFETY: the processor has the instructions, by the check.
        return unsafe { native::finish_row(sums, finish, count, target) };
    }
    finish_any_row(isa, sums, finish, count, target);
}

vectorised! {
    /// [`finish_row`] of any type and count, with any activation.
    fn finish_any_row<E: Element>(
        sums: &[f32],
        finish: &Finish<'_, E>,
        count: usize,
        target: &mut [E],
    ) {
        with_activation!(finish.activation, apply, |function| {
            for (row, sums) in sums.chunks_exact(finish.panel).enumerate() {
                let first = row * finish.step;
                let target = &mut target[first..][..count];
                match finish.residual {
                    None => finish_pixel(&sums[..count], finish, function, target),
                    Some(residual) => {
                        let residual = &residual[first..][..count];
                        add_to_pixel(&sums[..count], finish, residual, function, target);
                    }
                }
            }
        });
    }
}

/// Channels that are finished together: with their number known, the compiler makes vectors of
/// them.
const BLOCK: usize = 16;

#[inline(always)]
fn finish_pixel<E: Element>(
    sums: &[f32],
    finish: &Finish<'_, E>,
    activation: impl Fn(f32) -> f32,
    target: &mut [E],
) {
    let value = |sum: f32, bias: f32| E::from_f32(activation(sum + bias));
    let (blocks, rest) = sums.as_chunks::<BLOCK>();
    let (target_blocks, target_rest) = target.as_chunks_mut::<BLOCK>();
    let (bias_blocks, _) = finish.bias.as_chunks::<BLOCK>();
    for ((target, sums), bias) in target_blocks.iter_mut().zip(blocks).zip(bias_blocks) {
        let mut values = [E::default(); BLOCK];
        for index in 0..BLOCK {
            values[index] = value(sums[index], bias[index]);
        }
        *target = values;
    }
    let bias = &finish.bias[sums.len() - rest.len()..];
    for ((target, sum), bias) in target_rest.iter_mut().zip(rest).zip(bias) {
        *target = value(*sum, *bias);
    }
}

#[inline(always)]
fn add_to_pixel<E: Element>(
    sums: &[f32],
    finish: &Finish<'_, E>,
    residual: &[E],
    activation: impl Fn(f32) -> f32,
    target: &mut [E],
) {
    let value =
        |sum: f32, bias: f32, residual: E| E::from_f32(activation(sum + bias + residual.to_f32()));
    let (blocks, rest) = sums.as_chunks::<BLOCK>();
    let (target_blocks, target_rest) = target.as_chunks_mut::<BLOCK>();
    let (residual_blocks, residual_rest) = residual.as_chunks::<BLOCK>();
    let operands = residual_blocks
        .iter()
        .zip(finish.bias.as_chunks::<BLOCK>().0);
    for ((target, sums), (residual, bias)) in target_blocks.iter_mut().zip(blocks).zip(operands) {
        let mut values = [E::default(); BLOCK];
        for index in 0..BLOCK {
            values[index] = value(sums[index], bias[index], residual[index]);
        }
        *target = values;
    }
    let operands = residual_rest
        .iter()
        .zip(&finish.bias[sums.len() - rest.len()..]);
    for ((target, sum), (residual, bias)) in target_rest.iter_mut().zip(rest).zip(operands) {
        *target = value(*sum, *bias, *residual);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::bf16;
    use crate::testing::{levels, values};

    const ROWS: usize = 256;

    /// Values from one output row to the next.
    const STEP: usize = 40;

    /// Numbers of all kinds, many of them rare.
    fn sums() -> Vec<f32> {
        let special = [
            0.0,
            -0.0,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            f32::MIN_POSITIVE,
            f32::NAN,
        ];
        // Denormal numbers, ties among them, and a NaN whose upper half is that of infinity.
        let bits = [1, 0x7fff, 0x8000, 0x8001, 0x1_8000, 0x7f_ffff, 0x7f80_0001];
        let listed = special.into_iter().chain(bits.map(f32::from_bits));
        let drawn = (0..).map(|index: u32| f32::from_bits(index.wrapping_mul(0x9e37_79b9)));
        listed.chain(drawn).take(ROWS * WIDEST_PANEL).collect()
    }

    fn finished<E: Element>(isa: Isa, finish: &Finish<'_, E>, count: usize) -> Vec<u32> {
        let mut target = vec![E::default(); ROWS * STEP];
        finish_row(isa, &sums(), finish, count, &mut target);
        let bits = |value: f32| match value.is_nan() {
            true => f32::NAN.to_bits(),
            false => value.to_bits(),
        };
        target.iter().map(|value| bits(value.to_f32())).collect()
    }

    fn all_levels_agree<E: Element>() {
        let residual: Vec<E> = values(1, ROWS * STEP)
            .into_iter()
            .map(E::from_f32)
            .collect();
        let bias = values(2, WIDEST_PANEL);
        for count in [WIDEST_PANEL, 16, 21, 3] {
            for (bias, residual) in [(None, None), (Some(&*bias), None), (None, Some(&*residual))] {
                for activation in [Activation::None, Activation::Silu] {
                    let finish = Finish {
                        panel: WIDEST_PANEL,
                        step: STEP,
                        bias: panel_bias(bias, 0..count),
                        residual,
                        activation,
                    };
                    let truth = finished(Isa::Portable, &finish, count);
                    for isa in levels() {
                        assert!(finished(isa, &finish, count) == truth, "{isa:?}, {count}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_level_stores_the_same_bits() {
        all_levels_agree::<f32>();
        all_levels_agree::<bf16>();
    }

    #[test]
    fn sums_become_outputs() {
        let (bias, residual) = (values(2, 16), values(3, STEP));
        let finish = Finish {
            panel: WIDEST_PANEL,
            step: STEP,
            bias: panel_bias(Some(&bias), 0..16),
            residual: Some(&residual),
            activation: Activation::Relu,
        };
        let sums = values(4, WIDEST_PANEL);
        let mut target = vec![9.0; STEP];
        finish_row(crate::dispatch::isa(), &sums, &finish, 16, &mut target);
        for (column, &value) in target[..16].iter().enumerate() {
            let truth = (sums[column] + bias[column] + residual[column]).max(0.0);
            assert_eq!(value, truth, "column {column}");
        }
        assert_eq!(target[16..], [9.0; STEP - 16]);
    }
}
