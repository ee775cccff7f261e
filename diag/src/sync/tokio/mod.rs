//! [`tokio::sync`](https://docs.rs/tokio/latest/tokio/sync)'s Mutex and RwLock, watched: use `diag::sync::tokio::Mutex` in place of
//! `tokio::sync::Mutex`. See [the module above](super).
//!
//! A task waits from the poll that first finds the lock taken to the one that gets it, or until its future is dropped. A poll that
//! is put off because the task's budget is used up is no wait for the lock. Order, fairness and budget are tokio's.
//!
//! Not here: owned guards (`lock_owned`), which would have to hold another lock than this one, and mapped guards. Where a service needs those, it
//! takes tokio's own lock.

mod mutex;
mod rwlock;
mod wait;

pub use ::tokio::sync::TryLockError;
pub use mutex::{Mutex, MutexGuard};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
