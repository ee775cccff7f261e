//! [`Watched`]: a raw lock of `lock_api`'s kind with a [`Watch`] beside it.
//!
//! Every method does what the inner lock does. Acquiring tries first; only when that fails the watch is told of a wait.
//! Releasing tells it before and after, a change from writing to reading or to upgradable included, for it lets
//! readers in. The watch is not touched after the inner lock is released: whoever waits may free the lock then.

use parking_lot::lock_api::{
    RawMutex, RawMutexFair, RawMutexTimed, RawRwLock, RawRwLockDowngrade, RawRwLockFair, RawRwLockRecursive,
    RawRwLockRecursiveTimed, RawRwLockTimed, RawRwLockUpgrade, RawRwLockUpgradeDowngrade,
    RawRwLockUpgradeFair, RawRwLockUpgradeTimed,
};

use super::watch::Watch;

/// See the module.
#[derive(Debug)]
pub struct Watched<L, W> {
    lock: L,
    watch: W,
}

impl<L, W: Watch> Watched<L, W> {
    #[inline]
    fn acquire(&self, tried: bool, wait: impl FnOnce(&L)) {
        if !tried {
            self.watch.waiting(|| wait(&self.lock));
        }
    }

    #[inline]
    fn acquire_timed(&self, tried: bool, wait: impl FnOnce(&L) -> bool) -> bool {
        tried || self.watch.waiting(|| wait(&self.lock))
    }

    #[inline]
    fn release(&self, release: impl FnOnce(&L)) {
        let owed = self.watch.before_release();
        release(&self.lock);
        if owed > 0 {
            W::after_release(owed);
        }
    }
}

// SAFETY: the inner lock is exclusive; each method is the inner one's.
unsafe impl<L: RawMutex, W: Watch> RawMutex for Watched<L, W> {
    #[allow(clippy::declare_interior_mutable_const, reason = "as lock_api wants it")]
    const INIT: Self = Self { lock: L::INIT, watch: W::NEW };
    type GuardMarker = L::GuardMarker;

    #[inline]
    fn lock(&self) {
        self.acquire(self.lock.try_lock(), L::lock);
    }

    #[inline]
    fn try_lock(&self) -> bool {
        self.lock.try_lock()
    }

    #[inline]
    unsafe fn unlock(&self) {
        // SAFETY: the caller holds the lock.
        self.release(|lock| unsafe { lock.unlock() });
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.lock.is_locked()
    }
}

// SAFETY: as above.
unsafe impl<L: RawMutexFair, W: Watch> RawMutexFair for Watched<L, W> {
    #[inline]
    unsafe fn unlock_fair(&self) {
        // SAFETY: the caller holds the lock.
        self.release(|lock| unsafe { lock.unlock_fair() });
    }

    #[inline]
    unsafe fn bump(&self) {
        // SAFETY: the caller holds the lock, and holds it again afterwards.
        self.release(|lock| unsafe { lock.bump() });
    }
}

// SAFETY: as above.
unsafe impl<L: RawMutexTimed, W: Watch> RawMutexTimed for Watched<L, W> {
    type Duration = L::Duration;
    type Instant = L::Instant;

    #[inline]
    fn try_lock_for(&self, timeout: L::Duration) -> bool {
        self.acquire_timed(self.lock.try_lock(), |lock| lock.try_lock_for(timeout))
    }

    #[inline]
    fn try_lock_until(&self, timeout: L::Instant) -> bool {
        self.acquire_timed(self.lock.try_lock(), |lock| lock.try_lock_until(timeout))
    }
}

// SAFETY: as above.
unsafe impl<L: RawRwLock, W: Watch> RawRwLock for Watched<L, W> {
    #[allow(clippy::declare_interior_mutable_const, reason = "as lock_api wants it")]
    const INIT: Self = Self { lock: L::INIT, watch: W::NEW };
    type GuardMarker = L::GuardMarker;

    #[inline]
    fn lock_shared(&self) {
        self.acquire(self.lock.try_lock_shared(), L::lock_shared);
    }

    #[inline]
    fn try_lock_shared(&self) -> bool {
        self.lock.try_lock_shared()
    }

    #[inline]
    unsafe fn unlock_shared(&self) {
        // SAFETY: the caller holds the lock for reading.
        self.release(|lock| unsafe { lock.unlock_shared() });
    }

    #[inline]
    fn lock_exclusive(&self) {
        self.acquire(self.lock.try_lock_exclusive(), L::lock_exclusive);
    }

    #[inline]
    fn try_lock_exclusive(&self) -> bool {
        self.lock.try_lock_exclusive()
    }

    #[inline]
    unsafe fn unlock_exclusive(&self) {
        // SAFETY: the caller holds the lock for writing.
        self.release(|lock| unsafe { lock.unlock_exclusive() });
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.lock.is_locked()
    }

    #[inline]
    fn is_locked_exclusive(&self) -> bool {
        self.lock.is_locked_exclusive()
    }
}

// SAFETY: as above.
unsafe impl<L: RawRwLockFair, W: Watch> RawRwLockFair for Watched<L, W> {
    #[inline]
    unsafe fn unlock_shared_fair(&self) {
        // SAFETY: the caller holds the lock for reading.
        self.release(|lock| unsafe { lock.unlock_shared_fair() });
    }

    #[inline]
    unsafe fn unlock_exclusive_fair(&self) {
        // SAFETY: the caller holds the lock for writing.
        self.release(|lock| unsafe { lock.unlock_exclusive_fair() });
    }

    #[inline]
    unsafe fn bump_shared(&self) {
        // SAFETY: the caller holds the lock for reading, and does again afterwards.
        self.release(|lock| unsafe { lock.bump_shared() });
    }

    #[inline]
    unsafe fn bump_exclusive(&self) {
        // SAFETY: the caller holds the lock for writing, and does again afterwards.
        self.release(|lock| unsafe { lock.bump_exclusive() });
    }
}

// SAFETY: as above.
unsafe impl<L: RawRwLockDowngrade, W: Watch> RawRwLockDowngrade for Watched<L, W> {
    #[inline]
    unsafe fn downgrade(&self) {
        // SAFETY: the caller holds the lock for writing.
        self.release(|lock| unsafe { lock.downgrade() });
    }
}

// SAFETY: as above.
unsafe impl<L: RawRwLockTimed, W: Watch> RawRwLockTimed for Watched<L, W> {
    type Duration = L::Duration;
    type Instant = L::Instant;

    #[inline]
    fn try_lock_shared_for(&self, timeout: L::Duration) -> bool {
        self.acquire_timed(self.lock.try_lock_shared(), |lock| lock.try_lock_shared_for(timeout))
    }

    #[inline]
    fn try_lock_shared_until(&self, timeout: L::Instant) -> bool {
        self.acquire_timed(self.lock.try_lock_shared(), |lock| lock.try_lock_shared_until(timeout))
    }

    #[inline]
    fn try_lock_exclusive_for(&self, timeout: L::Duration) -> bool {
        self.acquire_timed(self.lock.try_lock_exclusive(), |lock| lock.try_lock_exclusive_for(timeout))
    }

    #[inline]
    fn try_lock_exclusive_until(&self, timeout: L::Instant) -> bool {
        self.acquire_timed(self.lock.try_lock_exclusive(), |lock| lock.try_lock_exclusive_until(timeout))
    }
}

// SAFETY: as above.
unsafe impl<L: RawRwLockRecursive, W: Watch> RawRwLockRecursive for Watched<L, W> {
    #[inline]
    fn lock_shared_recursive(&self) {
        self.acquire(self.lock.try_lock_shared_recursive(), L::lock_shared_recursive);
    }

    #[inline]
    fn try_lock_shared_recursive(&self) -> bool {
        self.lock.try_lock_shared_recursive()
    }
}

// SAFETY: as above.
unsafe impl<L: RawRwLockRecursiveTimed, W: Watch> RawRwLockRecursiveTimed for Watched<L, W> {
    #[inline]
    fn try_lock_shared_recursive_for(&self, timeout: L::Duration) -> bool {
        let tried = self.lock.try_lock_shared_recursive();
        self.acquire_timed(tried, |lock| lock.try_lock_shared_recursive_for(timeout))
    }

    #[inline]
    fn try_lock_shared_recursive_until(&self, timeout: L::Instant) -> bool {
        let tried = self.lock.try_lock_shared_recursive();
        self.acquire_timed(tried, |lock| lock.try_lock_shared_recursive_until(timeout))
    }
}

// SAFETY: as above.
unsafe impl<L: RawRwLockUpgrade, W: Watch> RawRwLockUpgrade for Watched<L, W> {
    #[inline]
    fn lock_upgradable(&self) {
        self.acquire(self.lock.try_lock_upgradable(), L::lock_upgradable);
    }

    #[inline]
    fn try_lock_upgradable(&self) -> bool {
        self.lock.try_lock_upgradable()
    }

    #[inline]
    unsafe fn unlock_upgradable(&self) {
        // SAFETY: the caller holds the lock, upgradable.
        self.release(|lock| unsafe { lock.unlock_upgradable() });
    }

    #[inline]
    unsafe fn upgrade(&self) {
        // SAFETY: the caller holds the lock, upgradable; a try that fails leaves it so.
        self.acquire(unsafe { self.lock.try_upgrade() }, |lock| unsafe { lock.upgrade() });
    }

    #[inline]
    unsafe fn try_upgrade(&self) -> bool {
        // SAFETY: the caller holds the lock, upgradable.
        unsafe { self.lock.try_upgrade() }
    }
}

// SAFETY: as above.
unsafe impl<L: RawRwLockUpgradeFair, W: Watch> RawRwLockUpgradeFair for Watched<L, W> {
    #[inline]
    unsafe fn unlock_upgradable_fair(&self) {
        // SAFETY: the caller holds the lock, upgradable.
        self.release(|lock| unsafe { lock.unlock_upgradable_fair() });
    }

    #[inline]
    unsafe fn bump_upgradable(&self) {
        // SAFETY: the caller holds the lock, upgradable, and does again afterwards.
        self.release(|lock| unsafe { lock.bump_upgradable() });
    }
}

// SAFETY: as above.
unsafe impl<L: RawRwLockUpgradeDowngrade, W: Watch> RawRwLockUpgradeDowngrade for Watched<L, W> {
    #[inline]
    unsafe fn downgrade_upgradable(&self) {
        // SAFETY: the caller holds the lock, upgradable.
        self.release(|lock| unsafe { lock.downgrade_upgradable() });
    }

    #[inline]
    unsafe fn downgrade_to_upgradable(&self) {
        // SAFETY: the caller holds the lock for writing.
        self.release(|lock| unsafe { lock.downgrade_to_upgradable() });
    }
}

// SAFETY: as above.
unsafe impl<L: RawRwLockUpgradeTimed, W: Watch> RawRwLockUpgradeTimed for Watched<L, W> {
    #[inline]
    fn try_lock_upgradable_for(&self, timeout: L::Duration) -> bool {
        self.acquire_timed(self.lock.try_lock_upgradable(), |lock| lock.try_lock_upgradable_for(timeout))
    }

    #[inline]
    fn try_lock_upgradable_until(&self, timeout: L::Instant) -> bool {
        self.acquire_timed(self.lock.try_lock_upgradable(), |lock| lock.try_lock_upgradable_until(timeout))
    }

    #[inline]
    unsafe fn try_upgrade_for(&self, timeout: L::Duration) -> bool {
        // SAFETY: the caller holds the lock, upgradable; a try that fails leaves it so.
        self.acquire_timed(unsafe { self.lock.try_upgrade() }, |lock| unsafe {
            lock.try_upgrade_for(timeout)
        })
    }

    #[inline]
    unsafe fn try_upgrade_until(&self, timeout: L::Instant) -> bool {
        // SAFETY: as above.
        self.acquire_timed(unsafe { self.lock.try_upgrade() }, |lock| unsafe {
            lock.try_upgrade_until(timeout)
        })
    }
}
