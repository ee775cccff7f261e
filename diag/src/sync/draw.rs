//! Random numbers for sampling: one generator a thread, no lock, no allocation.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys::clock;

/// The golden ratio of 64 bits: steps that never fall into a pattern.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
pub(super) struct Draw(u64);

impl Draw {
    #[cfg(test)]
    pub(super) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

thread_local! {
    /// 0 until the thread's first draw. Constant, no destructor.
    static STATE: Cell<u64> = const { Cell::new(0) };
}
static THREADS: AtomicU64 = AtomicU64::new(0);

/// The next number of this thread.
pub(super) fn next() -> u64 {
    STATE.with(|state| {
        let mut draw = Draw(match state.get() {
            0 => THREADS.fetch_add(STEP, Ordering::Relaxed) ^ clock::monotonic_ns(),
            known => known,
        });
        let drawn = draw.next();
        state.set(draw.0);
        drawn
    })
}
