//! Memory of the kernels' results, used again when a tensor is dropped.
//!
//! Fresh memory costs: the system clears every page, and the first write to each is interrupted. A network asks for the
//! same sizes again and again, so buffers go back to a pool instead of to the system.

use super::values::Value;
use crate::memory::OutOfMemory;
use burn_std::{AccessError, AccessPolicy, AllocationController, AllocationProperty, Bytes};
use memmap2::MmapMut;
use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::panic::panic_any;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Smaller buffers are left to the allocator, which is good at them.
const MIN_BYTES: usize = 64 * 1024;

/// Buffers from this size on ask the system for large pages.
const LARGE: usize = 4 << 20;

/// How much may lie idle on top of what brings the memory in use to its highest so far.
const SPARE: usize = 32 << 20;

#[derive(Default)]
struct Pool {
    /// From the longest idle to the latest.
    idle: VecDeque<MmapMut>,
    idle_bytes: usize,
    used_bytes: usize,
    /// The most that was in use at a time.
    peak_bytes: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    idle: VecDeque::new(),
    idle_bytes: 0,
    used_bytes: 0,
    peak_bytes: 0,
});

fn pool() -> MutexGuard<'static, Pool> {
    // A panic elsewhere leaves the pool as it was: its methods do not panic.
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// An idle buffer of at least `bytes` bytes, and not much more.
    fn take(&mut self, bytes: usize) -> Option<MmapMut> {
        self.used_bytes += bytes;
        self.peak_bytes = self.peak_bytes.max(self.used_bytes);
        let fits = |buffer: &MmapMut| buffer.len() >= bytes && buffer.len() <= bytes + bytes / 8;
        // The latest one is the likeliest to be in a cache still.
        let Some(place) = self.idle.iter().rposition(fits) else {
            self.trim();
            return None;
        };
        let buffer = self.idle.remove(place)?;
        self.idle_bytes -= buffer.len();
        Some(buffer)
    }

    fn put(&mut self, buffer: MmapMut, bytes: usize) {
        self.used_bytes -= bytes;
        self.idle_bytes += buffer.len();
        self.idle.push_back(buffer);
        self.trim();
    }

    /// Gives back what has been idle longest, until no more is held than was ever in use, and a little.
    fn trim(&mut self) {
        while self.used_bytes + self.idle_bytes > self.peak_bytes + SPARE {
            let Some(oldest) = self.idle.pop_front() else {
                return;
            };
            self.idle_bytes -= oldest.len();
        }
    }
}

/// Memory for `bytes` bytes straight from the system, so that giving it back leaves no holes in a heap.
fn map(bytes: usize) -> MmapMut {
    let Ok(map) = MmapMut::map_anon(bytes) else {
        panic_any(OutOfMemory { bytes });
    };
    #[cfg(target_os = "linux")]
    if bytes >= LARGE {
        // A wish; without large pages it is merely slower.
        let _ = map.advise(memmap2::Advice::HugePage);
    }
    map
}

enum Memory {
    Small(Vec<u128>),
    /// Returns to the pool; with it, how many bytes were asked for.
    Pooled(Option<MmapMut>, usize),
}

impl Memory {
    fn new(bytes: usize) -> Self {
        if bytes < MIN_BYTES {
            return Memory::Small(vec![0; bytes.div_ceil(size_of::<u128>())]);
        }
        let recycled = pool().take(bytes);
        Memory::Pooled(Some(recycled.unwrap_or_else(|| map(bytes))), bytes)
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Memory::Small(values) => bytemuck::cast_slice(values),
            Memory::Pooled(map, _) => map.as_deref().unwrap_or_default(),
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Memory::Small(values) => bytemuck::cast_slice_mut(values),
            Memory::Pooled(map, _) => map.as_deref_mut().unwrap_or_default(),
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Memory::Pooled(map, bytes) = self
            && let Some(map) = map.take()
        {
            pool().put(map, *bytes);
        }
    }
}

/// Values of a tensor that is being computed. They begin as whatever was there.
pub struct Buffer<E> {
    memory: Memory,
    len: usize,
    element: std::marker::PhantomData<E>,
}

/// A buffer of `len` arbitrary values that are about to be overwritten.
pub fn unset<E: Value>(len: usize) -> Buffer<E> {
    let memory = Memory::new(len * size_of::<E>());
    Buffer {
        memory,
        len,
        element: std::marker::PhantomData,
    }
}

impl<E: Value> Buffer<E> {
    /// The bytes of the values.
    pub fn into_bytes(self) -> Bytes {
        let len = self.len * size_of::<E>();
        // SAFETY: the memory holds at least that many bytes, all of them initialised.
        unsafe { Bytes::from_controller(Box::new(self.memory), len) }
    }
}

impl<E: Value> Deref for Buffer<E> {
    type Target = [E];

    fn deref(&self) -> &[E] {
        bytemuck::cast_slice(&self.memory.bytes()[..self.len * size_of::<E>()])
    }
}

impl<E: Value> DerefMut for Buffer<E> {
    fn deref_mut(&mut self) -> &mut [E] {
        bytemuck::cast_slice_mut(&mut self.memory.bytes_mut()[..self.len * size_of::<E>()])
    }
}

impl AllocationController for Memory {
    fn alloc_align(&self) -> usize {
        align_of::<u128>()
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    unsafe fn memory_mut(
        &mut self,
        _: AccessPolicy,
    ) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let bytes = self.bytes_mut();
        // SAFETY: the caller promises to write initialised bytes only.
        Ok(unsafe { &mut *(std::ptr::from_mut(bytes) as *mut [MaybeUninit<u8>]) })
    }

    fn memory(&self, _: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let bytes = self.bytes();
        // SAFETY: initialised bytes may be seen as possibly uninitialised ones.
        Ok(unsafe { &*(std::ptr::from_ref(bytes) as *const [MaybeUninit<u8>]) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_is_used_again() {
        // A size that no other test asks for.
        let len = 1_234_567;
        let mut first = unset::<f32>(len);
        first.fill(3.0);
        let place = first.as_ptr();
        drop(first.into_bytes());
        let second = unset::<f32>(len - 1000);
        assert_eq!(second.len(), len - 1000);
        assert_eq!(second.as_ptr(), place);
    }

    #[test]
    fn what_lies_idle_is_limited() {
        let mut pool = Pool::default();
        let sizes = [SPARE / 2, SPARE / 2 + (4 << 20), SPARE / 2 + (8 << 20)];
        for bytes in sizes {
            pool.used_bytes += bytes;
            pool.put(map(bytes), bytes);
        }
        assert!(pool.idle_bytes <= SPARE);
        assert!(pool.take(sizes[2]).is_some(), "the latest is kept");
        assert!(pool.take(sizes[0]).is_none(), "the oldest was given back");
    }

    #[test]
    fn fresh_memory_takes_the_place_of_what_lies_idle() {
        let mut pool = Pool::default();
        let large = 4 * SPARE;
        assert!(pool.take(large).is_none());
        pool.put(map(large), large);
        assert_eq!(pool.idle_bytes, large);
        assert!(pool.take(large / 2).is_none(), "it would waste too much");
        assert!(pool.used_bytes + pool.idle_bytes <= large + SPARE);
    }

    #[test]
    fn the_end_of_memory_can_be_told_from_a_bug() {
        // More than any address space has.
        let bytes = 1 << 60;
        let payload = std::panic::catch_unwind(|| map(bytes)).unwrap_err();
        let found = payload.downcast_ref::<OutOfMemory>();
        assert_eq!(found, Some(&OutOfMemory { bytes }));
    }

    #[test]
    fn bytes_hold_the_values() {
        let mut buffer = unset::<f32>(5);
        buffer.copy_from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        let bytes = buffer.into_bytes();
        assert_eq!(
            bytemuck::cast_slice::<u8, f32>(&bytes),
            [1.0, 2.0, 3.0, 4.0, 5.0]
        );
        let copy: Vec<u8> = bytes.clone().to_vec();
        assert_eq!(copy, bytes.to_vec());
    }
}
