//! Locks across fork: taken before, released after in parent and child, so that the child never inherits a lock that
//! a vanished thread holds.

use std::sync::{Once, OnceLock};

/// Something with locks.
pub(crate) trait ForkSafe: Sync {
    /// Takes every lock, always in the same order.
    fn before_fork(&self);
    /// Releases them, in parent and child.
    fn after_fork(&self);
}

/// What is guarded, in the order of registration: who holds a lock of a later one may wait for those of an earlier one.
static GUARDED: [OnceLock<&'static dyn ForkSafe>; 8] = [const { OnceLock::new() }; 8];

/// Guards `locks` for the rest of the process. There is room for eight.
pub(crate) fn guard(locks: &'static dyn ForkSafe) {
    static HANDLERS: Once = Once::new();
    let placed = GUARDED.iter().any(|place| place.set(locks).is_ok());
    debug_assert!(placed, "more things with locks than places");
    // SAFETY: the handlers are plain functions that live as long as the process.
    HANDLERS.call_once(|| unsafe {
        libc::pthread_atfork(Some(before), Some(after), Some(after));
    });
}

fn guarded() -> impl DoubleEndedIterator<Item = &'static dyn ForkSafe> {
    GUARDED.iter().filter_map(|place| place.get().copied())
}

extern "C" fn before() {
    guarded().rev().for_each(ForkSafe::before_fork);
}

extern "C" fn after() {
    // The child's thread has another number.
    super::thread::forget_id();
    guarded().for_each(ForkSafe::after_fork);
}
