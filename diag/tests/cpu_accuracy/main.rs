//! CPU time in profiles against what the kernel charged, in a reduced matrix with bounds that a loaded machine keeps. The whole
//! matrix, its targets, and the `pprof` crate beside it: `cargo bench -p diag --bench cpu_accuracy`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests
#![cfg(target_os = "linux")]

mod cell;

use std::time::Duration;

use cell::{Cell, Load};
use diag::cpu::Source;

/// A cell that is wrong each time is wrong: once may be the machine, which runs other tests and other machines.
const TRIES: usize = 3;

/// The bounds are twice the targets and more: a preempted virtual machine is not the sampler's fault.
fn check(source: Option<Source>) {
    for (hz, threads, load) in [
        (99, 1, Load::Busy),
        (999, 8, Load::Busy),
        (499, 2, Load::HalfIdle),
        (999, 16, Load::HalfIdle),
        (999, 2, Load::ShortLived),
    ] {
        // A quarter of a second a thread: the kernel's tick, which timers wait for, is up to 10 ms.
        let cell = Cell { hz, threads, load, cpu: Duration::from_millis(250 * threads.max(4) as u64) };
        let most = if source == Some(Source::PerfCpuClock) { 0.15 } else { 0.25 };
        let mut tries = Vec::new();
        let held = (0..TRIES).any(|_| {
            let Some(found) = cell.by_diag(source) else { return true };
            let (ratio, skew) = (found.ratio(), found.skew());
            println!("{source:?} {cell:?}: {ratio:.4}, accounted {:?}, skew {skew:.3}", found.accounted);
            tries.push(found);
            (ratio - 1.0).abs() < 0.05 && skew < most
        });
        assert!(held, "{source:?} {cell:?}: {tries:?}");
    }
}

/// One after the other: they share the process's CPU time.
#[test]
fn nanoseconds_are_what_the_kernel_charged() {
    check(Some(Source::PerfCpuClock));
    check(Some(Source::ThreadTimers));
    check(None);
}
