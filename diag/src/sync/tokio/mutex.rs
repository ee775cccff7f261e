//! [`Mutex`]: tokio's, watched.

use std::fmt;
use std::ops::{Deref, DerefMut};

use ::tokio::sync;

use super::TryLockError;
use super::wait::Acquire;
use crate::sync::waits::Waits;
use crate::sys::held::Held;
use crate::sys::watch::Watch as _;

/// `tokio::sync::Mutex` whose contention is profiled. See [the module](super).
#[derive(Default)]
pub struct Mutex<T: ?Sized> {
    waits: Waits,
    inner: sync::Mutex<T>,
}

/// The guard of a [`Mutex`].
#[must_use = "if unused the Mutex will immediately unlock"]
pub struct MutexGuard<'a, T: ?Sized> {
    held: Held<'a, sync::MutexGuard<'a, T>, Waits>,
}

impl<T> Mutex<T> {
    /// A mutex that nobody holds.
    pub fn new(value: T) -> Self {
        Self { waits: Waits::new(), inner: sync::Mutex::new(value) }
    }

    /// The same, in a constant.
    pub const fn const_new(value: T) -> Self {
        Self { waits: Waits::new(), inner: sync::Mutex::const_new(value) }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.inner.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for its turn, then holds it. Dropping the future gives the turn up.
    pub async fn lock(&self) -> MutexGuard<'_, T> {
        self.guard(Acquire::new(&self.waits, self.inner.lock()).await)
    }

    /// The same from outside of async code.
    ///
    /// # Panics
    /// Inside of async code, as tokio's.
    #[track_caller]
    pub fn blocking_lock(&self) -> MutexGuard<'_, T> {
        match self.inner.try_lock() {
            Ok(guard) => self.guard(guard),
            Err(_) => self.guard(self.waits.waiting(|| self.inner.blocking_lock())),
        }
    }

    /// Holds it, if nobody does.
    ///
    /// # Errors
    /// Somebody does.
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, TryLockError> {
        self.inner.try_lock().map(|guard| self.guard(guard))
    }

    /// The value: nobody else can hold it.
    pub fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut()
    }

    #[inline]
    fn guard<'a>(&'a self, guard: sync::MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        MutexGuard { held: Held::new(guard, &self.waits) }
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
