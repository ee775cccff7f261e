//! All unsafe code of the crate: memory maps, locks that survive fork, per-thread state, the unwinder's view of the
//! process, jemalloc's control interface and the hooks it calls.
//!
//! Everything here offers a safe interface; each `unsafe` block says what guarantees it. What may run inside an
//! allocation says so in its header: there, nothing allocates, frees, or waits for anything that allocates.
#![allow(unsafe_code)]
// What two collectors share neither uses to the full alone, and other systems than Linux only in part.
#![cfg_attr(
    not(all(feature = "heap", feature = "cpu", feature = "recorder", target_os = "linux")),
    allow(dead_code)
)]

#[cfg(feature = "triggers")]
pub(crate) mod alloc_failure;
#[cfg(any(feature = "heap", feature = "cpu"))]
pub(crate) mod atomic;
#[cfg(all(any(feature = "heap", feature = "cpu"), target_os = "linux", target_arch = "x86_64"))]
pub(crate) mod cfi;
#[cfg(any(feature = "heap", feature = "cpu", feature = "tasks"))]
pub(crate) mod clock;
#[cfg(all(any(feature = "heap", feature = "cpu"), target_os = "linux"))]
pub(crate) mod code;
#[cfg(all(feature = "cpu", target_os = "linux"))]
pub(crate) mod cpu;
#[cfg(feature = "triggers")]
pub(crate) mod doorbell;
#[cfg(all(feature = "heap", target_os = "linux"))]
pub(crate) mod entry_points;
#[cfg(any(feature = "heap", feature = "cpu"))]
pub(crate) mod fork;
#[cfg(any(feature = "heap", feature = "cpu"))]
pub(crate) mod futex;
#[cfg(feature = "sync")]
pub(crate) mod held;
#[cfg(all(feature = "heap", target_os = "linux"))]
pub(crate) mod hooks;
#[cfg(all(feature = "heap", target_os = "linux"))]
pub(crate) mod jemalloc;
#[cfg(feature = "triggers")]
pub(crate) mod jemalloc_decay;
#[cfg(all(feature = "heap", feature = "memory", target_os = "linux"))]
pub(crate) mod jemalloc_stats;
#[cfg(any(feature = "heap", feature = "cpu"))]
pub(crate) mod lock;
#[cfg(feature = "symbols")]
pub(crate) mod mapped_file;
#[cfg(all(feature = "heap", target_os = "linux"))]
pub(crate) mod memory_file;
#[cfg(all(any(feature = "heap", feature = "cpu"), target_os = "linux"))]
pub(crate) mod modules;
#[cfg(all(any(feature = "heap", feature = "sync"), target_os = "linux"))]
pub(crate) mod own_stack;
#[cfg(all(feature = "cpu", target_os = "linux", target_arch = "x86_64"))]
pub(crate) mod program_rules;
#[cfg(feature = "parking_lot")]
pub(crate) mod raw_locks;
#[cfg(any(feature = "heap", feature = "cpu"))]
pub(crate) mod region;
#[cfg(feature = "triggers")]
pub(crate) mod signal;
#[cfg(all(any(feature = "heap", feature = "cpu"), target_os = "linux"))]
pub(crate) mod stack_bounds;
#[cfg(any(feature = "heap", feature = "cpu", feature = "tasks"))]
pub(crate) mod thread;
#[cfg(feature = "tasks")]
pub(crate) mod ticks;
#[cfg(all(any(feature = "heap", feature = "cpu"), target_os = "linux"))]
pub(crate) mod unwind;
#[cfg(feature = "tasks")]
pub(crate) mod waker_cell;
#[cfg(feature = "sync")]
pub(crate) mod watch;
