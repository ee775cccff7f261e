//! The sampler on this process. Bounds are those that a loaded machine keeps; the figures are in `benches/cpu_accuracy.rs`.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use super::{Cpu, CpuError, CpuOptions, Source};
use crate::profile::{LabelValue, Profile};
use crate::sys::cpu::clock;

/// There is one recording at a time in a process, and these tests are in one.
fn alone() -> MutexGuard<'static, ()> {
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

/// Sum of a value over the samples with this thread name.
fn of_thread(profile: &Profile, name: &str, value: usize) -> i64 {
    let is_named = |labels: &[crate::profile::Label]| {
        labels.iter().any(|l| {
            profile.str(l.key) == "thread" && matches!(l.value, LabelValue::Str(v) if profile.str(v) == name)
        })
    };
    profile.samples().filter(|s| is_named(profile.label_set(s.labels))).map(|s| s.values[value]).sum()
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
    for source in [Source::PerfCpuClock, Source::ThreadTimers] {
        for hz in [99, 999] {
            let options = CpuOptions::default().hz(hz).source(source);
            let recording = match Cpu::new().record(&options) {
                Ok(recording) => recording,
                Err(CpuError::Unavailable { why, .. }) if source == Source::PerfCpuClock => {
                    println!("skipped: {why}");
                    continue;
                }
                Err(other) => panic!("{other}"),
            };
            burning(3, "burner", 400_000_000, || {});
            let profile = recording.finish().unwrap();
            let ns = of_thread(&profile, "burner", 1);
            let raw = profile.meta().comments.iter().find(|c| c.contains("accounted=")).unwrap().clone();
            println!("{source:?} {hz} Hz: {ns} of 1200000000 ns, {raw}");
            assert!((1_150_000_000..1_300_000_000).contains(&ns), "{source:?} {hz}: {ns}, {raw}");
        }
    }
}
