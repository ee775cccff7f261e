//! What a question leaves behind: pages that its thread has freed.
//!
//! jemalloc gives unused pages back some seconds later, but only when somebody uses their arena. Threads of diag ask for tens of
//! megabytes to name a profile and are idle then, so that nobody would. Arenas in which they worked are noted here, and diag's own
//! thread lets them decay, until the time has passed after which nothing is left. Which pages and when is for jemalloc to say, as the host
//! has set it: arenas that never decay stay as they are.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys::{clock, jemalloc_stats};

/// A bit for each of jemalloc's arenas; it has at most 4094.
static ARENAS: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];
/// When one was noted last; 0 when none is.
static NOTED_NS: AtomicU64 = AtomicU64::new(0);

/// More than the time that jemalloc takes, by so much.
const MARGIN_MS: u64 = 5_000;
/// Whoever keeps unused pages for longer wants them.
const MOST_MS: u64 = 300_000;

/// This thread has done something large.
pub(crate) fn note() {
    let Ok(arena) = jemalloc_stats::unsigned("thread.arena") else { return };
    if let Some(word) = ARENAS.get(arena as usize / 64) {
        // The time first: see `tick`.
        NOTED_NS.store(clock::monotonic_ns(), Ordering::SeqCst);
        word.fetch_or(1 << (arena % 64), Ordering::SeqCst);
    }
}

/// For diag's own thread, once a second.
pub(crate) fn tick() {
    let noted_ns = NOTED_NS.load(Ordering::Acquire);
    if noted_ns == 0 {
        return;
    }
    let kept_ms = |what| jemalloc_stats::signed(what).map_or(0, |ms| ms.max(0) as u64);
    let kept_ms = kept_ms("arenas.dirty_decay_ms") + kept_ms("arenas.muzzy_decay_ms");
    let age_ms = clock::monotonic_ns().saturating_sub(noted_ns) / 1_000_000;
    let over = age_ms > (kept_ms + MARGIN_MS).min(MOST_MS);
    if over && NOTED_NS.compare_exchange(noted_ns, 0, Ordering::AcqRel, Ordering::Relaxed).is_err() {
        return;
    }
    for (word, bits) in ARENAS.iter().enumerate() {
        let mut left = if over { bits.swap(0, Ordering::SeqCst) } else { bits.load(Ordering::Acquire) };
        // What was noted meanwhile is not over.
        if over && NOTED_NS.load(Ordering::SeqCst) != 0 {
            bits.fetch_or(left, Ordering::Relaxed);
        }
        while left != 0 {
            jemalloc_stats::decay(word * 64 + left.trailing_zeros() as usize);
            left &= left - 1;
        }
    }
}
