//! The products on emulated tiles.

use super::*;
use crate::element::{Element, bf16};
use crate::microkernel::{
    Rows, Run, Strided, Sums, TransposedRun, multiply_in_tiles, multiply_transposed_in_tiles,
};
use crate::testing::{assert_close, levels, values};

/// Tiles in memory, with what the instructions do to them.
struct Emulated([[[u8; ROW]; SIDE]; 8]);

fn float(row: &[u8; ROW], column: usize) -> f32 {
    f32::from_ne_bytes(row[4 * column..][..4].try_into().unwrap())
}

fn pair(row: &[u8; ROW], column: usize) -> [f32; 2] {
    let half = |first: usize| {
        let bits = u16::from_ne_bytes(row[first..first + 2].try_into().unwrap());
        bf16::from_bits(bits).to_f32()
    };
    [half(4 * column), half(4 * column + 2)]
}

impl Tiles for Emulated {
    fn new() -> Self {
        Emulated([[[0xff; ROW]; SIDE]; 8])
    }

    fn zero<const TILE: usize>(&mut self) {
        self.0[TILE] = [[0; ROW]; SIDE];
    }

    unsafe fn load<const TILE: usize>(&mut self, from: *const u8, stride: usize) {
        for (index, row) in self.0[TILE].iter_mut().enumerate() {
            // SAFETY: the caller vouches for the rows.
            *row = unsafe {
                from.add(index * stride)
                    .cast::<[u8; ROW]>()
                    .read_unaligned()
            };
        }
    }

    unsafe fn store<const TILE: usize>(&mut self, to: *mut u8, stride: usize) {
        for (index, row) in self.0[TILE].iter().enumerate() {
            // SAFETY: the caller vouches for the rows.
            unsafe {
                to.add(index * stride)
                    .cast::<[u8; ROW]>()
                    .write_unaligned(*row)
            }
        }
    }

    fn multiply<const SUMS: usize, const LEFT: usize, const RIGHT: usize>(&mut self) {
        for m in 0..SIDE {
            for n in 0..SIDE {
                let mut sum = float(&self.0[SUMS][m], n);
                for k in 0..SIDE {
                    let (left, right) = (pair(&self.0[LEFT][m], k), pair(&self.0[RIGHT][k], n));
                    sum += left[0] * right[0] + left[1] * right[1];
                }
                self.0[SUMS][m][4 * n..][..4].copy_from_slice(&sum.to_ne_bytes());
            }
        }
    }
}

fn elements(seed: u64, len: usize) -> Vec<bf16> {
    values(seed, len)
        .into_iter()
        .map(<bf16 as Element>::from_f32)
        .collect()
}

/// What is left over goes through AVX-512's kernel, which some machines lack.
fn can_run() -> bool {
    levels().contains(&crate::dispatch::Isa::Avx512)
}

#[test]
fn contiguous_depth() {
    if !can_run() {
        println!("SKIPPED: this processor has no AVX-512");
        return;
    }
    for count in [1, 16, 17, 32, 33, 50, 64] {
        for (width, fresh) in [(32, true), (16, false), (32, false)] {
            let row_stride = 90;
            let left = elements(1, 4 + count * row_stride + 200);
            let runs = [
                Run { start: 2, len: 70 },
                Run {
                    start: 100,
                    len: 64,
                },
                Run { start: 30, len: 6 },
            ];
            let panel = elements(2, 140 * width);
            let before = values(3, count * width);
            let mut sums = before.clone();
            let rows = Rows {
                values: &left,
                first: 4,
                row_stride,
                count,
            };
            multiply_in_tiles::<Emulated, bf16>(rows, &runs, &panel, fresh, &mut sums);
            let depth: Vec<usize> = runs
                .iter()
                .flat_map(|run| run.start..run.start + run.len)
                .collect();
            let mut truth = Vec::new();
            for row in 0..count {
                for column in 0..width {
                    let start = if fresh {
                        0.0
                    } else {
                        before[row * width + column]
                    };
                    let mut sum = f64::from(start);
                    for (index, place) in depth.iter().enumerate() {
                        let right = panel[(index / 2 * width + column) * 2 + index % 2];
                        let left = left[4 + row * row_stride + place];
                        sum += f64::from(left.to_f32()) * f64::from(right.to_f32());
                    }
                    truth.push(sum);
                }
            }
            assert_close(&sums, &truth, 1e-5, &format!("{count}x{width}"));
        }
    }
}

#[test]
fn transposed_depth() {
    if !can_run() {
        println!("SKIPPED: this processor has no AVX-512");
        return;
    }
    for count in [1, 16, 20, 32, 48, 70] {
        for (width, panel, fresh) in [(64, 32, false), (32, 32, true), (16, 16, false)] {
            check_transposed(count, [width, panel], fresh);
        }
    }
}

fn check_transposed(count: usize, [width, panel]: [usize; 2], fresh: bool) {
    let (left_stride, right_stride, sums_stride) = (count + 3, width + 5, width + 2);
    let runs = [
        TransposedRun {
            left: 2,
            right: 0,
            len: 37,
        },
        TransposedRun {
            left: 40 * left_stride,
            right: 40 * right_stride,
            len: 16,
        },
        TransposedRun {
            left: 60 * left_stride,
            right: 60 * right_stride,
            len: 3,
        },
    ];
    let left = elements(4, 2 * (70 * left_stride + 10));
    let right = elements(5, 2 * (70 * right_stride + 10));
    let before = values(6, count * sums_stride);
    let mut sums = before.clone();
    multiply_transposed_in_tiles::<Emulated, bf16>(
        Strided {
            values: &left,
            first: 7,
            stride: left_stride,
        },
        Strided {
            values: &right,
            first: 1,
            stride: right_stride,
        },
        &runs,
        panel,
        Sums {
            values: &mut sums,
            stride: sums_stride,
            count,
            width,
            fresh,
        },
    );
    let mut truth: Vec<f64> = before.iter().map(|&value| f64::from(value)).collect();
    for row in 0..count {
        for column in 0..width {
            let sum = &mut truth[row * sums_stride + column];
            if fresh {
                *sum = 0.0;
            }
            for index in runs
                .iter()
                .flat_map(|run| (0..run.len).map(move |i| (run, i)))
            {
                let (run, step) = index;
                let l = 2 * (7 + run.left + step * left_stride + row);
                let r = 2 * (1 + run.right + step * right_stride + column);
                for half in 0..2 {
                    let product = left[l + half].to_f32() * right[r + half].to_f32();
                    *sum += f64::from(product);
                }
            }
        }
    }
    assert_close(&sums, &truth, 1e-5, &format!("transposed {count}x{width}"));
}
