//! The sampler on this process. Bounds are those that a loaded machine keeps; the figures are in `benches/cpu_accuracy.rs`.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::io::{ErrorKind, Read as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Cpu, CpuError, CpuOptions, Mode, Source};
use crate::profile::{Label, LabelValue, Profile};
use crate::sys::cpu::clock;
use crate::sys::cpu::perf::PerfEvent;

/// There is one recording at a time in a process, and these tests are in one.
pub(super) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[inline(never)]
fn burn(cpu_ns: u64) -> u64 {
    let until = clock::own_cpu_ns() + cpu_ns;
    let mut x = 1u64;
    while clock::own_cpu_ns() < until {
        for i in 0..2_000u64 {
            x = std::hint::black_box(x.wrapping_mul(i | 1).rotate_left(5));
        }
    }
    x
}

/// Nanoseconds of the samples that have all these labels.
fn ns_with(profile: &Profile, wanted: &[(&str, &str)]) -> i64 {
    let has = |labels: &[Label], (key, value): &(&str, &str)| {
        let is = |l: &Label| matches!(l.value, LabelValue::Str(v) if profile.str(v) == *value);
        labels.iter().any(|l| profile.str(l.key) == *key && is(l))
    };
    let samples = profile.samples().filter(|s| wanted.iter().all(|w| has(profile.label_set(s.labels), w)));
    samples.map(|s| s.values[1]).sum()
}

fn burning<R>(threads: usize, name: &'static str, cpu_ns: u64, during: impl FnOnce() -> R) -> R {
    thread::scope(|s| {
        for _ in 0..threads {
            thread::Builder::new().name(name.to_owned()).spawn_scoped(s, move || burn(cpu_ns)).unwrap();
        }
        during()
    })
}

#[test]
fn nanoseconds_are_the_cpu_time_of_each_thread() {
    let _alone = alone();
    for source in [Some(Source::PerfCpuClock), Some(Source::ThreadTimers), None] {
        for hz in [99, 999] {
            let options = CpuOptions { source, ..CpuOptions::default().hz(hz) };
            let recording = match Cpu::new().record(&options) {
                Ok(recording) => recording,
                Err(CpuError::Unavailable { why, .. }) if source == Some(Source::PerfCpuClock) => {
                    println!("skipped: {why}");
                    continue;
                }
                Err(other) => panic!("{other}"),
            };
            burning(3, "burner", 400_000_000, || {});
            let profile = recording.finish().unwrap();
            let ns = ns_with(&profile, &[("thread", "burner")]);
            let raw = profile.meta().comments.iter().find(|c| c.contains("accounted=")).unwrap().clone();
            println!("{source:?} {hz} Hz: {ns} of 1200000000 ns, {raw}");
            assert!((1_150_000_000..1_300_000_000).contains(&ns), "{source:?} {hz}: {ns}, {raw}");
        }
    }
}

#[test]
fn wall_time_passes_in_every_thread_and_waiting_ones_are_left_in_peace() {
    let _alone = alone();
    let interrupted = AtomicU32::new(0);
    let profile = thread::scope(|s| {
        let sleeper = || {
            // A system call that ends with EINTR when it is interrupted.
            let (mut socket, _other_end) = UnixStream::pair().unwrap();
            let end = Instant::now() + Duration::from_millis(1_300);
            while Instant::now() < end {
                let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
                socket.set_read_timeout(Some(left)).unwrap();
                if socket.read(&mut [0]).unwrap_err().kind() == ErrorKind::Interrupted {
                    interrupted.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        thread::Builder::new().name("sleeper".to_owned()).spawn_scoped(s, sleeper).unwrap();
        thread::Builder::new().name("burner".to_owned()).spawn_scoped(s, || burn(600_000_000)).unwrap();
        Cpu::new().profile(Duration::from_secs(1), &CpuOptions::default().mode(Mode::Wall)).unwrap()
    });
    assert_eq!(profile.sample_types()[1].kind, "wall");
    let (asleep, awake) = (
        ns_with(&profile, &[("thread", "sleeper"), ("state", "waiting")]),
        ns_with(&profile, &[("thread", "burner")]),
    );
    let running = ns_with(&profile, &[("thread", "burner"), ("state", "running")]);
    println!("sleeper {asleep} ns, burner {awake} ns, running {running} ns, interrupted {interrupted:?}");
    assert!((700_000_000..1_150_000_000).contains(&asleep), "{asleep}");
    assert!((400_000_000..1_150_000_000).contains(&awake) && running > awake / 4, "{awake} {running}");
    assert!(interrupted.into_inner() <= 3, "a thread that waits is asked once");
}

#[test]
fn one_at_a_time_and_the_old_handler_comes_back() {
    let _alone = alone();
    assert!(matches!(Cpu::new().record(&CpuOptions::default().hz(0)), Err(CpuError::Rate { hz: 0 })));
    assert!(matches!(Cpu::new().record(&CpuOptions::default().hz(5_000)), Err(CpuError::Rate { .. })));
    let options = CpuOptions::default().at_most(Duration::from_secs(30));
    let first = Cpu::new().record(&options).unwrap();
    match Cpu::new().record(&options) {
        Err(CpuError::Busy { ends_in }) => assert!((20..=30).contains(&ends_in.as_secs()), "{ends_in:?}"),
        other => panic!("{other:?}"),
    }
    assert!(Cpu::new().stats().recording);
    drop(first);
    let free = (0..500).any(|_| {
        thread::sleep(Duration::from_millis(10));
        !Cpu::new().stats().recording
    });
    assert!(free, "dropping it ends it");
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let caught = status.lines().find_map(|l| l.strip_prefix("SigCgt:")).unwrap();
    let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
    assert_eq!(caught >> (libc::SIGPROF - 1) & 1, 0, "nobody handles SIGPROF again");
}

#[test]
fn a_recording_begins_with_timers_and_goes_on_with_events() {
    let _alone = alone();
    let recording = Cpu::new().record(&CpuOptions::default()).unwrap();
    burning(2, "burner", 300_000_000, || {});
    let profile = recording.finish().unwrap();
    let stats = Cpu::new().stats();
    match PerfEvent::of_thread(crate::sys::thread::thread_id(), 1_000_000_000) {
        Ok(_) => assert_eq!(stats.source, Some(Source::PerfCpuClock), "{}", stats.why),
        Err(_) => assert_eq!(stats.source, Some(Source::ThreadTimers), "{}", stats.why),
    }
    assert!(profile.meta().comments.iter().any(|c| c.contains(&stats.why)), "{:?}", profile.meta().comments);
    assert!(!stats.why.is_empty());
}

#[cfg(feature = "cpu-guard")]
#[test]
fn the_pprof_crate_is_the_last_resort() {
    let _alone = alone();
    let options = CpuOptions::default().source(Source::PprofCrate);
    let recording = Cpu::new().record(&options).unwrap();
    burning(1, "burner", 500_000_000, || {});
    let profile = recording.finish().unwrap();
    let ns = ns_with(&profile, &[("thread", "burner")]);
    assert!((200_000_000..900_000_000).contains(&ns), "{ns}");
    let burn = profile.functions().iter().any(|f| profile.str(f.name).ends_with("burn"));
    assert!(burn, "it names functions itself");
    assert_eq!(Cpu::new().stats().source, Some(Source::PprofCrate));
}
