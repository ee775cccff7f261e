//! Sleeping on a word, and waking who does. Neither allocates; both may change errno.

use std::sync::atomic::AtomicU32;

/// Sleeps while the word is `expected`, or for a shorter time.
#[cfg(target_os = "linux")]
pub(crate) fn wait(word: &AtomicU32, expected: u32) {
    // SAFETY: waits on a live word; returns at once when it is no longer as expected.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
            expected,
            std::ptr::null::<libc::timespec>(),
        )
    };
}

/// Wakes one of those that sleep on the word.
#[cfg(target_os = "linux")]
pub(crate) fn wake_one(word: &AtomicU32) {
    // SAFETY: the kernel only looks for who waits on this address.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, 1) };
}

// Elsewhere nothing hooks allocations, and locks are held for less than a turn of the scheduler.

#[cfg(not(target_os = "linux"))]
pub(crate) fn wait(_word: &AtomicU32, _expected: u32) {
    std::thread::yield_now();
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn wake_one(_word: &AtomicU32) {}
