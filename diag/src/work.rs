//! Work units: how many requests or jobs the host has done.
//!
//! A count that only grows, for the whole process, kept on [`SHARDS`] cache lines so that threads seldom share one. A
//! thread takes its shard at its first count and keeps it. Counting neither allocates nor locks, needs no start, and may
//! stand anywhere, destructors of thread-locals included. A forked child goes on from its parent's count.

#[cfg(feature = "tower")]
mod layer;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

#[cfg(feature = "tower")]
pub use layer::{Counted, CountedFuture, WorkLayer};

/// A power of two.
const SHARDS: usize = 16;

/// Two cache lines: processors fetch them in pairs.
#[repr(align(128))]
struct Shard(AtomicU64);

static COUNTS: [Shard; SHARDS] = [const { Shard(AtomicU64::new(0)) }; SHARDS];
static NEXT_SHARD: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// The thread's shard, plus one; 0 before its first count. Constant, no destructor.
    static SHARD: Cell<usize> = const { Cell::new(0) };
}

/// Counts `n` units of work: requests answered, jobs done, messages handled. What grows with them is told from what grows
/// with time, and growth is given in bytes a unit.
///
/// Works before and without [`Builder::start`](crate::Builder::start). One relaxed atomic addition: 1.8 ns, and 2.6 ns when
/// two threads count at once (2026-11, `benches/context.rs`).
#[inline]
pub fn work(n: u64) {
    let shard = SHARD.with(|shard| match shard.get() {
        0 => {
            let taken = NEXT_SHARD.fetch_add(1, Ordering::Relaxed) as usize % SHARDS + 1;
            shard.set(taken);
            taken
        }
        taken => taken,
    });
    if let Some(count) = COUNTS.get((shard - 1) % SHARDS) {
        count.0.fetch_add(n, Ordering::Relaxed);
    }
}

/// Units counted by [`work`](crate::work()) since the process began, by all threads. Never less than a moment before.
pub fn total() -> u64 {
    COUNTS.iter().fold(0, |sum, count| sum.wrapping_add(count.0.load(Ordering::Relaxed)))
}
