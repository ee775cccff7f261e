//! [`RwLock`]: std's, watched.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync;
use std::sync::{LockResult, PoisonError, TryLockError, TryLockResult};

use super::waits::Waits;
use crate::sys::held::Held;
use crate::sys::watch::Watch;

/// [`std::sync::RwLock`] whose contention is profiled; the same in all else, poisoning included. See [the module](super).
#[derive(Default)]
pub struct RwLock<T: ?Sized> {
    waits: Waits,
    inner: sync::RwLock<T>,
}

/// The guard of a reader, as [`std::sync::RwLockReadGuard`].
#[must_use = "if unused the RwLock will immediately unlock"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    held: Held<'a, sync::RwLockReadGuard<'a, T>, Waits>,
}

/// The guard of the writer, as [`std::sync::RwLockWriteGuard`].
#[must_use = "if unused the RwLock will immediately unlock"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    held: Held<'a, sync::RwLockWriteGuard<'a, T>, Waits>,
}

impl<T> RwLock<T> {
    /// A lock that nobody holds.
    #[inline]
    pub const fn new(value: T) -> Self {
        Self { waits: Waits::new(), inner: sync::RwLock::new(value) }
    }

    /// The value.
    ///
    /// # Errors
    /// The lock is poisoned; the value is in the error.
    pub fn into_inner(self) -> LockResult<T> {
        self.inner.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until nobody writes, then holds it for reading.
    ///
    /// # Errors
    /// The lock is poisoned; the guard is in the error.
    #[inline]
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        let result = match self.inner.try_read() {
            Ok(guard) => Ok(guard),
            Err(TryLockError::Poisoned(poisoned)) => Err(poisoned),
            Err(TryLockError::WouldBlock) => self.waits.waiting(|| self.inner.read()),
        };
        wrapped(result, |guard| RwLockReadGuard { held: Held::new(guard, &self.waits) })
    }

    /// Waits until nobody reads or writes, then holds it for writing.
    ///
    /// # Errors
    /// The lock is poisoned; the guard is in the error.
    #[inline]
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        let result = match self.inner.try_write() {
            Ok(guard) => Ok(guard),
            Err(TryLockError::Poisoned(poisoned)) => Err(poisoned),
            Err(TryLockError::WouldBlock) => self.waits.waiting(|| self.inner.write()),
        };
        wrapped(result, |guard| RwLockWriteGuard { held: Held::new(guard, &self.waits) })
    }

    /// Holds it for reading, if that is possible at once.
    ///
    /// # Errors
    /// It is not, or the lock is poisoned.
    #[inline]
    pub fn try_read(&self) -> TryLockResult<RwLockReadGuard<'_, T>> {
        tried(self.inner.try_read(), |guard| RwLockReadGuard { held: Held::new(guard, &self.waits) })
    }

    /// Holds it for writing, if that is possible at once.
    ///
    /// # Errors
    /// It is not, or the lock is poisoned.
    #[inline]
    pub fn try_write(&self) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        tried(self.inner.try_write(), |guard| RwLockWriteGuard { held: Held::new(guard, &self.waits) })
    }

    /// Whether a writer has panicked.
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
    /// The lock is poisoned; the value is in the error.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        self.inner.get_mut()
    }
}

#[inline]
fn wrapped<G, H>(result: LockResult<G>, wrap: impl FnOnce(G) -> H) -> LockResult<H> {
    match result {
        Ok(guard) => Ok(wrap(guard)),
        Err(poisoned) => Err(PoisonError::new(wrap(poisoned.into_inner()))),
    }
}

#[inline]
fn tried<G, H>(result: TryLockResult<G>, wrap: impl FnOnce(G) -> H) -> TryLockResult<H> {
    match result {
        Ok(guard) => Ok(wrap(guard)),
        Err(TryLockError::Poisoned(poisoned)) => {
            Err(TryLockError::Poisoned(PoisonError::new(wrap(poisoned.into_inner()))))
        }
        Err(TryLockError::WouldBlock) => Err(TryLockError::WouldBlock),
    }
}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Reads on, and lets other readers in.
    pub fn downgrade(this: Self) -> RwLockReadGuard<'a, T> {
        let (guard, waits) = this.held.take();
        let owed = waits.before_release();
        let guard = sync::RwLockWriteGuard::downgrade(guard);
        if owed > 0 {
            Waits::after_release(owed);
        }
        RwLockReadGuard { held: Held::new(guard, waits) }
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.held
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.held
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.held
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
