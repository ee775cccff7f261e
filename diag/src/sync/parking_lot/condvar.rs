//! [`Condvar`] for the watched mutex.
//!
//! parking_lot's own condition variable takes guards of its own mutex only. So there is a small mutex beside it, held from before the
//! user's is released until the thread sleeps, and while it is notified: no wake-up is lost between (as std::condition_variable_any of
//! C++ does it). Who notifies may hold the user's mutex; who sleeps never holds the small one while it takes the user's.

use std::time::{Duration, Instant};

use ::parking_lot as original;
use original::WaitTimeoutResult;

use super::MutexGuard;
use crate::sync::waits::Asleep;

/// `parking_lot::Condvar` for the guards of [`Mutex`](super::Mutex). The time until the mutex is held again is a wait of the block
/// profile, as in Go. Unlike the original, several mutexes may be used with one; those that are woken take their mutex at once and
/// are not moved from one queue to the other.
#[derive(Debug, Default)]
pub struct Condvar {
    inner: original::Condvar,
    gate: original::Mutex<()>,
}

impl Condvar {
    /// One that nobody waits for.
    #[must_use]
    pub const fn new() -> Self {
        Self { inner: original::Condvar::new(), gate: original::const_mutex(()) }
    }

    /// Wakes one; says whether there was one.
    pub fn notify_one(&self) -> bool {
        let _gate = self.gate.lock();
        self.inner.notify_one()
    }

    /// Wakes all; says how many there were.
    pub fn notify_all(&self) -> usize {
        let _gate = self.gate.lock();
        self.inner.notify_all()
    }

    /// Waits until it is notified.
    pub fn wait<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>) {
        self.asleep(guard, |gate| self.inner.wait(gate));
    }

    /// Waits until it is notified, or until then.
    pub fn wait_until<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>, until: Instant) -> WaitTimeoutResult {
        self.asleep(guard, |gate| self.inner.wait_until(gate, until))
    }

    /// Waits until it is notified, or so long.
    pub fn wait_for<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>, time: Duration) -> WaitTimeoutResult {
        self.asleep(guard, |gate| self.inner.wait_for(gate, time))
    }

    /// Waits while the condition holds.
    pub fn wait_while<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) {
        while condition(&mut **guard) {
            self.wait(guard);
        }
    }

    fn asleep<T: ?Sized, R>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        wait: impl FnOnce(&mut original::MutexGuard<'_, ()>) -> R,
    ) -> R {
        let _asleep = Asleep::begin();
        let mut gate = self.gate.lock();
        MutexGuard::unlocked(guard, || {
            let woken = wait(&mut gate);
            drop(gate);
            woken
        })
    }
}
