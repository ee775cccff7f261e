//! Everything at once, for seconds: no deadlock, no lost wake-up, no lost count.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use diag::sync::{Condvar, Mutex, RwLock};

use crate::turn;

const THREADS: u64 = 8;
/// Nothing here waits so long unless it is stuck.
const STUCK: Duration = Duration::from_secs(120);

fn storm_length() -> Duration {
    let seconds = std::env::var("DIAG_STORM_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(2);
    Duration::from_secs(seconds)
}

#[test]
fn eight_threads_with_all_locks() {
    let _turn = turn();
    diag::sync::set_mutex_profile_fraction(2);
    diag::sync::set_block_profile_rate(1_000);
    let (mutex, lock) = (Mutex::new(0u64), RwLock::new(0u64));
    let (turns, changed) = (Mutex::new(0u64), Condvar::new());
    let (stop, done) = (AtomicBool::new(false), AtomicBool::new(false));
    let counts: [AtomicU64; 3] = Default::default();
    thread::scope(|s| {
        s.spawn(|| {
            let from = Instant::now();
            while !done.load(Ordering::Relaxed) {
                if from.elapsed() > STUCK + storm_length() {
                    eprintln!("stuck: {counts:?}");
                    std::process::abort();
                }
                thread::sleep(Duration::from_millis(20));
            }
        });
        let workers: Vec<_> = (0..THREADS)
            .map(|i| {
                let (mutex, lock, turns, changed) = (&mutex, &lock, &turns, &changed);
                let (stop, counts) = (&stop, &counts);
                s.spawn(move || {
                    let mut round = i;
                    while !stop.load(Ordering::Relaxed) {
                        round += 1;
                        *mutex.lock().unwrap() += 1;
                        counts[0].fetch_add(1, Ordering::Relaxed);
                        if round.is_multiple_of(5) {
                            *lock.write().unwrap() += 1;
                            counts[1].fetch_add(1, Ordering::Relaxed);
                        } else {
                            std::hint::black_box(*lock.read().unwrap());
                        }
                        if round.is_multiple_of(64) {
                            let mut guard = turns.lock().unwrap();
                            *guard += 1;
                            counts[2].fetch_add(1, Ordering::Relaxed);
                            changed.notify_one();
                            // The last one has nobody to wake it.
                            drop(changed.wait_timeout(guard, Duration::from_micros(200)).unwrap());
                        }
                        if let Ok(mut guard) = mutex.try_lock() {
                            *guard += 1;
                            counts[0].fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        let until = Instant::now() + storm_length();
        let mut profiles = 0u32;
        while Instant::now() < until {
            // Readers of the tables, and both switches, do not disturb.
            for profile in [diag::sync::mutex_profile(), diag::sync::block_profile()] {
                let profile = profile.unwrap();
                assert!(profile.samples().all(|s| s.values.iter().all(|v| *v >= 0)), "round {profiles}");
            }
            profiles += 1;
            diag::sync::set_mutex_profile_fraction(profiles % 3);
            diag::sync::set_block_profile_rate(u64::from(profiles % 2) * 1_000);
            thread::sleep(Duration::from_millis(3));
        }
        stop.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    diag::sync::set_mutex_profile_fraction(0);
    diag::sync::set_block_profile_rate(0);
    let counted = |i: usize| counts[i].load(Ordering::Relaxed);
    assert_eq!(mutex.into_inner().unwrap(), counted(0));
    assert_eq!(lock.into_inner().unwrap(), counted(1));
    assert_eq!(turns.into_inner().unwrap(), counted(2));
    let stats = diag::sync::stats();
    assert!(stats.mutex_samples_total > 0 && stats.block_samples_total > 0, "{stats:?}");
    assert!(stats.memory_bytes < 8 << 20, "{stats:?}");
    println!("{} acquisitions, {stats:?}", counted(0) + counted(1) + counted(2));
}
