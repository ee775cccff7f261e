//! Allocations that failed, as `diag::Allocator` sees them: it got null from jemalloc.
//!
//! Whoever gets null may abort at once (`Vec::push`) or go on (`try_reserve`): that is not to be known here. So the thread waits until
//! the rules have been looked at, and a capture that they want is written, but never long. Called inside an allocation: no allocation,
//! no lock; for the calls see `doorbell`.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::{doorbell, thread};

/// Longest wait of the thread whose allocation failed.
const WAIT_NS: u64 = 2_000_000_000;

/// The process that listens; 0 for none. A forked child has no thread that could.
static LISTENER: AtomicU32 = AtomicU32::new(0);
static FAILED: AtomicU32 = AtomicU32::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

/// Whether failures are told of.
pub(crate) fn listen(on: bool) {
    LISTENER.store(if on { std::process::id() } else { 0 }, Ordering::Release);
}

#[cold]
pub(crate) fn note_in_handler(bytes: usize) {
    let listener = LISTENER.load(Ordering::Acquire);
    // SAFETY: no pointers.
    if listener == 0 || listener != unsafe { libc::getpid() } as u32 {
        return;
    }
    // The diagnostics' own threads: they would wait for themselves.
    if thread::with_state(thread::ThreadState::is_unprofiled) {
        return;
    }
    BYTES.store(bytes as u64, Ordering::Release);
    FAILED.fetch_add(1, Ordering::AcqRel);
    let ticket = doorbell::ring_in_handler();
    doorbell::await_answer_in_handler(ticket, WAIT_NS);
}

/// Whether any failed since the last call, and how large the last of them was.
pub(crate) fn take() -> Option<u64> {
    (FAILED.swap(0, Ordering::AcqRel) > 0).then(|| BYTES.load(Ordering::Acquire))
}
