//! Wakes the thread of the rules, from anywhere: from a signal handler and from inside a failed allocation too.
//!
//! Calls of the `_in_handler` functions: write(2) and clock_nanosleep(2), both async-signal-safe (signal-safety(7)), atomics, and
//! clock_gettime, a vDSO call. errno is kept. A full counter is no loss: the thread is awake then. After a fork the child has the parent's
//! descriptor and no thread: rings of the child wake the parent's, which finds nothing.

use std::io;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use super::clock;
use super::thread::{errno, set_errno};

static FD: AtomicI32 = AtomicI32::new(-1);
static RUNG: AtomicU64 = AtomicU64::new(0);
static ANSWERED: AtomicU64 = AtomicU64::new(0);

/// Makes the bell, once a process.
pub(crate) fn open() -> io::Result<()> {
    if FD.load(Ordering::Acquire) >= 0 {
        return Ok(());
    }
    // SAFETY: no pointers; the descriptor is kept for the rest of the process.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    if FD.compare_exchange(-1, fd, Ordering::AcqRel, Ordering::Acquire).is_err() {
        // SAFETY: just made, and known to nobody else.
        unsafe { libc::close(fd) };
    }
    Ok(())
}

/// Rings, and gives a number to wait for.
pub(crate) fn ring_in_handler() -> u64 {
    let ticket = RUNG.fetch_add(1, Ordering::AcqRel) + 1;
    let fd = FD.load(Ordering::Acquire);
    if fd >= 0 {
        let saved = errno();
        let one = 1u64;
        // SAFETY: the buffer is 8 live bytes.
        unsafe { libc::write(fd, (&raw const one).cast(), 8) };
        set_errno(saved);
    }
    ticket
}

/// Waits until the thread has dealt with all that rang up to `ticket`, or until the time is over.
pub(crate) fn await_answer_in_handler(ticket: u64, at_most_ns: u64) {
    let saved = errno();
    let until = clock::monotonic_ns().saturating_add(at_most_ns);
    let nap = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    while ANSWERED.load(Ordering::Acquire) < ticket && clock::monotonic_ns() < until {
        // SAFETY: the request is a live timespec, and no remainder is asked for.
        unsafe { libc::clock_nanosleep(libc::CLOCK_MONOTONIC, 0, &nap, std::ptr::null_mut()) };
    }
    set_errno(saved);
}

/// How often it rang. What is read before the events is what [`answer`] may be told after them.
pub(crate) fn rung() -> u64 {
    RUNG.load(Ordering::Acquire)
}

/// All that rang up to this number is dealt with.
pub(crate) fn answer(up_to: u64) {
    ANSWERED.fetch_max(up_to, Ordering::AcqRel);
}

/// Waits for the bell, at most so long.
pub(crate) fn wait(at_most_ns: u64) {
    let mut poll = libc::pollfd { fd: FD.load(Ordering::Acquire), events: libc::POLLIN, revents: 0 };
    let ms = i32::try_from(at_most_ns.div_ceil(1_000_000)).unwrap_or(i32::MAX);
    let mut count = 0u64;
    // SAFETY: one live pollfd, and a buffer of 8 live bytes; a negative descriptor is skipped by poll and refused by read.
    unsafe {
        libc::poll(&mut poll, 1, ms);
        libc::read(poll.fd, (&raw mut count).cast(), 8);
    }
}
