//! Locks across fork: taken before, released after in parent and child, so that the child never inherits a lock that
//! a vanished thread holds.

use std::sync::OnceLock;

/// Something with locks.
pub(crate) trait ForkSafe: Sync {
    /// Takes every lock, always in the same order.
    fn before_fork(&self);
    /// Releases them, in parent and child.
    fn after_fork(&self);
}

static GUARDED: OnceLock<&'static dyn ForkSafe> = OnceLock::new();

/// Guards `locks` for the rest of the process. The first call wins.
pub(crate) fn guard(locks: &'static dyn ForkSafe) {
    if GUARDED.set(locks).is_ok() {
        // SAFETY: the handlers are plain functions that live as long as the process.
        unsafe { libc::pthread_atfork(Some(before), Some(after), Some(after)) };
    }
}

extern "C" fn before() {
    if let Some(locks) = GUARDED.get() {
        locks.before_fork();
    }
}

extern "C" fn after() {
    if let Some(locks) = GUARDED.get() {
        locks.after_fork();
    }
}
