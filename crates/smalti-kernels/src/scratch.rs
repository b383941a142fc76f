//! Working memory of the kernels: per-thread buffers that are kept from call to call.

use crate::element::Element;
use std::cell::RefCell;

/// Buffers start on a cache line, counted in floats.
const LINE: usize = 16;

thread_local! {
    static IDLE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Runs `work` with a buffer of `len` values whose contents are arbitrary.
pub(crate) fn with_scratch_of<E: Element, R>(len: usize, work: impl FnOnce(&mut [E]) -> R) -> R {
    with_scratch(len.div_ceil(E::PER_WORD), |words| {
        // SAFETY: both element types are plain bits of at most a word's size and alignment, every
        // bit pattern is a value of theirs, and the buffer has room for `len` of them.
        let values = unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), len) };
        work(values)
    })
}

/// Runs `work` with a buffer of `len` floats whose contents are arbitrary.
///
/// Calls may nest: each gets a buffer of its own.
pub(crate) fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let idle = IDLE.with_borrow_mut(|idle| idle.pop());
    let mut buffer = idle.unwrap_or_default();
    if buffer.len() < len + LINE {
        buffer = vec![0.0; len + LINE];
    }
    let bytes = LINE * size_of::<f32>();
    let start = buffer.as_ptr().align_offset(bytes).min(LINE);
    let result = work(&mut buffer[start..start + len]);
    IDLE.with_borrow_mut(|idle| idle.push(buffer));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_buffers_are_distinct_and_aligned() {
        for len in [0, 1, 100, 3] {
            with_scratch(len, |outer| {
                outer.fill(1.0);
                with_scratch(50, |inner| inner.fill(2.0));
                assert!(outer.iter().all(|&value| value == 1.0));
                assert_eq!(outer.len(), len);
                assert_eq!(outer.as_ptr().addr() % 64, 0);
            });
        }
    }
}
