//! The two switches. Off at first; read only where a lock has to wait.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::record;

/// Whether there is anything to switch on: stacks are walked on Linux only.
pub(super) const WATCHED: bool = cfg!(target_os = "linux");

static ON: AtomicBool = AtomicBool::new(false);
static MUTEX_FRACTION: AtomicU32 = AtomicU32::new(0);
static BLOCK_RATE_NS: AtomicU64 = AtomicU64::new(0);
/// One at a time, so that [`ON`] says of both what they are.
static SWITCHING: Mutex<()> = Mutex::new(());

/// Whether any profile is on: one relaxed load.
#[inline]
pub(super) fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// One in so many contentions is in the mutex profile; 0: it is off.
#[must_use]
pub fn mutex_profile_fraction() -> u32 {
    MUTEX_FRACTION.load(Ordering::Relaxed)
}

/// Waits of so many nanoseconds are all in the block profile, shorter ones in proportion; 0: it is off.
#[must_use]
pub fn block_profile_rate() -> u64 {
    BLOCK_RATE_NS.load(Ordering::Relaxed)
}

/// Takes one in `fraction` contentions into the mutex profile from now on, 1 for all, 0 for none, and gives the fraction before. What
/// is in the profile stays. As Go's `runtime.SetMutexProfileFraction`.
///
/// Elsewhere than on Linux it stays off.
pub fn set_mutex_profile_fraction(fraction: u32) -> u32 {
    let fraction = if WATCHED { fraction } else { 0 };
    set(|| MUTEX_FRACTION.swap(fraction, Ordering::Relaxed), fraction > 0)
}

/// Takes waits into the block profile from now on: all that last `nanoseconds` or longer, and of shorter ones one a
/// `nanoseconds` waited; 1 for all, 0 for none. Gives the rate before. As Go's `runtime.SetBlockProfileRate`.
///
/// Elsewhere than on Linux it stays off.
pub fn set_block_profile_rate(nanoseconds: u64) -> u64 {
    let nanoseconds = if WATCHED { nanoseconds } else { 0 };
    set(|| BLOCK_RATE_NS.swap(nanoseconds, Ordering::Relaxed), nanoseconds > 0)
}

fn set<R>(swap: impl FnOnce() -> R, on: bool) -> R {
    let _one = SWITCHING.lock().unwrap_or_else(PoisonError::into_inner);
    if on {
        record::prepare();
    }
    let before = swap();
    ON.store(mutex_profile_fraction() > 0 || block_profile_rate() > 0, Ordering::Relaxed);
    before
}
