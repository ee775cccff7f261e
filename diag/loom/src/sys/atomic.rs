//! In place of std's atomics and cells.

pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// A cell whose uses loom must find ordered: one that is not is a data race.
#[derive(Debug, Default)]
pub(crate) struct UnsafeCell<T> {
    value: std::cell::UnsafeCell<T>,
    uses: loom::cell::UnsafeCell<()>,
}

impl<T> UnsafeCell<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: std::cell::UnsafeCell::new(value), uses: loom::cell::UnsafeCell::new(()) }
    }

    /// Counts as a write at this moment. What is done through the pointer comes after it in the same thread, and before its next
    /// release.
    pub(crate) fn get(&self) -> *mut T {
        self.uses.with_mut(|_| ());
        self.value.get()
    }
}
