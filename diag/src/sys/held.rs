//! A guard of a lock, with something to do around its release.

use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

use super::watch::Watch;

/// Holds a guard of any kind of lock; tells the lock's watch before and after the guard is dropped.
pub(crate) struct Held<'a, G, W: Watch> {
    /// Taken out by `take` or by the drop, never by both.
    guard: ManuallyDrop<G>,
    watch: &'a W,
}

impl<'a, G, W: Watch> Held<'a, G, W> {
    #[inline]
    pub(crate) fn new(guard: G, watch: &'a W) -> Self {
        Self { guard: ManuallyDrop::new(guard), watch }
    }

    /// The guard alone, still holding; the watch is told nothing.
    #[inline]
    pub(crate) fn take(self) -> (G, &'a W) {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is not dropped and ends here, so the guard is taken once.
        let guard = unsafe { ManuallyDrop::take(&mut this.guard) };
        (guard, this.watch)
    }
}

impl<G, W: Watch> Deref for Held<'_, G, W> {
    type Target = G;

    #[inline]
    fn deref(&self) -> &G {
        &self.guard
    }
}

impl<G, W: Watch> DerefMut for Held<'_, G, W> {
    #[inline]
    fn deref_mut(&mut self) -> &mut G {
        &mut self.guard
    }
}

impl<G, W: Watch> Drop for Held<'_, G, W> {
    #[inline]
    fn drop(&mut self) {
        let owed = self.watch.before_release();
        // SAFETY: dropped once: this is the drop, and `take` prevents it.
        unsafe { ManuallyDrop::drop(&mut self.guard) };
        if owed > 0 {
            W::after_release(owed);
        }
    }
}
