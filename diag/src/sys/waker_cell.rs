//! A place for one waker, in two words: `OnceLock<Waker>` takes three, and there is one in each live task.

use std::fmt;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::task::{RawWakerVTable, Waker};

/// Empty until it is set, once.
pub(crate) struct WakerCell {
    data: AtomicPtr<()>,
    /// Null while empty, [`setting`] while `data` is being written, else that of the waker.
    table: AtomicPtr<RawWakerVTable>,
}

/// Its address, which no table has, says that a thread is setting the cell.
static SETTING: u8 = 0;

fn setting() -> *mut RawWakerVTable {
    (&raw const SETTING).cast_mut().cast()
}

impl WakerCell {
    pub(crate) const fn new() -> Self {
        Self { data: AtomicPtr::new(std::ptr::null_mut()), table: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// Sets the cell to a clone of the waker where it is empty. Whether it holds one that wakes the same task.
    #[inline]
    pub(crate) fn holds(&self, waker: &Waker) -> bool {
        let table = self.table.load(Ordering::Acquire);
        if table.is_null() {
            return self.set(waker);
        }
        std::ptr::eq(table, waker.vtable()) && std::ptr::eq(self.data.load(Ordering::Relaxed), waker.data())
    }

    #[cold]
    fn set(&self, waker: &Waker) -> bool {
        let empty = std::ptr::null_mut();
        if self.table.compare_exchange(empty, setting(), Ordering::Acquire, Ordering::Relaxed).is_err() {
            return false;
        }
        let kept = ManuallyDrop::new(waker.clone());
        self.data.store(kept.data().cast_mut(), Ordering::Relaxed);
        self.table.store(std::ptr::from_ref(kept.vtable()).cast_mut(), Ordering::Release);
        true
    }

    /// The waker, borrowed: not to be dropped.
    fn waker(&self) -> Option<ManuallyDrop<Waker>> {
        let table = self.table.load(Ordering::Acquire);
        if table.is_null() || table == setting() {
            return None;
        }
        let data = self.data.load(Ordering::Relaxed);
        // SAFETY: both come from one waker, which `set` has cloned and kept, and the release of the table made its data visible.
        // Tables of wakers are 'static. What is made here is not dropped but by `Drop`, which comes once.
        Some(ManuallyDrop::new(unsafe { Waker::new(data, &*table) }))
    }

    pub(crate) fn is_set(&self) -> bool {
        self.waker().is_some()
    }

    /// Wakes the task of the waker, if there is one.
    #[inline]
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.waker() {
            waker.wake_by_ref();
        }
    }
}

impl Drop for WakerCell {
    fn drop(&mut self) {
        if let Some(waker) = self.waker() {
            drop(ManuallyDrop::into_inner(waker));
        }
    }
}

impl fmt::Debug for WakerCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WakerCell").field(&self.is_set()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn one_waker_is_kept_and_given_back() {
        let (first, second) = (Arc::new(Count::default()), Arc::new(Count::default()));
        // Clones: std's own `clone` may give another address of the same table than `from` does, in Miri it always does.
        let [of_first, of_second] = [&first, &second].map(|count| Waker::from(Arc::clone(count)).clone());
        let cell = WakerCell::new();
        cell.wake();
        assert!(!cell.is_set());
        assert!(cell.holds(&of_first));
        assert_eq!(Arc::strong_count(&first), 3, "the cell has its own");
        assert!(cell.holds(&of_first) && !cell.holds(&of_second));
        cell.wake();
        cell.wake();
        assert_eq!([&first, &second].map(|count| count.0.load(Ordering::Relaxed)), [2, 0]);
        assert_eq!((Arc::strong_count(&first), Arc::strong_count(&second)), (3, 2));
        drop(cell);
        assert_eq!(Arc::strong_count(&first), 2, "and has given it back");
    }

    #[test]
    fn of_many_threads_one_sets_it() {
        for _ in 0..if cfg!(miri) { 10 } else { 200 } {
            let cell = WakerCell::new();
            let counts: [Arc<Count>; 3] = Default::default();
            let held: usize = std::thread::scope(|scope| {
                let set = |count| {
                    let (cell, waker) = (&cell, Waker::from(Arc::clone(count)));
                    scope.spawn(move || {
                        let held = cell.holds(&waker);
                        cell.wake();
                        usize::from(held)
                    })
                };
                let all: Vec<_> = counts.iter().map(set).collect();
                all.into_iter().map(|thread| thread.join().unwrap()).sum()
            });
            assert_eq!(held, 1);
            let woken: Vec<usize> = counts.iter().map(|count| count.0.load(Ordering::Relaxed)).collect();
            assert_eq!(woken.iter().filter(|n| **n > 0).count(), 1, "{woken:?}");
            drop(cell);
            assert!(counts.iter().all(|count| Arc::strong_count(count) == 1));
        }
    }
}
