//! A mutex for tables that are touched inside allocations.
//!
//! Three states on a futex (on other systems than Linux it yields): free, held, held with waiters. It neither allocates nor touches thread-locals, keeps errno,
//! and can be taken and released from fork handlers. Not re-entrant: callers hold the per-thread guard
//! ([`super::thread::Busy`]) so that no hook enters a second time.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use super::atomic::{AtomicU32, Ordering, UnsafeCell};
use super::futex;

const FREE: u32 = 0;
const HELD: u32 = 1;
const CONTENDED: u32 = 2;
/// Looks before sleeping. Critical sections take well under a microsecond.
const SPINS: u32 = if cfg!(loom) { 0 } else { 100 };

#[derive(Debug, Default)]
pub(crate) struct Lock<T> {
    state: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: the state admits one holder at a time.
unsafe impl<T: Send> Sync for Lock<T> {}

pub(crate) struct Guard<'a, T> {
    lock: &'a Lock<T>,
    /// Shared and sent as what it gives is, not as the lock.
    _value: PhantomData<&'a mut T>,
}

impl<T> Lock<T> {
    #[cfg(not(loom))]
    pub(crate) const fn new(value: T) -> Self {
        Self { state: AtomicU32::new(FREE), value: UnsafeCell::new(value) }
    }

    /// Loom's atomics are made at run time.
    #[cfg(loom)]
    pub(crate) fn new(value: T) -> Self {
        Self { state: AtomicU32::new(FREE), value: UnsafeCell::new(value) }
    }

    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        self.acquire();
        Guard { lock: self, _value: PhantomData }
    }

    #[inline]
    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
        self.state
            .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
            .ok()
            .map(|_| Guard { lock: self, _value: PhantomData })
    }

    /// Takes the lock without a guard, for fork handlers. Pair with [`release`](Self::release).
    #[inline]
    pub(crate) fn acquire(&self) {
        if self.state.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.acquire_slow();
        }
    }

    #[cold]
    fn acquire_slow(&self) {
        for _ in 0..SPINS {
            if self.state.load(Ordering::Relaxed) == FREE
                && self.state.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_ok()
            {
                return;
            }
            std::hint::spin_loop();
        }
        let errno = super::thread::errno();
        while self.state.swap(CONTENDED, Ordering::Acquire) != FREE {
            futex::wait(&self.state, CONTENDED);
        }
        super::thread::set_errno(errno);
    }

    /// Gives the lock back. Only for the holder.
    #[inline]
    pub(crate) fn release(&self) {
        if self.state.swap(FREE, Ordering::Release) == CONTENDED {
            let errno = super::thread::errno();
            futex::wake_one(&self.state);
            super::thread::set_errno(errno);
        }
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard is proof of the only access.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.release();
    }
}

#[cfg(test)]
mod tests {
    use super::Lock;

    #[test]
    fn counts_exactly_under_contention() {
        let (threads, times) = if cfg!(miri) { (3, 40) } else { (8, 20_000) };
        let lock = Lock::new(0u64);
        std::thread::scope(|s| {
            for _ in 0..threads {
                s.spawn(|| {
                    for _ in 0..times {
                        *lock.lock() += 1;
                    }
                });
            }
        });
        assert_eq!(*lock.lock(), threads * times);
    }

    /// `T: Send` makes a lock shareable. A guard gives `&T`, for which that is not enough: a `Cell` must not be reached by two threads.
    #[test]
    fn a_guard_is_shared_only_where_its_value_may_be() {
        struct Probe<T>(std::marker::PhantomData<T>);
        trait NotShared {
            fn is_shared(&self) -> bool {
                false
            }
        }
        impl<T> NotShared for Probe<T> {}
        impl<T: Sync> Probe<T> {
            fn is_shared(&self) -> bool {
                true
            }
        }
        let probe = std::marker::PhantomData;
        assert!(Probe::<super::Guard<'_, u64>>(probe).is_shared());
        let probe = std::marker::PhantomData;
        assert!(!Probe::<super::Guard<'_, std::cell::Cell<u64>>>(probe).is_shared());
    }

    #[test]
    fn try_lock_fails_while_held() {
        let lock = Lock::new(());
        let held = lock.lock();
        assert!(lock.try_lock().is_none());
        drop(held);
        assert!(lock.try_lock().is_some());
    }
}
