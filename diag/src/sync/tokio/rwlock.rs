//! [`RwLock`]: tokio's, watched.

use std::fmt;
use std::ops::{Deref, DerefMut};

use ::tokio::sync;

use super::TryLockError;
use super::wait::Acquire;
use crate::sync::waits::Waits;
use crate::sys::held::Held;
use crate::sys::watch::Watch;

/// `tokio::sync::RwLock` whose contention is profiled. See [the module](super).
#[derive(Default)]
pub struct RwLock<T: ?Sized> {
    waits: Waits,
    inner: sync::RwLock<T>,
}

/// The guard of a reader.
#[must_use = "if unused the RwLock will immediately unlock"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    held: Held<'a, sync::RwLockReadGuard<'a, T>, Waits>,
}

/// The guard of the writer.
#[must_use = "if unused the RwLock will immediately unlock"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    held: Held<'a, sync::RwLockWriteGuard<'a, T>, Waits>,
}

impl<T> RwLock<T> {
    /// A lock that nobody holds.
    pub fn new(value: T) -> Self {
        Self { waits: Waits::new(), inner: sync::RwLock::new(value) }
    }

    /// The same, in a constant.
    pub const fn const_new(value: T) -> Self {
        Self { waits: Waits::new(), inner: sync::RwLock::const_new(value) }
    }

    /// One that lets at most so many read at a time.
    ///
    /// # Panics
    /// Beyond `u32::MAX >> 3`, as tokio's.
    pub fn with_max_readers(value: T, most: u32) -> Self {
        Self { waits: Waits::new(), inner: sync::RwLock::with_max_readers(value, most) }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.inner.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits for its turn, then holds it for reading. Dropping the future gives the turn up.
    pub async fn read(&self) -> RwLockReadGuard<'_, T> {
        self.reader(Acquire::new(&self.waits, self.inner.read()).await)
    }

    /// Waits for its turn, then holds it for writing. Dropping the future gives the turn up.
    pub async fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.writer(Acquire::new(&self.waits, self.inner.write()).await)
    }

    /// [`read`](Self::read) from outside of async code.
    ///
    /// # Panics
    /// Inside of async code, as tokio's.
    #[track_caller]
    pub fn blocking_read(&self) -> RwLockReadGuard<'_, T> {
        match self.inner.try_read() {
            Ok(guard) => self.reader(guard),
            Err(_) => self.reader(self.waits.waiting(|| self.inner.blocking_read())),
        }
    }

    /// [`write`](Self::write) from outside of async code.
    ///
    /// # Panics
    /// Inside of async code, as tokio's.
    #[track_caller]
    pub fn blocking_write(&self) -> RwLockWriteGuard<'_, T> {
        match self.inner.try_write() {
            Ok(guard) => self.writer(guard),
            Err(_) => self.writer(self.waits.waiting(|| self.inner.blocking_write())),
        }
    }

    /// Holds it for reading, if that is possible at once.
    ///
    /// # Errors
    /// It is not.
    pub fn try_read(&self) -> Result<RwLockReadGuard<'_, T>, TryLockError> {
        self.inner.try_read().map(|guard| self.reader(guard))
    }

    /// Holds it for writing, if that is possible at once.
    ///
    /// # Errors
    /// It is not.
    pub fn try_write(&self) -> Result<RwLockWriteGuard<'_, T>, TryLockError> {
        self.inner.try_write().map(|guard| self.writer(guard))
    }

    /// The value: nobody else can hold it.
    pub fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut()
    }

    #[inline]
    fn reader<'a>(&'a self, guard: sync::RwLockReadGuard<'a, T>) -> RwLockReadGuard<'a, T> {
        RwLockReadGuard { held: Held::new(guard, &self.waits) }
    }

    #[inline]
    fn writer<'a>(&'a self, guard: sync::RwLockWriteGuard<'a, T>) -> RwLockWriteGuard<'a, T> {
        RwLockWriteGuard { held: Held::new(guard, &self.waits) }
    }
}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Reads on, and lets other readers in.
    pub fn downgrade(self) -> RwLockReadGuard<'a, T> {
        let (guard, waits) = self.held.take();
        let owed = waits.before_release();
        let guard = guard.downgrade();
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
