//! An allocator that counts, so that a test can say how much memory a file was worth.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// Kind and number of the case that is running: when memory runs out, the program ends before a test can say it.
static CASE: Mutex<(&str, usize)> = Mutex::new(("none", 0));

/// The system's allocator, counted.
pub struct Counting;

// SAFETY: every call is passed on to the system's allocator as it came, and so is what it returns.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is the one that is asked for.
        let pointer = unsafe { System.alloc(layout) };
        count(pointer, layout.size());
        pointer
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let pointer = unsafe { System.alloc_zeroed(layout) };
        count(pointer, layout.size());
        pointer
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        let moved = unsafe { System.realloc(pointer, layout, size) };
        if !moved.is_null() {
            NOW.fetch_sub(layout.size(), Relaxed);
        }
        count(moved, size);
        moved
    }
}

fn count(pointer: *mut u8, size: usize) {
    if !pointer.is_null() {
        let now = NOW.fetch_add(size, Relaxed) + size;
        PEAK.fetch_max(now, Relaxed);
    } else if let Ok(case) = CASE.try_lock() {
        let (kind, number) = *case;
        let _ = writeln!(
            std::io::stderr(),
            "case {kind}:{number} asked for {size} bytes"
        );
    }
}

/// Says which case runs from now on.
pub fn begin(kind: &'static str, number: usize) {
    if let Ok(mut case) = CASE.lock() {
        *case = (kind, number);
    }
}

/// Does `work` and tells how many bytes there were at once, beyond those that were there before.
pub fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = work();
    (result, PEAK.load(Relaxed).saturating_sub(before))
}
