//! parking_lot's locks, watched.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use diag::sync::parking_lot::{
    Condvar, MappedMutexGuard, Mutex, MutexGuard, RwLock, RwLockUpgradableReadGuard, RwLockWriteGuard,
    const_mutex,
};

use crate::{HELD, assert_within, at, recorded};

static IN_A_STATIC: Mutex<u8> = const_mutex(1);

fn until(arrived: &AtomicU32, wanted: u32) {
    while arrived.load(Ordering::SeqCst) < wanted {
        thread::yield_now();
    }
}

#[inline(never)]
fn parks_others(lock: &Mutex<u64>, arrived: &AtomicU32) {
    let _guard = lock.lock();
    arrived.fetch_add(1, Ordering::SeqCst);
    until(arrived, 3);
    thread::sleep(HELD);
}

#[inline(never)]
fn is_parked(lock: &Mutex<u64>, arrived: &AtomicU32) -> Duration {
    until(arrived, 1);
    arrived.fetch_add(1, Ordering::SeqCst);
    let from = Instant::now();
    let mut guard = lock.lock();
    let waited = from.elapsed();
    *guard += 1;
    waited
}

#[inline(never)]
fn gives_up(lock: &Mutex<u64>, arrived: &AtomicU32) -> Duration {
    until(arrived, 1);
    arrived.fetch_add(1, Ordering::SeqCst);
    let from = Instant::now();
    drop(lock.try_lock_for(HELD / 4));
    from.elapsed()
}

#[test]
fn holders_and_waiters_are_charged_and_who_gives_up_has_waited_too() {
    let (lock, arrived) = (Mutex::new(0), AtomicU32::new(0));
    let mut measured = (Duration::ZERO, Duration::ZERO);
    let both = recorded(|| {
        thread::scope(|s| {
            s.spawn(|| parks_others(&lock, &arrived));
            let parked = s.spawn(|| is_parked(&lock, &arrived));
            measured.1 = gives_up(&lock, &arrived);
            measured.0 = parked.join().unwrap();
        });
    });
    let (contentions, delay) = at(&both.mutex, "parks_others");
    assert_eq!(contentions, 1, "{both:#?}");
    assert_within(delay, HELD, measured.0 + measured.1, &both.mutex);
    assert_within(at(&both.block, "is_parked").1, HELD, measured.0, &both.block);
    assert_within(at(&both.block, "gives_up").1, HELD / 4, measured.1, &both.block);
}

#[inline(never)]
fn writes_for_long(lock: &RwLock<u64>, arrived: &AtomicU32) {
    let guard = lock.write();
    arrived.fetch_add(1, Ordering::SeqCst);
    until(arrived, 2);
    thread::sleep(HELD);
    RwLockWriteGuard::unlock_fair(guard);
}

#[inline(never)]
fn reads_after_it(lock: &RwLock<u64>, arrived: &AtomicU32) -> Duration {
    until(arrived, 1);
    arrived.fetch_add(1, Ordering::SeqCst);
    let from = Instant::now();
    let _guard = lock.read();
    from.elapsed()
}

#[test]
fn readers_and_writers() {
    let (lock, arrived) = (RwLock::new(0), AtomicU32::new(0));
    let mut measured = Duration::ZERO;
    let both = recorded(|| {
        thread::scope(|s| {
            s.spawn(|| writes_for_long(&lock, &arrived));
            measured = reads_after_it(&lock, &arrived);
        });
    });
    assert_within(at(&both.mutex, "writes_for_long").1, HELD, measured, &both.mutex);
    assert_within(at(&both.block, "reads_after_it").1, HELD, measured, &both.block);
}

#[test]
fn all_kinds_of_guards_are_there() {
    assert_eq!(*IN_A_STATIC.lock(), 1);
    let mutex = Mutex::new((1, 2));
    let part: MappedMutexGuard<'_, i32> = MutexGuard::map(mutex.lock(), |pair| &mut pair.1);
    assert!(mutex.is_locked() && mutex.try_lock().is_none());
    assert!(mutex.try_lock_until(Instant::now() + Duration::from_millis(1)).is_none());
    drop(part);
    let mut guard = mutex.lock();
    MutexGuard::bump(&mut guard);
    MutexGuard::unlock_fair(guard);
    assert_eq!(format!("{mutex:?}"), format!("{:?}", parking_lot::Mutex::new((1, 2))));

    let lock = RwLock::new(1);
    let upgradable = lock.upgradable_read();
    assert_eq!(*lock.read(), 1);
    assert!(lock.try_write().is_none() && lock.try_upgradable_read().is_none());
    let mut writer = RwLockUpgradableReadGuard::upgrade(upgradable);
    *writer += 1;
    let upgradable = RwLockWriteGuard::downgrade_to_upgradable(writer);
    let reader = RwLockUpgradableReadGuard::downgrade(upgradable);
    assert!(lock.try_write_for(Duration::from_millis(1)).is_none());
    assert_eq!(*lock.read_recursive(), 2);
    drop(reader);
    assert!(lock.try_write().is_some());
}

/// Ping-pong: each wakes the other, many times; a lost wake-up would stop it.
#[test]
fn condition_variables_lose_no_wake_up() {
    const ROUNDS: u32 = 20_000;
    let (turn, changed) = (Mutex::new(0u32), Condvar::new());
    let player = |odd: u32| {
        let mut guard = turn.lock();
        while *guard < ROUNDS {
            if *guard % 2 == odd {
                *guard += 1;
                changed.notify_one();
            } else {
                let timeout = changed.wait_for(&mut guard, Duration::from_secs(60));
                assert!(!timeout.timed_out(), "round {}", *guard);
            }
        }
        changed.notify_all();
    };
    thread::scope(|s| {
        s.spawn(|| player(0));
        s.spawn(|| player(1));
    });
    assert_eq!(*turn.lock(), ROUNDS);
    let mut guard = turn.lock();
    assert!(changed.wait_until(&mut guard, Instant::now()).timed_out());
    changed.wait_while(&mut guard, |turn| *turn < ROUNDS);
    assert!(!changed.notify_one() && changed.notify_all() == 0);
}
