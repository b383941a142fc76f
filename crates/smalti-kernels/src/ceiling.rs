//! What this machine could do at most: how fast it multiplies when every operand is in a register,
//! and how fast all threads together read memory. Times of kernels are compared with these.

use crate::dispatch::{self, vectorised};
use rayon::prelude::*;
use std::hint::black_box;
use std::time::Instant;

#[cfg(target_arch = "x86_64")]
mod x86;
#[cfg(target_arch = "x86_64")]
use x86::{bf16_loop, f32_loop};

/// Rounds of a multiply loop in one run: some milliseconds.
const ROUNDS: u64 = 2_000_000;

/// Runs of a measurement. The fastest counts: the others were disturbed by something.
const MULTIPLY_RUNS: usize = 16;
const READ_RUNS: usize = 6;

/// More than caches hold.
const BUFFER_BYTES: usize = 256 << 20;

/// Words that one job of the thread pool reads.
const BLOCK: usize = 1 << 17;

/// Sums of the portable loop: twelve vectors of four hide the latency of the operations.
const PORTABLE_SUMS: usize = 48;

/// The loop of processors that have no other.
const PORTABLE: MultiplyLoop = MultiplyLoop {
    run: portable,
    flops: 2 * PORTABLE_SUMS as u64,
};

/// A loop of multiply-adds whose operands never leave the registers.
struct MultiplyLoop {
    /// Runs this many rounds on the calling thread.
    run: fn(u64),
    /// Floating-point operations of a round.
    flops: u64,
}

/// Floating-point operations per second of all threads together when `f32` is multiplied; a
/// multiply-add counts as two.
pub fn multiply_rate_f32() -> f64 {
    rate(&f32_loop())
}

/// [`multiply_rate_f32`] for products of `bf16` with sums in `f32`. A processor that has no
/// instruction for them multiplies `f32` instead.
pub fn multiply_rate_bf16() -> f64 {
    rate(&bf16_loop())
}

/// Bytes per second that all threads together read from memory.
pub fn read_bandwidth() -> f64 {
    let isa = dispatch::isa();
    let mut buffer = vec![0u64; BUFFER_BYTES / size_of::<u64>()];
    // Memory that was never written need not exist.
    buffer.par_chunks_mut(BLOCK).for_each(|block| block.fill(1));
    let seconds = fastest(READ_RUNS, || {
        let blocks = buffer.par_chunks(BLOCK);
        let total: u64 = blocks.map(|block| sum(isa, block)).sum();
        black_box(total);
    });
    BUFFER_BYTES as f64 / seconds
}

fn rate(multiply: &MultiplyLoop) -> f64 {
    let seconds = fastest(MULTIPLY_RUNS, || {
        rayon::broadcast(|_| (multiply.run)(ROUNDS));
    });
    let rounds = ROUNDS * crate::threads() as u64;
    (rounds * multiply.flops) as f64 / seconds
}

/// Seconds of the fastest of several runs.
fn fastest(runs: usize, mut work: impl FnMut()) -> f64 {
    let times = (0..runs).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    });
    times.fold(f64::INFINITY, f64::min)
}

#[cfg(not(target_arch = "x86_64"))]
fn f32_loop() -> MultiplyLoop {
    PORTABLE
}

#[cfg(not(target_arch = "x86_64"))]
fn bf16_loop() -> MultiplyLoop {
    PORTABLE
}

fn portable(rounds: u64) {
    // What the compiler cannot know it cannot compute in advance.
    let (factor, addend) = (black_box(0.5f32), black_box(1.0f32));
    let mut sums = [0.0f32; PORTABLE_SUMS];
    for (index, sum) in sums.iter_mut().enumerate() {
        *sum = black_box(index as f32);
    }
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = multiply_add(*sum, factor, addend);
        }
    }
    black_box(sums.iter().sum::<f32>());
}

#[inline(always)]
fn multiply_add(value: f32, factor: f32, addend: f32) -> f32 {
    // Where fusing is no part of the instruction set it would be a call of a slow function.
    if cfg!(target_arch = "aarch64") {
        value.mul_add(factor, addend)
    } else {
        value * factor + addend
    }
}

vectorised! {
    fn sum(values: &[u64]) -> u64 {
        let mut total = 0u64;
        for value in values {
            total = total.wrapping_add(*value);
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::levels;

    /// The bounds are far apart; a loop that the compiler removed would exceed them.
    #[test]
    fn rates_are_those_of_a_computer() {
        let threads = crate::threads() as f64;
        for rate in [multiply_rate_f32(), multiply_rate_bf16()] {
            assert!((1e7..1e14).contains(&(rate / threads)), "{rate}");
        }
        let bandwidth = read_bandwidth();
        assert!((1e7..1e13).contains(&bandwidth), "{bandwidth}");
    }

    #[test]
    fn every_word_is_read() {
        let values: Vec<u64> = (0..1001).collect();
        for level in levels() {
            assert_eq!(sum(level, &values), 500_500);
        }
    }
}
