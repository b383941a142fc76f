//! A panel in four 256-bit registers.

use super::lanes::Lanes;
use super::panel::{Panel, multiply_panel};
use super::step::{PANEL, Step};
use crate::dispatch::Isa;
use crate::element::bf16;
use std::arch::x86_64::{
    __m256, __m256i, _mm_loadl_epi64, _mm_loadu_si128, _mm256_and_si256, _mm256_castsi256_ps,
    _mm256_cvtepi8_epi32, _mm256_cvtepi32_ps, _mm256_cvtepu8_epi32, _mm256_cvtepu16_epi32,
    _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_epi32, _mm256_set1_ps, _mm256_slli_epi32,
    _mm256_srli_epi32, _mm256_storeu_ps, _mm256_sub_epi32,
};

/// Lanes of a register.
const WIDTH: usize = 8;

/// Proves that the processor has AVX2 and FMA.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    /// The proof, if the processor has them.
    pub(super) fn detect() -> Option<Avx2> {
        Isa::Avx2.is_available().then_some(Avx2(()))
    }

    #[inline(always)]
    fn f32(self, source: &[f32; WIDTH]) -> __m256 {
        // SAFETY: `self` proves the instructions; the array has the 8 numbers that are read.
        unsafe { _mm256_loadu_ps(source.as_ptr()) }
    }

    #[inline(always)]
    fn bf16(self, source: &[bf16; WIDTH]) -> __m256 {
        // SAFETY: `self` proves the instructions; the array has the 16 bytes that are read.
        unsafe {
            let upper = _mm256_cvtepu16_epi32(_mm_loadu_si128(source.as_ptr().cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(upper))
        }
    }

    #[inline(always)]
    fn i8(self, source: &[i8; WIDTH]) -> __m256 {
        // SAFETY: `self` proves the instructions; the array has the 8 bytes that are read.
        unsafe {
            let bytes = _mm_loadl_epi64(source.as_ptr().cast());
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes))
        }
    }

    #[inline(always)]
    fn bytes(self, source: &[u8; WIDTH]) -> __m256i {
        // SAFETY: `self` proves the instructions; the array has the 8 bytes that are read.
        unsafe { _mm256_cvtepu8_epi32(_mm_loadl_epi64(source.as_ptr().cast())) }
    }

    #[inline(always)]
    fn lower_half(self, source: &[u8; WIDTH]) -> __m256 {
        // SAFETY: `self` proves the instructions.
        unsafe {
            let half = _mm256_and_si256(self.bytes(source), _mm256_set1_epi32(0x0f));
            _mm256_cvtepi32_ps(_mm256_sub_epi32(half, _mm256_set1_epi32(8)))
        }
    }

    #[inline(always)]
    fn upper_half(self, source: &[u8; WIDTH]) -> __m256 {
        // SAFETY: `self` proves the instructions.
        unsafe {
            let half = _mm256_srli_epi32::<4>(self.bytes(source));
            _mm256_cvtepi32_ps(_mm256_sub_epi32(half, _mm256_set1_epi32(8)))
        }
    }
}

impl Lanes for Avx2 {
    type Numbers = [__m256; 4];
    // Sixteen registers: sums of two rows, weights and an input.
    const ROWS: usize = 2;

    #[inline(always)]
    fn splat(self, value: f32) -> [__m256; 4] {
        // SAFETY: `self` proves the instructions.
        unsafe { [_mm256_set1_ps(value); 4] }
    }

    #[inline(always)]
    fn load(self, source: &[f32; PANEL]) -> [__m256; 4] {
        let [a, b, c, d] = registers(source);
        [self.f32(a), self.f32(b), self.f32(c), self.f32(d)]
    }

    #[inline(always)]
    fn load_bf16(self, source: &[bf16; PANEL]) -> [__m256; 4] {
        let [a, b, c, d] = registers(source);
        [self.bf16(a), self.bf16(b), self.bf16(c), self.bf16(d)]
    }

    #[inline(always)]
    fn load_i8(self, source: &[i8; PANEL]) -> [__m256; 4] {
        let [a, b, c, d] = registers(source);
        [self.i8(a), self.i8(b), self.i8(c), self.i8(d)]
    }

    #[inline(always)]
    fn load_lower_halves(self, source: &[u8; PANEL]) -> [__m256; 4] {
        let [a, b, c, d] = registers(source);
        [
            self.lower_half(a),
            self.lower_half(b),
            self.lower_half(c),
            self.lower_half(d),
        ]
    }

    #[inline(always)]
    fn load_upper_halves(self, source: &[u8; PANEL]) -> [__m256; 4] {
        let [a, b, c, d] = registers(source);
        [
            self.upper_half(a),
            self.upper_half(b),
            self.upper_half(c),
            self.upper_half(d),
        ]
    }

    #[inline(always)]
    fn multiply_add(self, left: [__m256; 4], right: [__m256; 4], sum: [__m256; 4]) -> [__m256; 4] {
        // SAFETY: `self` proves the instructions.
        unsafe {
            [
                _mm256_fmadd_ps(left[0], right[0], sum[0]),
                _mm256_fmadd_ps(left[1], right[1], sum[1]),
                _mm256_fmadd_ps(left[2], right[2], sum[2]),
                _mm256_fmadd_ps(left[3], right[3], sum[3]),
            ]
        }
    }

    #[inline(always)]
    fn store(self, numbers: [__m256; 4], target: &mut [f32; PANEL]) {
        let (parts, _) = target.as_chunks_mut::<WIDTH>();
        for (part, &number) in parts.iter_mut().zip(&numbers) {
            // SAFETY: `self` proves the instructions; the array has room for 8 numbers.
            unsafe { _mm256_storeu_ps(part.as_mut_ptr(), number) };
        }
    }

    fn multiply<S: Step>(self, panel: Panel<'_, S>, columns: &[f32], products: &mut [f32]) {
        // SAFETY: `self` proves that the processor has the features of the function.
        unsafe {
            match products.len() / PANEL {
                1 => multiply_rows::<S, 1, true>(self, panel, columns, products),
                2 => multiply_rows::<S, 2, false>(self, panel, columns, products),
                rows => unreachable!("{rows} rows at once"),
            }
        }
    }
}

#[target_feature(enable = "avx2,fma")]
fn multiply_rows<S: Step, const ROWS: usize, const PAIRS: bool>(
    lanes: Avx2,
    panel: Panel<'_, S>,
    columns: &[f32],
    products: &mut [f32],
) {
    multiply_panel::<Avx2, S, ROWS, PAIRS>(lanes, panel, columns, products);
}

/// The values of each register.
#[inline(always)]
fn registers<T>(source: &[T; PANEL]) -> [&[T; WIDTH]; 4] {
    match source.as_chunks::<WIDTH>() {
        ([a, b, c, d], []) => [a, b, c, d],
        _ => unreachable!("a panel is four registers"),
    }
}
