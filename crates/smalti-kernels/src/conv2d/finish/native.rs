//! Finishing whole blocks of bf16 where the processor rounds to it (AVX512-BF16), without an activation.

use super::{BLOCK, Finish};
use crate::activation::Activation;
use crate::dispatch::Isa;
use crate::element::Element;
use std::arch::x86_64::*;

/// Whether [`finish_row`] can do it here, and does it all.
pub(super) fn suits<E: Element>(isa: Isa, finish: &Finish<'_, E>, count: usize) -> bool {
    E::PER_WORD == 2
        && finish.activation == Activation::None
        && count.is_multiple_of(BLOCK)
        && isa >= Isa::Avx512
        && Isa::Avx512.is_available()
        && is_x86_feature_detected!("avx512bf16")
}

/// What [`super::finish_row`] does, with the same bits. `E` is bf16.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
pub(super) fn finish_row<E: Element>(
    sums: &[f32],
    finish: &Finish<'_, E>,
    count: usize,
    target: &mut [E],
) {
    let biases = finish.bias.as_chunks::<BLOCK>().0;
    for (row, sums) in sums.chunks_exact(finish.panel).enumerate() {
        let first = row * finish.step;
        let targets = target[first..][..count].as_chunks_mut::<BLOCK>().0;
        let sums = sums[..count].as_chunks::<BLOCK>().0;
        let blocks = targets.iter_mut().zip(sums.iter().zip(biases));
        match finish.residual {
            None => {
                for (target, (sums, bias)) in blocks {
                    finish_block(sums, bias, None, target);
                }
            }
            Some(residual) => {
                let residuals = residual[first..][..count].as_chunks::<BLOCK>().0;
                for ((target, (sums, bias)), residual) in blocks.zip(residuals) {
                    finish_block(sums, bias, Some(residual), target);
                }
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
fn finish_block<E: Element>(
    sums: &[f32; BLOCK],
    bias: &[f32; BLOCK],
    residual: Option<&[E; BLOCK]>,
    target: &mut [E; BLOCK],
) {
    assert_eq!(size_of::<E>(), size_of::<u16>(), "bytes of a value");
    // SAFETY: arrays hold as many values as are read and written, sixteen of 32 and, by the assertion, of 16 bits;
    // the function is compiled for the instructions.
    unsafe {
        let mut values = _mm512_add_ps(
            _mm512_loadu_ps(sums.as_ptr()),
            _mm512_loadu_ps(bias.as_ptr()),
        );
        if let Some(residual) = residual {
            let upper = _mm512_cvtepu16_epi32(_mm256_loadu_si256(residual.as_ptr().cast()));
            let residual = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(upper));
            values = _mm512_add_ps(values, residual);
        }
        _mm256_storeu_si256(target.as_mut_ptr().cast(), rounded(values));
    }
}

/// The nearest bf16, ties to even.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
fn rounded(values: __m512) -> __m256i {
    /// The class of numbers below the normal ones.
    const DENORMAL: i32 = 0x20;
    // SAFETY: the function is compiled for the instructions; registers of bf16 and of whole numbers are the same bits
    // under two types.
    unsafe {
        let rounded = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(values));
        // These the instruction takes for zeros.
        let denormal = _mm512_fpclass_ps_mask::<DENORMAL>(values);
        if denormal == 0 {
            return rounded;
        }
        let bits = _mm512_castps_si512(values);
        let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
        let upper = _mm512_srli_epi32::<16>(_mm512_add_epi32(bits, half));
        _mm256_mask_mov_epi16(rounded, denormal, _mm512_cvtepi32_epi16(upper))
    }
}
