//! The multiply loops of x86-64, one per instruction set. Each keeps as many sums as hide the
//! latency of its instruction and fit the registers.

use super::{MultiplyLoop, PORTABLE};
use crate::dispatch::{self, Isa};
use std::arch::x86_64::*;
use std::hint::black_box;

/// Of 16 registers; two hold the operands.
const AVX2_SUMS: usize = 12;
/// Of 32 registers.
const AVX512_SUMS: usize = 16;

pub(super) fn f32_loop() -> MultiplyLoop {
    let isa = dispatch::isa();
    if isa >= Isa::Avx512 {
        MultiplyLoop {
            // SAFETY: a level is only chosen where the processor has it.
            run: |rounds| unsafe { avx512(rounds) },
            flops: 2 * 16 * AVX512_SUMS as u64,
        }
    } else if isa >= Isa::Avx2 {
        MultiplyLoop {
            // SAFETY: as above.
            run: |rounds| unsafe { avx2(rounds) },
            flops: 2 * 8 * AVX2_SUMS as u64,
        }
    } else {
        PORTABLE
    }
}

pub(super) fn bf16_loop() -> MultiplyLoop {
    let isa = dispatch::isa();
    if isa >= Isa::Amx {
        amx_loop()
    } else if isa >= Isa::Avx512 && is_x86_feature_detected!("avx512bf16") {
        avx512_bf16_loop()
    } else {
        f32_loop()
    }
}

/// The loop of processors with tiles, called at that level only: four tiles of sums, as in the
/// products.
fn amx_loop() -> MultiplyLoop {
    MultiplyLoop {
        run: amx,
        // Sixteen by sixteen sums of 32 products each.
        flops: 2 * 4 * 16 * 16 * 32,
    }
}

fn amx(rounds: u64) {
    use crate::amx::{Hardware, Tiles};
    let mut tiles = Hardware::new();
    for _ in 0..rounds {
        tiles.multiply::<0, 4, 6>();
        tiles.multiply::<1, 4, 7>();
        tiles.multiply::<2, 5, 6>();
        tiles.multiply::<3, 5, 7>();
    }
}

/// To be called where the processor has AVX-512 with BF16.
fn avx512_bf16_loop() -> MultiplyLoop {
    MultiplyLoop {
        // SAFETY: both callers found the instruction set.
        run: |rounds| unsafe { avx512_bf16(rounds) },
        // Every lane adds two products.
        flops: 2 * 2 * 16 * AVX512_SUMS as u64,
    }
}

#[target_feature(enable = "avx512f")]
fn avx512(rounds: u64) {
    // What the compiler cannot know it cannot compute in advance. Only single numbers go through
    // `black_box` before the loop, and a total after it: sums whose address is taken would live in
    // memory.
    let factor = _mm512_set1_ps(black_box(0.5));
    let addend = _mm512_set1_ps(black_box(1.0));
    // SAFETY: this function has the instructions.
    unsafe { avx512_sums(rounds, |sum| _mm512_fmadd_ps(sum, factor, addend)) }
}

#[target_feature(enable = "avx512f,avx512bf16")]
fn avx512_bf16(rounds: u64) {
    let ones = _mm512_set1_ps(black_box(1.0));
    let pairs = _mm512_cvtne2ps_pbh(ones, ones);
    // SAFETY: this function has the instructions.
    unsafe { avx512_sums(rounds, |sum| _mm512_dpbf16_ps(sum, pairs, pairs)) }
}

/// # Safety
/// To be inlined where there is AVX-512 F.
#[inline(always)]
unsafe fn avx512_sums(rounds: u64, multiply_add: impl Fn(__m512) -> __m512) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [_mm512_setzero_ps(); AVX512_SUMS];
        for (index, sum) in sums.iter_mut().enumerate() {
            *sum = _mm512_set1_ps(black_box(index as f32));
        }
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = multiply_add(*sum);
            }
        }
        let mut total = _mm512_setzero_ps();
        for sum in &sums {
            total = _mm512_add_ps(total, *sum);
        }
        black_box(total);
    }
}

#[target_feature(enable = "avx2,fma")]
fn avx2(rounds: u64) {
    let factor = _mm256_set1_ps(black_box(0.5));
    let addend = _mm256_set1_ps(black_box(1.0));
    let mut sums = [_mm256_setzero_ps(); AVX2_SUMS];
    for (index, sum) in sums.iter_mut().enumerate() {
        *sum = _mm256_set1_ps(black_box(index as f32));
    }
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(*sum, factor, addend);
        }
    }
    let mut total = _mm256_setzero_ps();
    for sum in &sums {
        total = _mm256_add_ps(total, *sum);
    }
    black_box(total);
}
