//! When CPU samples were taken, and where: the latest of them, for the flight recorder.
//!
//! Written by the sampler's thread while somebody wants them; the handler only notes the time. [`MOMENTS`] are kept, of each the innermost
//! [`FRAMES`] frames: about a megabyte, when a CPU profile is recorded beside a flight recorder, and nothing otherwise.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

const MOMENTS: usize = 4096;
const FRAMES: usize = 32;

static WANTED: AtomicBool = AtomicBool::new(false);
static LATEST: Mutex<VecDeque<Moment>> = Mutex::new(VecDeque::new());

/// A sample.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    /// When, in ticks ([`crate::sys::ticks`]).
    pub(crate) ticks: u64,
    /// The kernel's number of the thread.
    pub(crate) thread: u32,
    /// Innermost first.
    pub(crate) frames: Box<[u64]>,
}

/// Says whether they are wanted. The clock must have been chosen: handlers cannot.
pub(crate) fn want(wanted: bool) {
    WANTED.store(wanted, Ordering::Release);
}

/// A load.
pub(crate) fn is_wanted_in_handler() -> bool {
    WANTED.load(Ordering::Acquire)
}

/// Keeps one.
pub(crate) fn put(ticks: u64, thread: u32, frames: &[u64]) {
    if ticks == 0 || frames.is_empty() {
        return;
    }
    let frames = frames.iter().take(FRAMES).copied().collect();
    let mut latest = LATEST.lock().unwrap_or_else(PoisonError::into_inner);
    if latest.len() >= MOMENTS {
        latest.pop_front();
    }
    latest.push_back(Moment { ticks, thread, frames });
}

/// Those between two moments.
pub(crate) fn between(from_ticks: u64, to_ticks: u64) -> Vec<Moment> {
    let latest = LATEST.lock().unwrap_or_else(PoisonError::into_inner);
    latest.iter().filter(|m| (from_ticks..=to_ticks).contains(&m.ticks)).cloned().collect()
}
