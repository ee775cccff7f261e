//! In place of `diag`'s `sys`: its lock, ring and recalls, on what loom can watch.

pub(crate) mod atomic;
pub mod cpu;
pub(crate) mod futex;
#[path = "../../../src/sys/lock.rs"]
pub(crate) mod lock;
pub(crate) mod region;
pub(crate) mod thread;
pub mod unwind;

use loom::sync::Arc;
use loom::thread::spawn;

use crate::check;

/// Three threads add to a number under the lock: nothing is lost, nobody waits for ever, and each sees what those before it wrote.
pub fn lock_excludes_and_wakes() {
    check(|| {
        let lock = Arc::new(lock::Lock::new(0));
        let add = |lock: Arc<lock::Lock<u32>>| move || *lock.lock() += 1;
        let others = [spawn(add(lock.clone())), spawn(add(lock.clone()))];
        add(lock.clone())();
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(*lock.lock(), 3);
    });
}

/// As around a fork: taken and released without a guard, while another thread tries.
pub fn lock_is_taken_over_a_fork() {
    check(|| {
        let lock = Arc::new(lock::Lock::new(0));
        let other = {
            let lock = lock.clone();
            spawn(move || lock.try_lock().map(|mut value| *value += 1).is_some())
        };
        lock.acquire();
        lock.release();
        let added = other.join().unwrap();
        assert_eq!(*lock.lock(), u32::from(added));
    });
}
