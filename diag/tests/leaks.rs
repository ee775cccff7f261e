//! Verdicts of a real process: real sampler, real censuses, a watch of some seconds.
//!
//! A leak and an honest pool work side by side. Time is short, so that an object is of age after half a second.
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use diag::leak::{Report, SuspectVerdict, Verdict};
use diag::{Diag, LeakOptions};

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

const TICK: Duration = Duration::from_millis(5);
/// One test at a time: both change the sampling rate of the process.
static ONE: Mutex<()> = Mutex::new(());

#[inline(never)]
fn remember(kept: &mut Vec<Vec<u8>>) {
    kept.push(std::hint::black_box(vec![1; 40_000]));
}

#[inline(never)]
fn pool(kept: &mut VecDeque<Vec<u8>>) {
    kept.push_back(std::hint::black_box(vec![2; 40_000]));
    if kept.len() > 60 {
        kept.pop_front();
    }
}

/// The verdict of a watch, and what the kept history says before the leak is over.
fn watched(diag: &Diag, length: Duration) -> [Report; 2] {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut leak, mut honest) = (Vec::new(), VecDeque::new());
            while !stop.load(Ordering::Relaxed) {
                remember(&mut leak);
                pool(&mut honest);
                diag::work(1);
                std::thread::sleep(TICK);
            }
        });
        // The pool fills first.
        std::thread::sleep(Duration::from_secs(2));
        let mut watch = diag.watch_leaks(length, None).unwrap();
        let end = std::time::Instant::now() + length;
        while std::time::Instant::now() < end {
            std::thread::sleep(watch.interval());
            watch.census();
        }
        let options = LeakOptions::default().with_maturity(Some(Duration::from_millis(500)));
        let reports = [watch.report(&options), diag.leaks(&LeakOptions::default())];
        stop.store(true, Ordering::Relaxed);
        reports.map(Result::unwrap)
    })
}

#[test]
fn a_leak_is_named_and_the_pool_beside_it_is_not() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let diag = Diag::builder().sample_bytes(16 << 10).start().or_else(|e| Diag::running().ok_or(e)).unwrap();
    let [report, history] = watched(&diag, Duration::from_secs(8));
    assert_eq!(report.verdict, Verdict::Leak, "{report}");
    let leaks: Vec<_> = report.suspects.iter().filter(|s| s.verdict == SuspectVerdict::Leak).collect();
    assert_eq!(leaks.len(), 1, "{report}");
    assert!(leaks[0].site.contains("remember"), "{report}");
    assert!(leaks[0].frames.iter().any(|f| f.file.ends_with("leaks.rs") && f.line > 0), "{report}");
    // The size class of 40,000 bytes.
    let each = leaks[0].bytes_per_work_unit.unwrap();
    assert!((0.6..1.4).contains(&(each / 40_960.0)), "{each} bytes a unit of work: {report}");
    // The process is seconds old: mostly too young to tell.
    assert_ne!(history.verdict, Verdict::NoLeak, "{history}");
}

#[test]
fn a_watch_may_sample_more_often_for_its_own_time() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let diag = Diag::builder().sample_bytes(16 << 10).start().or_else(|e| Diag::running().ok_or(e)).unwrap();
    let heap = *diag.heap().unwrap();
    let before = heap.stats().sample_period_bytes;
    heap.set_sample_period_bytes(1 << 20).unwrap();
    let watch = diag.watch_leaks(Duration::from_secs(60), Some(65_536)).unwrap();
    assert_eq!(heap.stats().sample_period_bytes, 65_536);
    // Another one leaves the rate alone, and does not end the first one's.
    drop(diag.watch_leaks(Duration::from_secs(60), Some(16_384)).unwrap());
    assert_eq!(heap.stats().sample_period_bytes, 65_536);
    drop(watch);
    assert_eq!(heap.stats().sample_period_bytes, 1 << 20);
    // Less often than now is no rise.
    drop(diag.watch_leaks(Duration::from_secs(60), Some(1 << 30)).unwrap());
    assert_eq!(heap.stats().sample_period_bytes, 1 << 20);
    heap.set_sample_period_bytes(before).unwrap();
}

#[test]
fn a_leak_check_puts_the_sampling_period_back_also_after_a_panic() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let diag = Diag::builder().sample_bytes(16 << 10).start().or_else(|e| Diag::running().ok_or(e)).unwrap();
    let heap = *diag.heap().unwrap();
    let before = heap.stats().sample_period_bytes;
    heap.set_sample_period_bytes(1 << 20).unwrap();
    let check = diag::LeakCheck::new().warmup(1).iterations(8);
    check.run(|| drop(vec![0u8; 10])).unwrap();
    assert_eq!(heap.stats().sample_period_bytes, 1 << 20);
    let mut runs = 0;
    let workload = || {
        runs += 1;
        assert!(runs < 3, "the workload's own");
    };
    let panicking = std::panic::AssertUnwindSafe(|| check.run(workload));
    assert!(std::panic::catch_unwind(panicking).is_err());
    assert_eq!(heap.stats().sample_period_bytes, 1 << 20);
    heap.set_sample_period_bytes(before).unwrap();
}
