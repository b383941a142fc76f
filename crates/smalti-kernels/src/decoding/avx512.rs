//! A panel in two 512-bit registers.

use super::lanes::Lanes;
use super::panel::{Panel, multiply_panel};
use super::step::{PANEL, Step};
use crate::dispatch::Isa;
use crate::element::bf16;
use std::arch::x86_64::{
    __m512, __m512i, _mm_loadu_si128, _mm256_loadu_si256, _mm512_castsi512_ps,
    _mm512_cvtepi8_epi32, _mm512_cvtepi32_ps, _mm512_cvtepu8_epi32, _mm512_cvtepu16_epi32,
    _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_permutexvar_ps, _mm512_set1_ps, _mm512_slli_epi32,
    _mm512_srli_epi32, _mm512_storeu_ps,
};

/// Lanes of a register.
const WIDTH: usize = 16;

/// What four bits stand for.
const HALF_BYTES: [f32; 16] = [
    -8.0, -7.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0,
];

/// Proves that the processor has AVX-512 F, BW, DQ and VL.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

impl Avx512 {
    /// The proof, if the processor has them.
    pub(super) fn detect() -> Option<Avx512> {
        Isa::Avx512.is_available().then_some(Avx512(()))
    }

    #[inline(always)]
    fn bf16(self, source: &[bf16; WIDTH]) -> __m512 {
        // SAFETY: `self` proves the instructions; the array has the 32 bytes that are read.
        unsafe {
            let upper = _mm512_cvtepu16_epi32(_mm256_loadu_si256(source.as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(upper))
        }
    }

    #[inline(always)]
    fn i8(self, source: &[i8; WIDTH]) -> __m512 {
        // SAFETY: `self` proves the instructions; the array has the 16 bytes that are read.
        unsafe {
            let bytes = _mm_loadu_si128(source.as_ptr().cast());
            _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))
        }
    }

    #[inline(always)]
    fn bytes(self, source: &[u8; WIDTH]) -> __m512i {
        // SAFETY: `self` proves the instructions; the array has the 16 bytes that are read.
        unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(source.as_ptr().cast())) }
    }

    /// Looks the lower four bits of each lane up; the instruction ignores the others.
    #[inline(always)]
    fn lower_half(self, bytes: __m512i) -> __m512 {
        // SAFETY: `self` proves the instructions; the table has the 16 numbers that are read.
        unsafe { _mm512_permutexvar_ps(bytes, _mm512_loadu_ps(HALF_BYTES.as_ptr())) }
    }

    #[inline(always)]
    fn upper_half(self, bytes: __m512i) -> __m512 {
        // SAFETY: `self` proves the instructions.
        let shifted = unsafe { _mm512_srli_epi32::<4>(bytes) };
        self.lower_half(shifted)
    }
}

impl Lanes for Avx512 {
    type Numbers = [__m512; 2];
    const ROWS: usize = 8;

    #[inline(always)]
    fn splat(self, value: f32) -> [__m512; 2] {
        // SAFETY: `self` proves the instructions.
        unsafe { [_mm512_set1_ps(value); 2] }
    }

    #[inline(always)]
    fn load(self, source: &[f32; PANEL]) -> [__m512; 2] {
        let [low, high] = registers(source);
        // SAFETY: `self` proves the instructions; both arrays have the 16 numbers that are read.
        unsafe {
            [
                _mm512_loadu_ps(low.as_ptr()),
                _mm512_loadu_ps(high.as_ptr()),
            ]
        }
    }

    #[inline(always)]
    fn load_bf16(self, source: &[bf16; PANEL]) -> [__m512; 2] {
        let [low, high] = registers(source);
        [self.bf16(low), self.bf16(high)]
    }

    #[inline(always)]
    fn load_i8(self, source: &[i8; PANEL]) -> [__m512; 2] {
        let [low, high] = registers(source);
        [self.i8(low), self.i8(high)]
    }

    #[inline(always)]
    fn load_lower_halves(self, source: &[u8; PANEL]) -> [__m512; 2] {
        let [low, high] = registers(source);
        [
            self.lower_half(self.bytes(low)),
            self.lower_half(self.bytes(high)),
        ]
    }

    #[inline(always)]
    fn load_upper_halves(self, source: &[u8; PANEL]) -> [__m512; 2] {
        let [low, high] = registers(source);
        [
            self.upper_half(self.bytes(low)),
            self.upper_half(self.bytes(high)),
        ]
    }

    #[inline(always)]
    fn multiply_add(self, left: [__m512; 2], right: [__m512; 2], sum: [__m512; 2]) -> [__m512; 2] {
        // SAFETY: `self` proves the instructions.
        unsafe {
            [
                _mm512_fmadd_ps(left[0], right[0], sum[0]),
                _mm512_fmadd_ps(left[1], right[1], sum[1]),
            ]
        }
    }

    #[inline(always)]
    fn store(self, numbers: [__m512; 2], target: &mut [f32; PANEL]) {
        let (low, high) = target.split_at_mut(WIDTH);
        // SAFETY: `self` proves the instructions; both halves have room for 16 numbers.
        unsafe {
            _mm512_storeu_ps(low.as_mut_ptr(), numbers[0]);
            _mm512_storeu_ps(high.as_mut_ptr(), numbers[1]);
        }
    }

    fn multiply<S: Step>(self, panel: Panel<'_, S>, columns: &[f32], products: &mut [f32]) {
        // SAFETY: `self` proves that the processor has the features of the function.
        unsafe {
            match products.len() / PANEL {
                1 => multiply_rows::<S, 1, true>(self, panel, columns, products),
                2 => multiply_rows::<S, 2, true>(self, panel, columns, products),
                3 => multiply_rows::<S, 3, true>(self, panel, columns, products),
                4 => multiply_rows::<S, 4, true>(self, panel, columns, products),
                5 => multiply_rows::<S, 5, false>(self, panel, columns, products),
                6 => multiply_rows::<S, 6, false>(self, panel, columns, products),
                7 => multiply_rows::<S, 7, false>(self, panel, columns, products),
                8 => multiply_rows::<S, 8, false>(self, panel, columns, products),
                rows => unreachable!("{rows} rows at once"),
            }
        }
    }
}

#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
fn multiply_rows<S: Step, const ROWS: usize, const PAIRS: bool>(
    lanes: Avx512,
    panel: Panel<'_, S>,
    columns: &[f32],
    products: &mut [f32],
) {
    multiply_panel::<Avx512, S, ROWS, PAIRS>(lanes, panel, columns, products);
}

/// The values of each register.
#[inline(always)]
fn registers<T>(source: &[T; PANEL]) -> [&[T; WIDTH]; 2] {
    match source.as_chunks::<WIDTH>() {
        ([low, high], []) => [low, high],
        _ => unreachable!("a panel is two registers"),
    }
}
