//! What happens to sums on their way to the output: bias, residual and activation, while they are still in a cache.

use crate::activation::{Activation, with_activation};
use crate::dispatch::vectorised;
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

vectorised! {
    /// Writes `count` columns of every row of sums.
    pub(crate) fn finish_row<E: Element>(
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
