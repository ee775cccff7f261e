//! Where threads and tasks wait for locks, and for whom: mutex and block profiles with the semantics of Go's.
//!
//! ```
//! use diag::sync::Mutex; // in place of std::sync::Mutex
//!
//! static ORDERS: Mutex<Vec<u64>> = Mutex::new(Vec::new());
//! diag::sync::set_mutex_profile_fraction(10); // off until this, a builder's setting or a variable
//! diag::sync::set_block_profile_rate(1_000_000);
//! ORDERS.lock().unwrap().push(1);
//! let profile = diag::sync::mutex_profile()?;
//! # assert_eq!(profile.sample_types()[1].kind, "delay");
//! # Ok::<(), diag::profile::ProfileError>(())
//! ```
//!
//! Drop-in locks: [`Mutex`], [`RwLock`] and [`Condvar`] for std's, [`parking_lot`](mod@parking_lot) (feature `parking_lot`) and
//! [`tokio`](mod@tokio) (feature `tokio`) for those. They are the originals with 16 bytes beside them: poisoning, fairness, spinning,
//! cancellation stay theirs. Only these locks are seen.
//!
//! # What is measured
//!
//! Both profiles count from the start of the process: `contentions/count` and `delay/nanoseconds`, estimates of the whole.
//!
//! - **Mutex profile** ([`set_mutex_profile_fraction`], one in N): the time that others wait is charged to the code that makes
//!   them wait, when it releases the lock. A release while somebody waits is one contention; it is charged with what all that
//!   wait have waited since they came or since the release before. So what holders are charged with sums up to what waiters have waited, but
//!   for the time between a release and the moment when the waiter runs. Of several readers, each is charged with the time up
//!   to its release; Go charges the last.
//! - **Block profile** ([`set_block_profile_rate`]): the time of a wait is charged to the code that waits, when it ends. A wait
//!   shorter than the rate is taken with the probability that it is of the rate, and then stands for others. Waits that end without the
//!   lock (a timeout, a future dropped) count, and so does the time in [`Condvar::wait`], as in Go.
//!
//! Frames of the locks themselves are taken off the leaf when names are resolved. For tokio's locks the stack of a wait is
//! the one of the first poll that found the lock taken, which shows the chain of futures that await each other; a wait is from then to the
//! poll that gets the lock, the runtime's own delay included. Samples have the labels (span, route, [`Labels`](crate::Labels)) of the
//! thread.
//!
//! # Cost
//!
//! An acquisition that finds the lock free and a release that nobody waits for cost a load and a branch more than the original, on or
//! off. Lock and unlock, in ns of CPU time, the original's and diag's (2026-11-29, x86-64, best of 40 batches on a busy machine; in
//! `benches/sync.rs` they stand side by side): std's Mutex 19.1 and 18.7, RwLock read 21.9 and 22.1, write 19.3 and 20.5; parking_lot's Mutex 19.6
//! and 20.9, read 22.1 and 22.4. Two threads that fight for one Mutex: 370 to 470 each, with and without, on and off. Clocks are read and stacks walked only where somebody waits while a profile is on: two readings, and about what a sample of the heap takes; tokio's
//! locks walk the stack for each wait while the block profile is on.
//!
//! # What is lost
//!
//! Stacks are walked on Linux only: on other systems the locks are the originals, and both profiles stay off.
//!
//! 4 MiB a profile are kept: some 13,000 stacks. Later stacks become `[stack dropped: table full]` with their values. At most 65,535 wait
//! for one lock at a time; those beyond are not charged to holders. Each loss is counted ([`SyncStats::losses`], the profile's comments). What
//! diag does itself is left out. A forked child goes on with its parent's values. Libraries loaded after the start are known to the unwinder once
//! a profile was taken.

mod condvar;
#[cfg(target_os = "linux")]
mod draw;
mod mutex;
#[cfg(feature = "parking_lot")]
pub mod parking_lot;
mod profile;
#[cfg(not(target_os = "linux"))]
#[path = "elsewhere.rs"]
mod record;
#[cfg(target_os = "linux")]
mod record;
mod rwlock;
#[cfg(target_os = "linux")]
mod sampling;
mod switch;
#[cfg(feature = "tokio")]
pub mod tokio;
mod waits;

use std::collections::BTreeMap;

use crate::profile::{Profile, ProfileError};
use crate::sys::thread::Unprofiled;
pub use condvar::Condvar;
pub use mutex::{Mutex, MutexGuard};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use switch::{
    block_profile_rate, mutex_profile_fraction, set_block_profile_rate, set_mutex_profile_fraction,
};

/// Who makes others wait: `contentions/count` and `delay/nanoseconds` since the start of the process, by the stack that released a
/// lock. Addresses only; see [`Diag::symbolize`](crate::Diag::symbolize). Empty, with a comment that says why, while it is off.
///
/// # Errors
/// The profile would be larger than its format allows.
pub fn mutex_profile() -> Result<Profile, ProfileError> {
    let _unprofiled = Unprofiled::begin();
    profile::build(record::Kind::Mutex)
}

/// Who waits: the same, by the stack that waited.
///
/// # Errors
/// As [`mutex_profile`].
pub fn block_profile() -> Result<Profile, ProfileError> {
    let _unprofiled = Unprofiled::begin();
    profile::build(record::Kind::Block)
}

/// State of the two profiles, for `status`.
#[derive(Clone, Debug, Default, serde::Serialize)]
#[non_exhaustive]
pub struct SyncStats {
    /// One in so many contentions is in the mutex profile; 0: it is off.
    pub mutex_profile_fraction: u32,
    /// Waits of so many nanoseconds are all in the block profile; 0: it is off.
    pub block_profile_rate_ns: u64,
    /// Samples in the mutex profile.
    pub mutex_samples_total: u64,
    /// Samples in the block profile.
    pub block_samples_total: u64,
    /// Memory of their tables.
    pub memory_bytes: u64,
    /// What was lost, by name.
    pub losses: BTreeMap<String, u64>,
}

/// Memory of the tables.
#[cfg(all(feature = "heap", feature = "memory"))]
pub(crate) fn memory_bytes() -> u64 {
    record::memory_bytes()
}

/// State and counters.
#[must_use]
pub fn stats() -> SyncStats {
    let samples = |kind| record::samples(kind);
    SyncStats {
        mutex_profile_fraction: mutex_profile_fraction(),
        block_profile_rate_ns: block_profile_rate(),
        mutex_samples_total: samples(record::Kind::Mutex),
        block_samples_total: samples(record::Kind::Block),
        memory_bytes: record::memory_bytes(),
        losses: record::losses(),
    }
}
