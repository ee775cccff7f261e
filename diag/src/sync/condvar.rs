//! [`Condvar`]: std's, for [`Mutex`](super::Mutex).

use std::sync;
use std::sync::{LockResult, PoisonError, WaitTimeoutResult};
use std::time::Duration;

use super::mutex::MutexGuard;
use super::waits::{Asleep, Waits};
use crate::sys::watch::Watch as _;

/// [`std::sync::Condvar`] for the guards of [`Mutex`](super::Mutex). To wait releases the mutex, for which its holder is charged; the
/// time until the mutex is held again is a wait of the block profile, as in Go.
#[derive(Debug, Default)]
pub struct Condvar {
    inner: sync::Condvar,
}

impl Condvar {
    /// One that nobody waits for.
    pub const fn new() -> Self {
        Self { inner: sync::Condvar::new() }
    }

    /// Waits until it is notified. Wakes without cause, too.
    ///
    /// # Errors
    /// The mutex is poisoned; the guard is in the error.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        asleep(guard, |guard| self.inner.wait(guard), |guard, waits| MutexGuard::new(guard, waits))
    }

    /// Waits while the condition holds.
    ///
    /// # Errors
    /// The mutex is poisoned; the guard is in the error.
    pub fn wait_while<'a, T, F>(
        &self,
        guard: MutexGuard<'a, T>,
        condition: F,
    ) -> LockResult<MutexGuard<'a, T>>
    where
        F: FnMut(&mut T) -> bool,
    {
        let wait = |guard| self.inner.wait_while(guard, condition);
        asleep(guard, wait, |guard, waits| MutexGuard::new(guard, waits))
    }

    /// Waits until it is notified, or so long.
    ///
    /// # Errors
    /// The mutex is poisoned; guard and result are in the error.
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let wait = |guard| self.inner.wait_timeout(guard, timeout);
        asleep(guard, wait, |(guard, result), waits| (MutexGuard::new(guard, waits), result))
    }

    /// Waits while the condition holds, or so long.
    ///
    /// # Errors
    /// The mutex is poisoned; guard and result are in the error.
    pub fn wait_timeout_while<'a, T, F>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
        condition: F,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)>
    where
        F: FnMut(&mut T) -> bool,
    {
        let wait = |guard| self.inner.wait_timeout_while(guard, timeout, condition);
        asleep(guard, wait, |(guard, result), waits| (MutexGuard::new(guard, waits), result))
    }

    /// Wakes one.
    pub fn notify_one(&self) {
        self.inner.notify_one();
    }

    /// Wakes all.
    pub fn notify_all(&self) {
        self.inner.notify_all();
    }
}

fn asleep<'a, T, R, S>(
    guard: MutexGuard<'a, T>,
    wait: impl FnOnce(sync::MutexGuard<'a, T>) -> LockResult<R>,
    wrap: impl FnOnce(R, &'a Waits) -> S,
) -> LockResult<S> {
    let (guard, waits) = guard.take();
    // Still held: who sleeps for an hour is not to be charged after that hour.
    let owed = waits.before_release();
    if owed > 0 {
        Waits::after_release(owed);
    }
    let asleep = Asleep::begin();
    let result = wait(guard);
    drop(asleep);
    match result {
        Ok(woken) => Ok(wrap(woken, waits)),
        Err(poisoned) => Err(PoisonError::new(wrap(poisoned.into_inner(), waits))),
    }
}
