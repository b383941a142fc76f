//! The vector registers that products are computed in: one type per instruction set.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// A register of `WIDTH` lanes of 32 bits: sums are `f32`, operands are words of `f32` or of two
/// `bf16`.
pub(super) trait Vector: Copy {
    const WIDTH: usize;

    fn zero() -> Self;

    /// # Safety
    /// `WIDTH` words can be read, and the processor has the instruction set of the type.
    unsafe fn load(from: *const f32) -> Self;

    /// # Safety
    /// `WIDTH` words can be written, and the processor has the instruction set of the type.
    unsafe fn store(self, to: *mut f32);

    /// Every lane is the word at `from`.
    ///
    /// # Safety
    /// A word can be read, and the processor has the instruction set of the type.
    unsafe fn broadcast(from: *const f32) -> Self;

    /// `self + left * right` of words that are `f32`.
    ///
    /// # Safety
    /// The processor has the instruction set of the type.
    unsafe fn add_product(self, left: Self, right: Self) -> Self;

    /// `self` plus both products of words that are pairs of `bf16`.
    ///
    /// # Safety
    /// The processor has the instruction set of the type.
    unsafe fn add_pair_products(self, left: Self, right: Self) -> Self;
}

/// Any processor: the compiler makes of it what it can.
#[derive(Clone, Copy)]
pub(super) struct Portable([f32; 4]);

impl Vector for Portable {
    const WIDTH: usize = 4;

    #[inline(always)]
    fn zero() -> Self {
        Portable([0.0; 4])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for four words; arrays of f32 have no stricter alignment need
        // when read unaligned.
        Portable(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as in `load`.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn broadcast(from: *const f32) -> Self {
        // SAFETY: the caller vouches for one word.
        Portable([unsafe { from.read_unaligned() }; 4])
    }

    #[inline(always)]
    unsafe fn add_product(self, left: Self, right: Self) -> Self {
        Portable(std::array::from_fn(|i| self.0[i] + left.0[i] * right.0[i]))
    }

    #[inline(always)]
    unsafe fn add_pair_products(self, left: Self, right: Self) -> Self {
        let low = |word: f32| f32::from_bits(word.to_bits() << 16);
        let high = |word: f32| f32::from_bits(word.to_bits() & 0xffff_0000);
        Portable(std::array::from_fn(|i| {
            let sum = self.0[i] + low(left.0[i]) * low(right.0[i]);
            sum + high(left.0[i]) * high(right.0[i])
        }))
    }
}

/// AVX2 with FMA.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Avx2(__m256);

#[cfg(target_arch = "x86_64")]
impl Vector for Avx2 {
    const WIDTH: usize = 8;

    #[inline(always)]
    fn zero() -> Self {
        // SAFETY: all bits zero are eight zeros.
        Avx2(unsafe { std::mem::zeroed() })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for the words and the instruction set.
        Avx2(unsafe { _mm256_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as in `load`.
        unsafe { _mm256_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn broadcast(from: *const f32) -> Self {
        // SAFETY: as in `load`.
        Avx2(unsafe { _mm256_set1_ps(from.read_unaligned()) })
    }

    #[inline(always)]
    unsafe fn add_product(self, left: Self, right: Self) -> Self {
        // SAFETY: the caller vouches for the instruction set.
        Avx2(unsafe { _mm256_fmadd_ps(left.0, right.0, self.0) })
    }

    #[inline(always)]
    unsafe fn add_pair_products(self, left: Self, right: Self) -> Self {
        // SAFETY: the caller vouches for the instruction set.
        unsafe {
            let low =
                |words| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(words)));
            let mask = _mm256_castsi256_ps(_mm256_set1_epi32(-0x1_0000));
            let high = |words| _mm256_and_ps(words, mask);
            let sum = _mm256_fmadd_ps(low(left.0), low(right.0), self.0);
            Avx2(_mm256_fmadd_ps(high(left.0), high(right.0), sum))
        }
    }
}

/// AVX-512; `NATIVE` if the processor multiplies pairs of bf16.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Avx512<const NATIVE: bool>(__m512);

#[cfg(target_arch = "x86_64")]
impl<const NATIVE: bool> Vector for Avx512<NATIVE> {
    const WIDTH: usize = 16;

    #[inline(always)]
    fn zero() -> Self {
        // SAFETY: all bits zero are sixteen zeros.
        Avx512(unsafe { std::mem::zeroed() })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for the words and the instruction set.
        Avx512(unsafe { _mm512_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as in `load`.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn broadcast(from: *const f32) -> Self {
        // SAFETY: as in `load`.
        Avx512(unsafe { _mm512_set1_ps(from.read_unaligned()) })
    }

    #[inline(always)]
    unsafe fn add_product(self, left: Self, right: Self) -> Self {
        // SAFETY: the caller vouches for the instruction set.
        Avx512(unsafe { _mm512_fmadd_ps(left.0, right.0, self.0) })
    }

    #[inline(always)]
    unsafe fn add_pair_products(self, left: Self, right: Self) -> Self {
        // SAFETY: the caller vouches for the instruction set; registers of bf16 and of f32 are the
        // same bits under two types.
        unsafe {
            if NATIVE {
                let pairs = |words: __m512| std::mem::transmute::<__m512, __m512bh>(words);
                return Avx512(_mm512_dpbf16_ps(self.0, pairs(left.0), pairs(right.0)));
            }
            let low =
                |words| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(words)));
            let mask = _mm512_set1_epi32(-0x1_0000);
            let high =
                |words| _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(words), mask));
            let sum = _mm512_fmadd_ps(low(left.0), low(right.0), self.0);
            Avx512(_mm512_fmadd_ps(high(left.0), high(right.0), sum))
        }
    }
}
