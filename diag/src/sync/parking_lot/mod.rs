//! [`parking_lot`](https://docs.rs/parking_lot)'s locks, watched: use `diag::sync::parking_lot::Mutex` in place of
//! `parking_lot::Mutex`. See [the module above](super).
//!
//! Mutex and RwLock are `lock_api`'s types over parking_lot's raw locks, so everything is there: mapped and upgradable guards,
//! timeouts, fair unlocking, and with parking_lot's feature `arc_lock` owned guards. A [`Condvar`] of its own goes with them, for
//! parking_lot's knows its own mutex only. `FairMutex`, `ReentrantMutex` and `Once` are not watched; take the originals.

mod condvar;

use ::parking_lot::lock_api;

use super::waits::Waits;
use crate::sys::raw_locks::Watched;
pub use ::parking_lot::WaitTimeoutResult;
pub use condvar::Condvar;

/// The raw lock of [`Mutex`].
pub type RawMutex = Watched<::parking_lot::RawMutex, Waits>;
/// The raw lock of [`RwLock`].
pub type RawRwLock = Watched<::parking_lot::RawRwLock, Waits>;

/// `parking_lot::Mutex` whose contention is profiled.
pub type Mutex<T> = lock_api::Mutex<RawMutex, T>;
/// The guard of a [`Mutex`].
pub type MutexGuard<'a, T> = lock_api::MutexGuard<'a, RawMutex, T>;
/// The guard of a part of what a [`Mutex`] protects.
pub type MappedMutexGuard<'a, T> = lock_api::MappedMutexGuard<'a, RawMutex, T>;

/// `parking_lot::RwLock` whose contention is profiled.
pub type RwLock<T> = lock_api::RwLock<RawRwLock, T>;
/// The guard of a reader.
pub type RwLockReadGuard<'a, T> = lock_api::RwLockReadGuard<'a, RawRwLock, T>;
/// The guard of the writer.
pub type RwLockWriteGuard<'a, T> = lock_api::RwLockWriteGuard<'a, RawRwLock, T>;
/// The guard of a reader that may become the writer.
pub type RwLockUpgradableReadGuard<'a, T> = lock_api::RwLockUpgradableReadGuard<'a, RawRwLock, T>;
/// The guard of a reader, of a part of what a [`RwLock`] protects.
pub type MappedRwLockReadGuard<'a, T> = lock_api::MappedRwLockReadGuard<'a, RawRwLock, T>;
/// The guard of the writer, of a part of what a [`RwLock`] protects.
pub type MappedRwLockWriteGuard<'a, T> = lock_api::MappedRwLockWriteGuard<'a, RawRwLock, T>;

/// A mutex, in a constant; [`Mutex::new`] does the same.
pub const fn const_mutex<T>(value: T) -> Mutex<T> {
    Mutex::new(value)
}

/// A lock, in a constant; [`RwLock::new`] does the same.
pub const fn const_rwlock<T>(value: T) -> RwLock<T> {
    RwLock::new(value)
}
