//! CPU time of threads and of the process. A system call each; none of them allocates or locks.

use std::io;

/// The kernel's clock of the CPU time of a thread of this process (`MAKE_THREAD_CPUCLOCK(tid, CPUCLOCK_SCHED)`).
pub(super) fn clock_of(thread: u32) -> libc::clockid_t {
    ((!thread as libc::clockid_t) << 3) | 6
}

/// CPU time of a thread so far, nanoseconds, user and system; `None` when it is gone.
pub(crate) fn thread_cpu_ns(thread: u32) -> Option<u64> {
    read(clock_of(thread)).ok()
}

/// Of the calling thread.
#[inline]
pub(crate) fn own_cpu_ns() -> u64 {
    read(libc::CLOCK_THREAD_CPUTIME_ID).unwrap_or(0)
}

/// Of the calling thread, as the scheduler last knew it: behind by up to a [`tick_ns`]. [`own_cpu_ns`] makes the scheduler look, and where
/// others wait for the processor it may give it to them at once, some milliseconds before it would have looked by itself (seen on
/// Linux 6.18, in half of all calls by a thread whose slice was over).
#[inline]
pub(crate) fn own_cpu_ns_at_last_tick() -> u64 {
    // SAFETY: zero bytes are a valid value, and the kernel fills the struct.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage);
        usage
    };
    let ns = |time: libc::timeval| {
        (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_usec as u64 * 1_000)
    };
    ns(usage.ru_utime).wrapping_add(ns(usage.ru_stime))
}

/// The time between two looks of the scheduler at a thread that runs.
pub(super) fn tick_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec. The coarse clock is read at ticks.
    match unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) } {
        0 => time.tv_nsec as u64,
        _ => 10_000_000,
    }
}

/// Of the process, threads that have ended included.
pub(crate) fn process_cpu_ns() -> u64 {
    read(libc::CLOCK_PROCESS_CPUTIME_ID).unwrap_or(0)
}

fn read(clock: libc::clockid_t) -> io::Result<u64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec; an unknown clock is an error.
    match unsafe { libc::clock_gettime(clock, &mut time) } {
        0 => Ok((time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::thread::thread_id;

    #[test]
    fn clocks_count_the_work_of_their_thread() {
        // Many ticks, of 10 ms at most.
        const WORK_NS: u64 = 100_000_000;
        let me = thread_id();
        let before = (own_cpu_ns(), thread_cpu_ns(me).unwrap(), process_cpu_ns());
        while own_cpu_ns() < before.0 + WORK_NS {
            std::hint::black_box(());
        }
        // All from before the first reading, which is the earliest.
        assert!(before.1 >= before.0 && thread_cpu_ns(me).unwrap() >= before.0 + WORK_NS);
        assert!(before.2 >= before.0 && process_cpu_ns() >= before.0 + WORK_NS);
        let (coarse, exact) = (own_cpu_ns_at_last_tick(), own_cpu_ns());
        assert!(coarse <= exact && coarse + 4 * tick_ns() > before.0 + WORK_NS, "{coarse} of {exact}");
        let gone = std::thread::spawn(thread_id).join().unwrap();
        // The kernel may take a moment to bury it.
        let buried = (0..100).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            thread_cpu_ns(gone).is_none()
        });
        assert!(buried);
    }
}
