//! Wakes the thread of the rules, from anywhere: from a signal handler and from inside a failed allocation too.
//!
//! Calls of the `_in_handler` functions: write(2) and nanosleep(2), both async-signal-safe (signal-safety(7)), atomics, and
//! clock_gettime, a vDSO call. errno is kept. A full counter is no loss: the thread is awake then. After a fork the child has the parent's
//! descriptor and no thread: rings of the child wake the parent's, which finds nothing.

use std::io;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use super::clock;
use super::thread::{errno, set_errno};

/// Where it is rung and where it is heard: one descriptor on Linux, two ends of a pipe elsewhere.
static FD: AtomicI32 = AtomicI32::new(-1);
static EAR: AtomicI32 = AtomicI32::new(-1);
static RUNG: AtomicU64 = AtomicU64::new(0);
static ANSWERED: AtomicU64 = AtomicU64::new(0);

/// Makes the bell, once a process.
pub(crate) fn open() -> io::Result<()> {
    if FD.load(Ordering::Acquire) >= 0 {
        return Ok(());
    }
    // They are kept for the rest of the process.
    let (bell, ear) = make()?;
    if FD.compare_exchange(-1, bell, Ordering::AcqRel, Ordering::Acquire).is_ok() {
        EAR.store(ear, Ordering::Release);
    } else {
        // SAFETY: just made, and known to nobody else.
        unsafe { libc::close(bell) };
        if ear != bell {
            // SAFETY: as above.
            unsafe { libc::close(ear) };
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn make() -> io::Result<(i32, i32)> {
    // SAFETY: no pointers.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    if fd < 0 { Err(io::Error::last_os_error()) } else { Ok((fd, fd)) }
}

#[cfg(not(target_os = "linux"))]
fn make() -> io::Result<(i32, i32)> {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors.
    if unsafe { libc::pipe(ends.as_mut_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    for end in ends {
        // SAFETY: no pointers. A forked program may inherit the ends if it starts between these calls, and never uses them.
        unsafe {
            libc::fcntl(end, libc::F_SETFD, libc::FD_CLOEXEC);
            libc::fcntl(end, libc::F_SETFL, libc::O_NONBLOCK);
        }
    }
    Ok((ends[1], ends[0]))
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
        unsafe { libc::nanosleep(&nap, std::ptr::null_mut()) };
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
    let mut poll = libc::pollfd { fd: EAR.load(Ordering::Acquire), events: libc::POLLIN, revents: 0 };
    let ms = i32::try_from(at_most_ns.div_ceil(1_000_000)).unwrap_or(i32::MAX);
    // All that rang, from a pipe up to 64 times.
    let mut counts = [0u64; 64];
    // SAFETY: one live pollfd, and a live buffer of that size; a negative descriptor is skipped by poll and refused by read.
    unsafe {
        libc::poll(&mut poll, 1, ms);
        libc::read(poll.fd, counts.as_mut_ptr().cast(), size_of_val(&counts));
    }
}
