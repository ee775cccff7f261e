//! Who is followed, for how long, and charged with what.
#![allow(clippy::unwrap_used)] // helpers of tests

use super::*;

fn threads(events_left: usize) -> Threads {
    let mut threads = Threads::new(Shared::of_process().unwrap(), Source::PerfCpuClock, 1_000_000_000);
    threads.events_left = events_left;
    threads
}

/// A thread that is there until the sender is dropped.
fn waiting() -> (std::sync::mpsc::Sender<()>, std::thread::JoinHandle<u32>) {
    let (stay, end) = std::sync::mpsc::channel::<()>();
    let (tell, told) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        tell.send(()).unwrap();
        _ = end.recv();
        crate::sys::thread::thread_id()
    });
    told.recv().unwrap();
    (stay, thread)
}

#[test]
fn events_of_threads_that_ended_are_free_again() {
    let _alone = crate::cpu::tests::alone();
    let mut threads = threads(10_000);
    if PerfEvent::of_thread(crate::sys::thread::thread_id(), 1_000_000_000).is_err() {
        return println!("skipped: no perf_event_open here");
    }
    let waiting: Vec<_> = (0..20).map(|_| waiting()).collect();
    threads.scan();
    let used = |threads: &Threads| {
        threads.tracked.values().filter(|t| matches!(t.armed, Armed::Perf { .. })).count()
    };
    assert!(used(&threads) >= 20);
    for (stay, thread) in waiting {
        drop(stay);
        thread.join().unwrap();
    }
    threads.scan();
    assert_eq!(threads.events_left + used(&threads), 10_000);
}

#[test]
fn threads_go_over_from_timers_to_events() {
    let _alone = crate::cpu::tests::alone();
    if PerfEvent::of_thread(crate::sys::thread::thread_id(), 1_000_000_000).is_err() {
        return println!("skipped: no perf_event_open here");
    }
    let mut threads = threads(0);
    let waiting: Vec<_> = (0..5).map(|_| waiting()).collect();
    threads.scan();
    let timers = |threads: &Threads| {
        threads.tracked.values().filter(|t| matches!(t.armed, Armed::Timer { .. })).count()
    };
    assert!(timers(&threads) >= 5);
    threads.use_events();
    assert_eq!(timers(&threads), 0);
    assert!(threads.tracked.values().all(|t| matches!(t.armed, Armed::Perf { .. })));
    threads.end(0);
    for (stay, thread) in waiting {
        drop(stay);
        thread.join().unwrap();
    }
}

#[test]
fn a_thread_that_was_missed_at_first_is_not_charged_with_its_past() {
    let _alone = crate::cpu::tests::alone();
    let mut threads = threads(0);
    let me = crate::sys::thread::thread_id();
    while clock::own_cpu_ns() < 200_000_000 {
        std::hint::black_box(());
    }
    let began_ns = threads.begin_accounts();
    // As if the sampler were another thread that meets this one only now.
    threads.me = 0;
    threads.scan();
    let process_ns = threads.end(began_ns);
    let accounts = threads.accounts(process_ns);
    let charged = accounts.threads[&me];
    assert!(charged < 100_000_000, "{charged}");
    // A list that cannot be read, or that ends early, makes nobody forgotten.
    threads.tracked.get_mut(&me).unwrap().seen = 0;
    threads.scans += 1;
    threads.forget_ended();
    assert!(threads.tracked.contains_key(&me));
}

/// Burns so much CPU time on a thread, lets `look` look meanwhile, and gives the thread with what it used by its own clock.
fn burnt(ns: u64, mut look: impl FnMut()) -> (u32, u64) {
    let thread = std::thread::spawn(move || {
        while clock::own_cpu_ns() < ns {
            std::hint::black_box(());
        }
        (crate::sys::thread::thread_id(), clock::own_cpu_ns())
    });
    while !thread.is_finished() {
        look();
        std::thread::sleep(Duration::from_millis(1));
    }
    thread.join().unwrap()
}

#[test]
fn the_time_of_a_thread_that_ended_is_nearly_known_by_looks() {
    let _alone = crate::cpu::tests::alone();
    let mut threads = threads(0);
    threads.period_ns = 10_000_000;
    let installed = crate::sys::cpu::signal::install().unwrap();
    let began_ns = threads.begin_accounts();
    let (thread, used_ns) = burnt(200_000_000, || {
        threads.scan_if_due();
        threads.look_if_due();
    });
    threads.scan();
    let process_ns = threads.end(began_ns);
    installed.restore().unwrap();
    let accounts = threads.accounts(process_ns);
    let known = accounts.ended.get(&thread).copied().unwrap_or(0);
    // The last look was at most a scan's interval before its end, by far.
    assert!(known.abs_diff(used_ns) < 50_000_000, "{known} of {used_ns}");
}
