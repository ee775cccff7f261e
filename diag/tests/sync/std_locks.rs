//! std's locks, watched.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use diag::sync::{Condvar, Mutex, RwLock, RwLockWriteGuard};

use crate::{HELD, assert_within, at, recorded, total, turn};

static IN_A_STATIC: Mutex<u32> = Mutex::new(7);

/// Until so many have come; then a moment longer, so that they do wait.
#[inline(never)]
fn until(arrived: &AtomicU32, wanted: u32) {
    while arrived.load(Ordering::SeqCst) < wanted {
        thread::yield_now();
    }
}

#[inline(never)]
fn holds_the_mutex(lock: &Mutex<u64>, arrived: &AtomicU32, wanted: u32) {
    let mut value = lock.lock().unwrap();
    arrived.fetch_add(1, Ordering::SeqCst);
    until(arrived, wanted + 1);
    thread::sleep(HELD);
    *value += 1;
}

#[inline(never)]
fn waits_for_the_mutex(lock: &Mutex<u64>, arrived: &AtomicU32) -> Duration {
    until(arrived, 1);
    arrived.fetch_add(1, Ordering::SeqCst);
    let from = Instant::now();
    let mut guard = lock.lock().unwrap();
    let waited = from.elapsed();
    *guard += 1;
    waited
}

/// One holds, `waiters` wait; gives what those waited together.
fn mutex_plan(lock: &Mutex<u64>, waiters: u32) -> Duration {
    let arrived = AtomicU32::new(0);
    thread::scope(|s| {
        let threads: Vec<_> = (0..waiters).map(|_| s.spawn(|| waits_for_the_mutex(lock, &arrived))).collect();
        holds_the_mutex(lock, &arrived, waiters);
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    })
}

#[test]
fn who_releases_is_charged_with_all_that_wait_and_who_waits_with_its_own() {
    for waiters in [1, 3] {
        let lock = Mutex::new(0);
        let mut measured = Duration::ZERO;
        let both = recorded(|| measured = mutex_plan(&lock, waiters));
        let planned = HELD * waiters;
        let (contentions, delay) = at(&both.mutex, "holds_the_mutex");
        assert_eq!(contentions, 1, "{both:#?}");
        assert_within(delay, planned, measured, &both.mutex);
        assert!(total(&both.mutex) <= measured, "nothing is charged twice: {both:#?}");
        let (contentions, delay) = at(&both.block, "waits_for_the_mutex");
        assert_eq!(contentions, i64::from(waiters), "{both:#?}");
        assert_within(delay, planned, measured, &both.block);
        assert_eq!(*lock.lock().unwrap(), u64::from(waiters) + 1);
    }
}

#[test]
fn nothing_is_recorded_while_it_is_off() {
    let _turn = turn();
    diag::sync::set_mutex_profile_fraction(0);
    diag::sync::set_block_profile_rate(0);
    let before = diag::sync::stats();
    mutex_plan(&Mutex::new(0), 2);
    let after = diag::sync::stats();
    assert_eq!(after.mutex_samples_total, before.mutex_samples_total);
    assert_eq!(after.block_samples_total, before.block_samples_total);
    let comments = diag::sync::mutex_profile().unwrap().meta().comments.join("\n");
    assert!(comments.contains("mutex_profile=off: DIAG_MUTEX_FRACTION"), "{comments}");
}

#[test]
fn switches_give_what_was_before() {
    let _turn = turn();
    assert_eq!(diag::sync::set_mutex_profile_fraction(5), 0);
    assert_eq!(diag::sync::set_mutex_profile_fraction(0), 5);
    assert_eq!(diag::sync::set_block_profile_rate(1_000), 0);
    assert_eq!(diag::sync::stats().block_profile_rate_ns, 1_000);
    let profile = diag::sync::block_profile().unwrap();
    assert_eq!(profile.meta().period.as_ref().unwrap().value, 1_000);
    assert_eq!(diag::sync::set_block_profile_rate(0), 1_000);
}

/// Switched on and off while others wait: nobody is charged for what was not counted, and nothing stays.
#[test]
fn switching_while_others_wait_leaves_nothing_behind() {
    let lock = Mutex::new(0);
    let _turn = turn();
    for (during, after) in [(1, 0), (0, 1)] {
        let arrived = AtomicU32::new(0);
        thread::scope(|s| {
            let waiter = s.spawn(|| waits_for_the_mutex(&lock, &arrived));
            diag::sync::set_mutex_profile_fraction(during);
            let guard = lock.lock().unwrap();
            arrived.fetch_add(1, Ordering::SeqCst);
            until(&arrived, 2);
            thread::sleep(HELD / 4);
            diag::sync::set_mutex_profile_fraction(after);
            drop(guard);
            waiter.join().unwrap();
        });
    }
    diag::sync::set_mutex_profile_fraction(1);
    let before = diag::sync::stats().mutex_samples_total;
    drop(lock.lock());
    assert_eq!(diag::sync::stats().mutex_samples_total, before, "nobody waited for this one");
    diag::sync::set_mutex_profile_fraction(0);
}

#[inline(never)]
fn writes(lock: &RwLock<u64>, arrived: &AtomicU32) -> Duration {
    arrived.fetch_add(1, Ordering::SeqCst);
    let from = Instant::now();
    let mut guard = lock.write().unwrap();
    let waited = from.elapsed();
    *guard += 1;
    waited
}

#[inline(never)]
fn reads_for_long(lock: &RwLock<u64>, arrived: &AtomicU32) -> u64 {
    let guard = lock.read().unwrap();
    arrived.fetch_add(1, Ordering::SeqCst);
    until(arrived, 3);
    thread::sleep(HELD);
    *guard
}

#[test]
fn readers_that_keep_a_writer_waiting_are_charged_together_with_its_wait() {
    let (lock, arrived) = (RwLock::new(0), AtomicU32::new(0));
    let mut measured = Duration::ZERO;
    let both = recorded(|| {
        thread::scope(|s| {
            s.spawn(|| reads_for_long(&lock, &arrived));
            s.spawn(|| reads_for_long(&lock, &arrived));
            until(&arrived, 2);
            measured = writes(&lock, &arrived);
        });
    });
    let (contentions, delay) = at(&both.mutex, "reads_for_long");
    assert!((1..=2).contains(&contentions), "{both:#?}");
    assert_within(delay, HELD, measured, &both.mutex);
    let (contentions, delay) = at(&both.block, "writes");
    assert_eq!(contentions, 1, "{both:#?}");
    assert_within(delay, HELD, measured, &both.block);
}

#[inline(never)]
fn writes_then_reads(lock: &RwLock<u64>, arrived: &AtomicU32) -> u64 {
    let guard = lock.write().unwrap();
    arrived.fetch_add(1, Ordering::SeqCst);
    until(arrived, 2);
    thread::sleep(HELD);
    *RwLockWriteGuard::downgrade(guard)
}

#[inline(never)]
fn reads(lock: &RwLock<u64>, arrived: &AtomicU32) -> Duration {
    until(arrived, 1);
    arrived.fetch_add(1, Ordering::SeqCst);
    let from = Instant::now();
    let _guard = lock.read().unwrap();
    from.elapsed()
}

#[test]
fn to_read_on_lets_readers_in_and_is_charged() {
    let (lock, arrived) = (RwLock::new(0), AtomicU32::new(0));
    let mut measured = Duration::ZERO;
    let both = recorded(|| {
        thread::scope(|s| {
            s.spawn(|| writes_then_reads(&lock, &arrived));
            measured = reads(&lock, &arrived);
        });
    });
    assert_within(at(&both.mutex, "writes_then_reads").1, HELD, measured, &both.mutex);
    assert_within(at(&both.block, "::reads").1, HELD, measured, &both.block);
}

#[inline(never)]
fn sleeps_until_it_is_told(pair: &(Mutex<bool>, Condvar), asleep: &AtomicU32) -> Duration {
    let mut guard = pair.0.lock().unwrap();
    asleep.fetch_add(1, Ordering::SeqCst);
    let from = Instant::now();
    while !*guard {
        guard = pair.1.wait(guard).unwrap();
    }
    from.elapsed()
}

#[test]
fn condition_variables_wake_and_are_waits() {
    let (pair, asleep) = ((Mutex::new(false), Condvar::new()), AtomicU32::new(0));
    let mut measured = Duration::ZERO;
    let both = recorded(|| {
        thread::scope(|s| {
            let sleeper = s.spawn(|| sleeps_until_it_is_told(&pair, &asleep));
            until(&asleep, 1);
            // It has the lock until it sleeps.
            drop(pair.0.lock().unwrap());
            thread::sleep(HELD);
            *pair.0.lock().unwrap() = true;
            pair.1.notify_one();
            measured = sleeper.join().unwrap();
        });
    });
    assert_within(at(&both.block, "sleeps_until_it_is_told").1, HELD, measured, &both.block);
    let (guard, timeout) = pair.1.wait_timeout(pair.0.lock().unwrap(), Duration::from_millis(1)).unwrap();
    assert!(*guard && timeout.timed_out());
    drop(guard);
    let guard = pair.0.lock().unwrap();
    let (guard, timeout) = pair.1.wait_timeout_while(guard, Duration::from_secs(60), |done| !*done).unwrap();
    assert!(*guard && !timeout.timed_out());
    assert!(*pair.1.wait_while(guard, |done| !*done).unwrap());
    assert!(pair.0.try_lock().is_ok());
}

#[test]
fn a_panic_poisons_as_in_std() {
    let (mutex, lock) = (Arc::new(Mutex::new(1)), Arc::new(RwLock::new(1)));
    let (m, l) = (Arc::clone(&mutex), Arc::clone(&lock));
    let panicked = thread::spawn(move || {
        let _guards = (m.lock().unwrap(), l.write().unwrap());
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    assert!(panicked.join().is_err());
    assert!(mutex.is_poisoned() && lock.is_poisoned());
    assert_eq!(*mutex.lock().unwrap_err().into_inner(), 1);
    assert!(matches!(mutex.try_lock(), Err(TryLockError::Poisoned(_))));
    assert!(lock.read().is_err() && lock.write().is_err());
    assert!(matches!(lock.try_read(), Err(TryLockError::Poisoned(_))));
    mutex.clear_poison();
    lock.clear_poison();
    assert!(mutex.lock().is_ok() && lock.write().is_ok());
    // A reader does not poison.
    let l = Arc::clone(&lock);
    let reader = thread::spawn(move || {
        let _guard = l.read().unwrap();
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    assert!(reader.join().is_err() && !lock.is_poisoned());
}

#[test]
fn they_are_std_s_in_all_else() {
    fn both<T: Send + Sync>() {}
    both::<Mutex<u8>>();
    both::<RwLock<u8>>();
    both::<Condvar>();
    fn unwind_safe<T: std::panic::UnwindSafe + std::panic::RefUnwindSafe>() {}
    unwind_safe::<Mutex<u8>>();
    unwind_safe::<RwLock<u8>>();

    assert_eq!(*IN_A_STATIC.lock().unwrap(), 7);
    let mut mutex = Mutex::from(vec![1]);
    mutex.get_mut().unwrap().push(2);
    assert_eq!(format!("{mutex:?}"), format!("{:?}", std::sync::Mutex::new(vec![1, 2])));
    {
        let guard = mutex.lock().unwrap();
        assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
        assert_eq!(format!("{guard:?}"), "[1, 2]");
        let std_s = std::sync::Mutex::new(vec![1, 2]);
        let _held = std_s.lock().unwrap();
        assert_eq!(format!("{mutex:?}"), format!("{std_s:?}"));
    }
    assert_eq!(mutex.into_inner().unwrap(), [1, 2]);
    assert_eq!(*Mutex::<u8>::default().lock().unwrap(), 0);
    let unsized_value: Arc<Mutex<[u8]>> = Arc::new(Mutex::new([1, 2, 3]));
    unsized_value.lock().unwrap()[0] = 9;

    let mut lock = RwLock::new(1);
    {
        let (one, two) = (lock.read().unwrap(), lock.try_read().unwrap());
        assert!(matches!(lock.try_write(), Err(TryLockError::WouldBlock)));
        assert_eq!(*one + *two, 2);
    }
    *lock.get_mut().unwrap() += 1;
    *lock.try_write().unwrap() += 1;
    assert_eq!(format!("{lock:?}"), format!("{:?}", std::sync::RwLock::new(3)));
    assert_eq!(lock.into_inner().unwrap(), 3);
}

/// With a writer waiting, new readers have to wait, as with std's lock.
#[test]
fn a_waiting_writer_goes_first_as_in_std() {
    let (ours, std_s) = (RwLock::new(0), std::sync::RwLock::new(0));
    let (held_ours, held_std) = (ours.read().unwrap(), std_s.read().unwrap());
    thread::scope(|s| {
        s.spawn(|| *ours.write().unwrap() += 1);
        s.spawn(|| *std_s.write().unwrap() += 1);
        // Both stop readers from the moment that the writers are in their queues.
        while std_s.try_read().is_ok() || ours.try_read().is_ok() {
            thread::yield_now();
        }
        drop((held_ours, held_std));
    });
    assert_eq!((ours.into_inner().unwrap(), std_s.into_inner().unwrap()), (1, 1));
}

#[test]
fn samples_carry_the_labels_of_the_thread() {
    let lock = Mutex::new(0);
    let both = recorded(|| {
        diag::Labels::new([("tenant", "acme")]).run(|| mutex_plan(&lock, 1));
    });
    let labels = |rows: &[crate::Row], function| -> Vec<(String, String)> {
        rows.iter().filter(|r| r.is_at(function)).flat_map(|r| r.labels.clone()).collect()
    };
    let tenant = ("tenant".to_owned(), "acme".to_owned());
    assert_eq!(labels(&both.mutex, "holds_the_mutex"), [tenant]);
    assert_eq!(labels(&both.block, "waits_for_the_mutex"), [], "threads do not inherit labels");
}
