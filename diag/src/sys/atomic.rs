//! The atomics and cells of the lock, the rings and the tables: one place, so that `diag/loom` can put others in theirs and try
//! every order in which threads may see them.

// Each is used somewhere, none in all builds.
#![allow(unused_imports)]

pub(crate) use std::cell::UnsafeCell;
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
