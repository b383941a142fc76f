//! Hints that memory will be read or written soon.

/// Asks for the cache line in which a slice begins. Only a hint; changes nothing.
#[inline(always)]
pub(crate) fn prefetch<T>(values: &[T]) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if !values.is_empty() {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: every x86-64 processor has the instruction, and the address lies in a slice.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(values.as_ptr().cast()) }
    }
    let _ = values;
}
