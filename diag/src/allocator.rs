//! The global allocator: jemalloc, built with profiling, with the settings that the heap collector needs.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};

#[cfg(not(target_os = "linux"))]
use std::alloc::System as Inner;
#[cfg(target_os = "linux")]
use tikv_jemallocator::Jemalloc as Inner;

use crate::sys::thread;

/// jemalloc, profiled and configured: nothing else to set.
///
/// ```
/// #[global_allocator]
/// static ALLOC: diag::Allocator = diag::Allocator;
/// ```
///
/// That is on Linux. On other systems, where there is no collector that would need it, it is the system's allocator.
///
/// It adds one thread-local store to `realloc`, and to each call that allocates a test for null, for the rule `alloc_failed`. Sampling starts with
/// [`Builder::start`](crate::Builder::start); until then profiling is compiled in and inactive.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allocator;

// SAFETY: every call goes to the inner allocator unchanged, which keeps the contract.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is the inner one's.
        served(unsafe { Inner.alloc(layout) }, layout.size())
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        served(unsafe { Inner.alloc_zeroed(layout) }, layout.size())
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { Inner.dealloc(ptr, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // The hook of the new block reads from which one it grew: birth and chain length carry over.
        thread::with_state(|t| t.realloc_from.set(ptr as usize));
        // SAFETY: as above.
        let new = unsafe { Inner.realloc(ptr, layout, new_size) };
        thread::with_state(|t| t.realloc_from.set(0));
        served(new, new_size)
    }
}

/// Rules may ask to be told of an allocation that failed.
#[inline]
fn served(block: *mut u8, bytes: usize) -> *mut u8 {
    #[cfg(feature = "triggers")]
    if block.is_null() {
        crate::sys::alloc_failure::note_in_handler(bytes);
    }
    let _ = bytes;
    block
}
