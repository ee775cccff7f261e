//! [`Mutex`]: std's, watched.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync;
use std::sync::{LockResult, PoisonError, TryLockError, TryLockResult};

use super::waits::Waits;
use crate::sys::held::Held;
use crate::sys::watch::Watch as _;

/// [`std::sync::Mutex`] whose contention is profiled; the same in all else, poisoning included. See [the module](super).
#[derive(Default)]
pub struct Mutex<T: ?Sized> {
    waits: Waits,
    inner: sync::Mutex<T>,
}

/// The guard of a [`Mutex`], as [`std::sync::MutexGuard`].
#[must_use = "if unused the Mutex will immediately unlock"]
pub struct MutexGuard<'a, T: ?Sized> {
    held: Held<'a, sync::MutexGuard<'a, T>, Waits>,
}

impl<T> Mutex<T> {
    /// A mutex that nobody holds.
    #[inline]
    pub const fn new(value: T) -> Self {
        Self { waits: Waits::new(), inner: sync::Mutex::new(value) }
    }

    /// The value.
    ///
    /// # Errors
    /// The mutex is poisoned; the value is in the error.
    pub fn into_inner(self) -> LockResult<T> {
        self.inner.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits until nobody holds it, then holds it.
    ///
    /// # Errors
    /// The mutex is poisoned; the guard is in the error.
    #[inline]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        let result = match self.inner.try_lock() {
            Ok(guard) => Ok(guard),
            Err(TryLockError::Poisoned(poisoned)) => Err(poisoned),
            Err(TryLockError::WouldBlock) => self.waits.waiting(|| self.inner.lock()),
        };
        self.guard(result)
    }

    /// Holds it, if nobody does.
    ///
    /// # Errors
    /// Somebody holds it, or it is poisoned.
    #[inline]
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        match self.inner.try_lock() {
            Ok(guard) => Ok(MutexGuard::new(guard, &self.waits)),
            Err(TryLockError::Poisoned(poisoned)) => {
                let guard = MutexGuard::new(poisoned.into_inner(), &self.waits);
                Err(TryLockError::Poisoned(PoisonError::new(guard)))
            }
            Err(TryLockError::WouldBlock) => Err(TryLockError::WouldBlock),
        }
    }

    /// Whether a thread has panicked while it held it.
    pub fn is_poisoned(&self) -> bool {
        self.inner.is_poisoned()
    }

    /// Ends the poisoning.
    pub fn clear_poison(&self) {
        self.inner.clear_poison();
    }

    /// The value: nobody else can hold it.
    ///
    /// # Errors
    /// The mutex is poisoned; the value is in the error.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        self.inner.get_mut()
    }

    #[inline]
    fn guard<'a>(&'a self, result: LockResult<sync::MutexGuard<'a, T>>) -> LockResult<MutexGuard<'a, T>> {
        match result {
            Ok(guard) => Ok(MutexGuard::new(guard, &self.waits)),
            Err(poisoned) => Err(PoisonError::new(MutexGuard::new(poisoned.into_inner(), &self.waits))),
        }
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    #[inline]
    pub(super) fn new(guard: sync::MutexGuard<'a, T>, waits: &'a Waits) -> Self {
        Self { held: Held::new(guard, waits) }
    }

    /// std's guard, which still holds the lock.
    pub(super) fn take(self) -> (sync::MutexGuard<'a, T>, &'a Waits) {
        self.held.take()
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.held
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.held
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
