//! The products of this module in tiles ([`crate::amx`]), for bf16. What fills no tile, rows and ends
//! of runs, goes to the vector version.

use super::{Block, Rows, Run, Runs, Strided, Sums, TransposedRun, run_rows};
use crate::amx::{Operands, Step, Tiles, multiply_block, turn};
use crate::dispatch::Isa;
use crate::element::Element;
use crate::scratch::with_scratch;
use crate::transpose::SIDE;

/// The vector version's level.
const REST: Isa = Isa::Avx512;

/// Words of a square of words.
const SQUARE: usize = SIDE * SIDE;

/// Rows of the blocks that whole tiles of `count` rows make: two tiles while there are two.
fn blocks(count: usize) -> impl Iterator<Item = (usize, usize)> {
    let whole = count / SIDE * SIDE;
    (0..whole)
        .step_by(2 * SIDE)
        .map(move |first| (first, (whole - first).min(2 * SIDE)))
}

/// The steps of whole tiles along runs, and what is left of each run with the depth at which that begins.
fn cut<E: Element>(runs: &[Run], width: usize) -> (Vec<Step>, Vec<(Run, usize)>) {
    let (mut steps, mut tails, mut depth) = (Vec::new(), Vec::new(), 0);
    for run in runs {
        let (start, words) = (run.start / E::PER_WORD, run.len / E::PER_WORD);
        let whole = words / SIDE * SIDE;
        for step in (0..whole).step_by(SIDE) {
            steps.push(Step {
                left: start + step,
                right: (depth + step) * width,
            });
        }
        if whole < words {
            let start = (start + whole) * E::PER_WORD;
            tails.push((
                Run {
                    start,
                    len: (words - whole) * E::PER_WORD,
                },
                depth + whole,
            ));
        }
        depth += words;
    }
    (steps, tails)
}

/// [`super::multiply`]; its operands have been checked.
pub(crate) fn multiply_in_tiles<T: Tiles, E: Element>(
    rows: Rows<'_, E>,
    runs: &[Run],
    panel: &[E],
    fresh: bool,
    sums: &mut [f32],
) {
    let all = Block::of_rows(&rows, runs, panel, fresh, sums);
    let width = all.right_stride;
    let (steps, tails) = cut::<E>(runs, width);
    let in_tiles = if steps.is_empty() {
        0
    } else {
        rows.count / SIDE * SIDE
    };
    // SAFETY: the runs were checked to lie inside the operands for every row, steps and tails lie
    // inside runs.
    unsafe {
        if in_tiles > 0 {
            let mut tiles = T::new();
            for (first, count) in blocks(in_tiles) {
                let part = all.below_row(first, all.left_stride);
                multiply_block(&mut tiles, count, width, &part.in_steps(&steps));
            }
            for (run, depth) in &tails {
                let tail = Block {
                    right: all.right.add(depth * width),
                    runs: Runs::Contiguous(std::slice::from_ref(run)),
                    fresh: false,
                    ..all
                };
                run_rows::<E, false>(REST, in_tiles, width, &tail);
            }
        }
        if in_tiles < rows.count {
            let rest = all.below_row(in_tiles, all.left_stride);
            run_rows::<E, false>(REST, rows.count - in_tiles, width, &rest);
        }
    }
}

impl<E> Block<'_, E> {
    fn in_steps<'a>(&self, steps: &'a [Step]) -> Operands<'a> {
        Operands {
            steps,
            left: self.left,
            left_stride: self.left_stride,
            right: self.right,
            right_stride: self.right_stride,
            sums: self.sums,
            sums_stride: self.sums_stride,
            fresh: self.fresh,
        }
    }
}

/// The steps of whole tiles along transposed runs, and what is left of each run.
fn cut_transposed(
    runs: &[TransposedRun],
    [left_stride, right_stride]: [usize; 2],
) -> (Vec<Step>, Vec<TransposedRun>) {
    let (mut steps, mut tails) = (Vec::new(), Vec::new());
    for run in runs {
        let whole = run.len / SIDE * SIDE;
        for step in (0..whole).step_by(SIDE) {
            steps.push(Step {
                left: run.left + step * left_stride,
                right: run.right + step * right_stride,
            });
        }
        if whole < run.len {
            tails.push(TransposedRun {
                left: run.left + whole * left_stride,
                right: run.right + whole * right_stride,
                len: run.len - whole,
            });
        }
    }
    (steps, tails)
}

/// [`super::multiply_transposed`]; its operands have been checked.
pub(crate) fn multiply_transposed_in_tiles<T: Tiles, E: Element>(
    left: Strided<'_, E>,
    right: Strided<'_, E>,
    runs: &[TransposedRun],
    panel: usize,
    sums: Sums<'_>,
) {
    let (count, width) = (sums.count, sums.width);
    let all = Block::transposed(&left, &right, runs, sums);
    let (steps, tails) = cut_transposed(runs, [left.stride, right.stride]);
    let in_tiles = if steps.is_empty() {
        0
    } else {
        count / SIDE * SIDE
    };
    // SAFETY: the runs were checked to lie inside the operands for every row and column, steps and
    // tails lie inside runs.
    unsafe {
        if in_tiles > 0 {
            let mut tiles = T::new();
            for (first, rows) in blocks(in_tiles) {
                let part = all.below_row(first, 1);
                multiply_turned(&mut tiles, &steps, rows, [panel, width], &part);
            }
        }
        for column in (0..width).step_by(panel) {
            let columns = all.after_columns(column);
            if in_tiles > 0 && !tails.is_empty() {
                let tail = Block {
                    runs: Runs::Transposed(&tails),
                    fresh: false,
                    ..columns
                };
                run_rows::<E, true>(REST, in_tiles, panel, &tail);
            }
            if in_tiles < count {
                let rest = columns.below_row(in_tiles, 1);
                run_rows::<E, true>(REST, count - in_tiles, panel, &rest);
            }
        }
    }
}

/// A block of rows, turned into tiles once for all panels.
///
/// # Safety
/// The steps lie inside the operands of the block.
unsafe fn multiply_turned<T: Tiles, E: Element>(
    tiles: &mut T,
    steps: &[Step],
    rows: usize,
    [panel, width]: [usize; 2],
    block: &Block<'_, E>,
) {
    let per_step = rows / SIDE;
    with_scratch(steps.len() * per_step * SQUARE, |turned| {
        let squares = turned.as_chunks_mut::<SIDE>().0.as_chunks_mut::<SIDE>().0;
        for (step, squares) in steps.iter().zip(squares.chunks_exact_mut(per_step)) {
            for (tile, square) in squares.iter_mut().enumerate() {
                // SAFETY: the caller's promise.
                unsafe {
                    turn(
                        block.left.add(step.left + tile * SIDE),
                        block.left_stride,
                        square,
                    )
                };
            }
        }
        let turned_steps: Vec<Step> = steps
            .iter()
            .enumerate()
            .map(|(index, step)| Step {
                left: index * per_step * SQUARE,
                right: step.right,
            })
            .collect();
        for column in (0..width).step_by(panel) {
            // SAFETY: the caller's promise; the turned operand was just written.
            unsafe {
                let part = Block {
                    left: turned.as_ptr(),
                    left_stride: SIDE,
                    ..block.after_columns(column)
                };
                multiply_block(tiles, rows, panel, &part.in_steps(&turned_steps));
            }
        }
    });
}
