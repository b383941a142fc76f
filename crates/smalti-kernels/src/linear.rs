//! Linear layers, `input · weightᵀ + bias`, with their gradients.
//!
//! Inputs, outputs and gradients are `f32`, `[rows, inputs]` and `[rows, outputs]`; the weight is
//! `[outputs, inputs]`. Products run in the element type they are asked for: with `bf16` both
//! operands are rounded on the way, sums stay `f32`.

use crate::activation::Activation;
use crate::conv2d::finish::{Finish, finish_row, panel_bias};
use crate::conv2d::panels::{PanelLayout, WeightAxis};
use crate::dispatch::{self, vectorised};
use crate::element::{Element, convert_block, padded};
use crate::microkernel::{
    Rows, Run, Strided, Sums, TransposedRun, multiply, multiply_transposed, panel_width,
};
use crate::reduce::column_sums;
use crate::scratch::{with_scratch, with_scratch_of};
use rayon::prelude::*;

/// Rows whose sums with a panel stay in the second-level cache.
const ROWS: usize = 512;

/// Words of depth that are multiplied before the sums are put down.
const CHUNK_WORDS: usize = 1024;

/// Rows of a weight's gradient that one thread computes at a time.
const GRADIENT_ROWS: usize = 96;

/// Sizes of a linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearShape {
    pub rows: usize,
    pub inputs: usize,
    pub outputs: usize,
}

impl LinearShape {
    fn assert_lengths(&self, input: usize, weight: usize, output: usize) {
        assert!(
            self.inputs > 0 && self.outputs > 0,
            "an empty layer: {self:?}"
        );
        assert_eq!(input, self.rows * self.inputs, "input values of {self:?}");
        assert_eq!(weight, self.inputs * self.outputs, "weights of {self:?}");
        assert_eq!(
            output,
            self.rows * self.outputs,
            "output values of {self:?}"
        );
    }
}

/// Computes the output with products of type `E`.
pub fn forward<E: Element>(
    shape: &LinearShape,
    input: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    output: &mut [f32],
) {
    shape.assert_lengths(input.len(), weight.len(), output.len());
    if let Some(bias) = bias {
        assert_eq!(bias.len(), shape.outputs, "biases of {shape:?}");
    }
    let summed = WeightAxis {
        len: shape.inputs,
        stride: 1,
    };
    let columns = WeightAxis {
        len: shape.outputs,
        stride: shape.inputs,
    };
    product::<E>(
        input,
        weight,
        &PanelLayout::new(vec![0], summed, columns),
        bias,
        output,
    );
}

/// Computes the gradient of the input from that of the output, with products of type `E`.
pub fn backward_input<E: Element>(
    shape: &LinearShape,
    grad_output: &[f32],
    weight: &[f32],
    grad_input: &mut [f32],
) {
    shape.assert_lengths(grad_input.len(), weight.len(), grad_output.len());
    let summed = WeightAxis {
        len: shape.outputs,
        stride: shape.inputs,
    };
    let columns = WeightAxis {
        len: shape.inputs,
        stride: 1,
    };
    product::<E>(
        grad_output,
        weight,
        &PanelLayout::new(vec![0], summed, columns),
        None,
        grad_input,
    );
}

/// Computes the gradient of the weight from the input and the gradient of the output, with
/// products of type `E`.
pub fn backward_weight<E: Element>(
    shape: &LinearShape,
    input: &[f32],
    grad_output: &[f32],
    grad_weight: &mut [f32],
) {
    shape.assert_lengths(input.len(), grad_weight.len(), grad_output.len());
    let panel = panel_width(dispatch::isa(), shape.inputs);
    let right_words = shape.inputs.next_multiple_of(panel);
    let steps = shape.rows.div_ceil(E::PER_WORD);
    with_scratch_of(steps * shape.outputs * E::PER_WORD, |left: &mut [E]| {
        words_of_rows(grad_output, shape.outputs, shape.outputs, left);
        with_scratch_of(steps * right_words * E::PER_WORD, |right: &mut [E]| {
            words_of_rows(input, shape.inputs, right_words, right);
            let blocks = grad_weight
                .par_chunks_mut(GRADIENT_ROWS * shape.inputs)
                .enumerate();
            blocks.for_each(|(block, target)| {
                let left = Strided {
                    values: &*left,
                    first: block * GRADIENT_ROWS,
                    stride: shape.outputs,
                };
                let right = Strided {
                    values: &*right,
                    first: 0,
                    stride: right_words,
                };
                gradient_rows(left, right, steps, [shape.inputs, panel], target);
            });
        });
    });
}

/// Computes the gradient of the bias from that of the output.
pub fn backward_bias(grad_output: &[f32], grad_bias: &mut [f32]) {
    column_sums(grad_output, grad_bias);
}

/// `rows · panels + bias`.
fn product<E: Element>(
    rows: &[f32],
    weight: &[f32],
    layout: &PanelLayout,
    bias: Option<&[f32]>,
    output: &mut [f32],
) {
    let (depth, columns) = (layout.summed.len, layout.columns.len);
    let count = output.len() / columns;
    let row_len = padded::<E>(depth);
    with_scratch_of(count * row_len, |converted: &mut [E]| {
        convert_rows(rows, depth, converted, row_len);
        let converted = &*converted;
        let target = Columns {
            values: output.as_mut_ptr(),
            columns,
            rows: count,
        };
        let blocks = count.div_ceil(ROWS);
        (0..layout.panels() * blocks)
            .into_par_iter()
            .for_each(|job| {
                let (panel, block) = (job / blocks, job % blocks);
                let rows = block * ROWS..count.min((block + 1) * ROWS);
                let first = panel * layout.width;
                with_scratch_of(layout.panel_len::<E>(), |packed: &mut [E]| {
                    layout.pack_panel(weight, panel, packed);
                    with_scratch(rows.len() * layout.width, |sums| {
                        let left = Rows {
                            values: converted,
                            first: rows.start * row_len,
                            row_stride: row_len,
                            count: rows.len(),
                        };
                        multiply_in_chunks(left, row_len, packed, layout.width, sums);
                        let used = layout.width.min(columns - first);
                        let finish = Finish::<f32> {
                            panel: layout.width,
                            step: 0,
                            bias: panel_bias(bias, first..first + used),
                            residual: None,
                            activation: Activation::None,
                        };
                        target.store(sums, [rows.start, first], used, &finish);
                    });
                });
            });
    });
}

fn multiply_in_chunks<E: Element>(
    rows: Rows<'_, E>,
    depth: usize,
    panel: &[E],
    width: usize,
    sums: &mut [f32],
) {
    let chunk = CHUNK_WORDS * E::PER_WORD;
    for start in (0..depth).step_by(chunk) {
        let run = Run {
            start,
            len: chunk.min(depth - start),
        };
        let panel = &panel[start * width..];
        multiply(dispatch::isa(), rows, &[run], panel, start == 0, sums);
    }
}

/// A matrix whose columns several threads write, each its own.
struct Columns {
    values: *mut f32,
    columns: usize,
    rows: usize,
}

// SAFETY: jobs write disjoint blocks of rows and columns, see `product`.
unsafe impl Sync for Columns {}

impl Columns {
    /// Writes the first `used` sums of every row.
    fn store(
        &self,
        sums: &[f32],
        [row, column]: [usize; 2],
        used: usize,
        finish: &Finish<'_, f32>,
    ) {
        let isa = dispatch::isa();
        for (index, sums) in sums.chunks_exact(finish.panel).enumerate() {
            assert!(row + index < self.rows && column + used <= self.columns);
            // SAFETY: inside the matrix by the assertion, and no other job writes this block.
            let target = unsafe {
                let first = self.values.add((row + index) * self.columns + column);
                std::slice::from_raw_parts_mut(first, used)
            };
            finish_row(isa, sums, finish, used, target);
        }
    }
}

/// Converts rows, each filled up to whole words with zeros.
fn convert_rows<E: Element>(rows: &[f32], len: usize, converted: &mut [E], padded_len: usize) {
    let isa = dispatch::isa();
    let targets = converted.par_chunks_exact_mut(padded_len);
    targets
        .zip(rows.par_chunks_exact(len))
        .for_each(|(target, row)| {
            convert_block(isa, row, &mut target[..len]);
            target[len..].fill(E::default());
        });
}

/// Rows side by side in words, `[steps][words][values of a word]`, zeros where there are none.
fn words_of_rows<E: Element>(rows: &[f32], len: usize, words: usize, target: &mut [E]) {
    let isa = dispatch::isa();
    let steps = target.par_chunks_exact_mut(words * E::PER_WORD);
    steps
        .zip(rows.par_chunks(len * E::PER_WORD))
        .for_each(|(target, rows)| {
            if len < words || rows.len() < len * E::PER_WORD {
                target.fill(E::default());
            }
            for (half, row) in rows.chunks_exact(len).enumerate() {
                write_half(isa, row, half, target);
            }
        });
}

vectorised! {
    fn write_half<E: Element>(row: &[f32], half: usize, words: &mut [E]) {
        if E::PER_WORD == 1 {
            for (target, &value) in words.iter_mut().zip(row) {
                *target = E::from_f32(value);
            }
        } else {
            for (word, &value) in words.as_chunks_mut::<2>().0.iter_mut().zip(row) {
                word[half] = E::from_f32(value);
            }
        }
    }
}

/// Some rows of a weight's gradient, `[rows, inputs]`.
fn gradient_rows<E: Element>(
    left: Strided<'_, E>,
    right: Strided<'_, E>,
    steps: usize,
    [inputs, panel]: [usize; 2],
    target: &mut [f32],
) {
    let (isa, count) = (dispatch::isa(), target.len() / inputs);
    let run = [TransposedRun {
        left: 0,
        right: 0,
        len: steps,
    }];
    let whole = inputs / panel * panel;
    let sums = Sums {
        values: &mut *target,
        stride: inputs,
        count,
        width: whole,
        fresh: true,
    };
    multiply_transposed(isa, left, right, &run, panel, sums);
    if whole == inputs {
        return;
    }
    let right = Strided {
        first: whole,
        ..right
    };
    with_scratch(count * panel, |values| {
        let sums = Sums {
            values: &mut *values,
            stride: panel,
            count,
            width: panel,
            fresh: true,
        };
        multiply_transposed(isa, left, right, &run, panel, sums);
        for (row, sums) in target
            .chunks_exact_mut(inputs)
            .zip(values.chunks_exact(panel))
        {
            row[whole..].copy_from_slice(&sums[..inputs - whole]);
        }
    });
}

/// Slow versions in double precision.
pub mod reference {
    use super::LinearShape;

    /// The output.
    pub fn forward(
        shape: &LinearShape,
        input: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Vec<f64> {
        let mut output = Vec::new();
        for row in input.chunks_exact(shape.inputs) {
            for (column, filter) in weight.chunks_exact(shape.inputs).enumerate() {
                let terms = row
                    .iter()
                    .zip(filter)
                    .map(|(&x, &w)| f64::from(x) * f64::from(w));
                output.push(terms.sum::<f64>() + bias.map_or(0.0, |bias| f64::from(bias[column])));
            }
        }
        output
    }

    /// The gradient of the input.
    pub fn backward_input(shape: &LinearShape, grad_output: &[f32], weight: &[f32]) -> Vec<f64> {
        let mut sums = Vec::new();
        for row in grad_output.chunks_exact(shape.outputs) {
            for input in 0..shape.inputs {
                let column = weight[input..].iter().step_by(shape.inputs);
                sums.push(
                    row.iter()
                        .zip(column)
                        .map(|(&g, &w)| f64::from(g) * f64::from(w))
                        .sum(),
                );
            }
        }
        sums
    }

    /// The gradient of the weight.
    pub fn backward_weight(shape: &LinearShape, input: &[f32], grad_output: &[f32]) -> Vec<f64> {
        let mut sums = vec![0.0; shape.inputs * shape.outputs];
        let rows = input
            .chunks_exact(shape.inputs)
            .zip(grad_output.chunks_exact(shape.outputs));
        for (input, gradient) in rows {
            for (sums, &gradient) in sums.chunks_exact_mut(shape.inputs).zip(gradient) {
                for (sum, &value) in sums.iter_mut().zip(input) {
                    *sum += f64::from(gradient) * f64::from(value);
                }
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::bf16;
    use crate::testing::{assert_close, assert_gradient, in_pool, values, weighted_sum};

    fn shapes() -> Vec<LinearShape> {
        [
            [1, 1, 1],
            [3, 5, 7],
            [13, 33, 40],
            [2, 1100, 35],
            [530, 9, 70],
            [65, 64, 96],
            [0, 3, 4],
        ]
        .map(|[rows, inputs, outputs]| LinearShape {
            rows,
            inputs,
            outputs,
        })
        .to_vec()
    }

    /// Numbers that bf16 holds exactly.
    fn rounded(seed: u64, len: usize) -> Vec<f32> {
        values(seed, len)
            .into_iter()
            .map(|value| <bf16 as Element>::from_f32(value).to_f32())
            .collect()
    }

    fn passes<E: Element>(shape: &LinearShape) -> [Vec<f32>; 3] {
        let (input, weight) = (
            rounded(1, shape.rows * shape.inputs),
            rounded(2, shape.inputs * shape.outputs),
        );
        let (bias, gradient) = (
            values(3, shape.outputs),
            rounded(4, shape.rows * shape.outputs),
        );
        let unset = |len| vec![f32::NAN; len];
        let mut output = unset(gradient.len());
        forward::<E>(shape, &input, &weight, Some(&bias), &mut output);
        let mut grad_input = unset(input.len());
        backward_input::<E>(shape, &gradient, &weight, &mut grad_input);
        let mut grad_weight = unset(weight.len());
        backward_weight::<E>(shape, &input, &gradient, &mut grad_weight);
        let truths = [
            reference::forward(shape, &input, &weight, Some(&bias)),
            reference::backward_input(shape, &gradient, &weight),
            reference::backward_weight(shape, &input, &gradient),
        ];
        let results = [output, grad_input, grad_weight];
        for ((result, truth), name) in results.iter().zip(&truths).zip(["y", "dx", "dw"]) {
            assert_close(result, truth, 5e-5, &format!("{name} of {shape:?}"));
        }
        results
    }

    #[test]
    fn all_passes_match_the_reference() {
        for shape in shapes() {
            for threads in [1, 2, 3] {
                in_pool(threads, || {
                    passes::<f32>(&shape);
                    passes::<bf16>(&shape);
                });
            }
        }
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        for shape in shapes() {
            let run =
                |threads| in_pool(threads, || (passes::<f32>(&shape), passes::<bf16>(&shape)));
            assert_eq!(run(1), run(3));
        }
    }

    #[test]
    fn reference_gradients_match_difference_quotients() {
        let shape = LinearShape {
            rows: 3,
            inputs: 4,
            outputs: 5,
        };
        let (input, weight) = (values(1, 12), values(2, 20));
        let weights = values(4, 15);
        let loss = |input: &[f32], weight: &[f32]| {
            weighted_sum(&reference::forward(&shape, input, weight, None), &weights)
        };
        let gradient = reference::backward_input(&shape, &weights, &weight);
        assert_gradient(&input, &gradient, |x| loss(x, &weight));
        let gradient = reference::backward_weight(&shape, &input, &weights);
        assert_gradient(&weight, &gradient, |w| loss(&input, w));
    }
}
