//! Both products against sums in double precision, at every level, row count and panel width.

use super::*;
use crate::element::bf16;
use crate::testing::{assert_close, levels, values};

fn elements<E: Element>(seed: u64, len: usize) -> Vec<E> {
    values(seed, len).into_iter().map(E::from_f32).collect()
}

fn contiguous<E: Element>(isa: Isa, count: usize, width: usize, fresh: bool) {
    let p = E::PER_WORD;
    let row_stride = 6 * p;
    let left = elements::<E>(1, 3 + count * row_stride + 40);
    let runs = [
        Run {
            start: p,
            len: 3 * p,
        },
        Run {
            start: 12 * p,
            len: 5 * p,
        },
    ];
    let panel = elements::<E>(2, 8 * width * p);
    let before = values(3, count * width);
    let mut sums = before.clone();
    let rows = Rows {
        values: &left,
        first: 3,
        row_stride,
        count,
    };
    multiply(isa, rows, &runs, &panel, fresh, &mut sums);
    let depth: Vec<usize> = runs
        .iter()
        .flat_map(|run| run.start..run.start + run.len)
        .collect();
    let mut truth = Vec::new();
    for row in 0..count {
        for column in 0..width {
            let mut sum = if fresh {
                0.0
            } else {
                f64::from(before[row * width + column])
            };
            for (index, place) in depth.iter().enumerate() {
                let right = panel[(index / p * width + column) * p + index % p];
                let left = left[3 + row * row_stride + place];
                sum += f64::from(left.to_f32()) * f64::from(right.to_f32());
            }
            truth.push(sum);
        }
    }
    assert_close(&sums, &truth, 1e-5, &format!("{isa:?} {count}x{width}"));
}

fn transposed<E: Element>(isa: Isa, count: usize, width: usize) {
    let p = E::PER_WORD;
    let (left, right) = (elements::<E>(4, 400 * p), elements::<E>(5, 2000 * p));
    let runs = [
        TransposedRun {
            left: 2,
            right: 0,
            len: 4,
        },
        TransposedRun {
            left: 100,
            right: 500,
            len: 3,
        },
    ];
    let (stride, right_stride, sums_stride) = (31, width + 5, width + 3);
    let before = values(6, count * sums_stride);
    let mut sums = before.clone();
    multiply_transposed(
        isa,
        Strided {
            values: &left,
            first: 7,
            stride,
        },
        Strided {
            values: &right,
            first: 1,
            stride: right_stride,
        },
        &runs,
        width,
        Sums {
            values: &mut sums,
            stride: sums_stride,
            count,
            width,
            fresh: false,
        },
    );
    let mut truth: Vec<f64> = before.iter().map(|&value| f64::from(value)).collect();
    for row in 0..count {
        for column in 0..width {
            for run in &runs {
                for index in 0..run.len {
                    let l = (7 + run.left + index * stride + row) * p;
                    let r = (1 + run.right + index * right_stride + column) * p;
                    for half in 0..p {
                        let product = left[l + half].to_f32() * right[r + half].to_f32();
                        truth[row * sums_stride + column] += f64::from(product);
                    }
                }
            }
        }
    }
    assert_close(
        &sums,
        &truth,
        1e-5,
        &format!("transposed {isa:?} {count}x{width}"),
    );
}

#[test]
fn products_match_sums_in_double_precision() {
    for isa in levels() {
        for count in [0, 1, 2, 3, 5, 6, 7, 11, 12, 13, 25, 40] {
            for width in [widest_panel(isa), widest_panel(isa) / 2] {
                for fresh in [true, false] {
                    contiguous::<f32>(isa, count, width, fresh);
                    contiguous::<bf16>(isa, count, width, fresh);
                }
                transposed::<f32>(isa, count, width);
                transposed::<bf16>(isa, count, width);
            }
        }
    }
}

#[test]
fn parts_are_even_and_complete() {
    for total in 0..60 {
        let parts: Vec<usize> = even_parts(total, 12).collect();
        assert_eq!(parts.iter().sum::<usize>(), total);
        assert!(parts.iter().all(|&part| (1..=12).contains(&part)));
    }
}

#[test]
#[should_panic(expected = "rows")]
fn reading_past_the_rows_is_refused() {
    let rows = Rows {
        values: &[0.0f32; 10],
        first: 0,
        row_stride: 4,
        count: 3,
    };
    let width = widest_panel(Isa::Portable);
    let mut sums = vec![0.0; 3 * width];
    multiply(
        Isa::Portable,
        rows,
        &[Run { start: 0, len: 4 }],
        &[0.0; 64],
        true,
        &mut sums,
    );
}
