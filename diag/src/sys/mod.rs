//! All unsafe code of the crate: memory maps, locks that survive fork, per-thread state, the unwinder's view of the
//! process, jemalloc's control interface and the hooks it calls.
//!
//! Everything here offers a safe interface; each `unsafe` block says what guarantees it. What may run inside an
//! allocation says so in its header: there, nothing allocates, frees, or waits for anything that allocates.
#![allow(unsafe_code)]

#[cfg(all(feature = "heap", target_arch = "x86_64"))]
pub(crate) mod cfi;
#[cfg(feature = "heap")]
pub(crate) mod clock;
#[cfg(feature = "heap")]
pub(crate) mod entry_points;
#[cfg(feature = "heap")]
pub(crate) mod fork;
#[cfg(feature = "heap")]
pub(crate) mod hooks;
#[cfg(feature = "heap")]
pub(crate) mod jemalloc;
#[cfg(all(feature = "heap", feature = "memory"))]
pub(crate) mod jemalloc_stats;
#[cfg(feature = "heap")]
pub(crate) mod lock;
#[cfg(feature = "symbols")]
pub(crate) mod mapped_file;
#[cfg(feature = "heap")]
pub(crate) mod memory_file;
#[cfg(feature = "heap")]
pub(crate) mod modules;
#[cfg(feature = "heap")]
pub(crate) mod region;
#[cfg(feature = "heap")]
pub(crate) mod stack_bounds;
#[cfg(feature = "heap")]
pub(crate) mod thread;
#[cfg(feature = "heap")]
pub(crate) mod unwind;
