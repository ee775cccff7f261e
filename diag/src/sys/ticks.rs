//! The cheapest clock there is, for what happens a million times a second: polls of tasks, spans.
//!
//! On x86-64 the time-stamp counter, where the kernel itself keeps time by it and so has checked that it is constant,
//! does not stop, and is the same on all processors; elsewhere the monotonic clock. Ticks count from an arbitrary moment
//! and are compared with ticks only. [`Scale`] makes nanoseconds of them; it is made when somebody asks, and its error is
//! that of two readings of the clock, some 100 ns, over the time since the first reading.
//!
//! Reading neither locks nor allocates nor enters the kernel. Across processors two readings may be some nanoseconds out
//! of order: differences are to be taken saturating.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::clock::{monotonic_ns, unix_ns};

const UNKNOWN: u8 = 0;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
const COUNTER: u8 = 1;
const CLOCK: u8 = 2;

static SOURCE: AtomicU8 = AtomicU8::new(UNKNOWN);
/// The first reading of both clocks: ticks, nanoseconds.
static FIRST: OnceLock<(u64, u64)> = OnceLock::new();

/// A scale over less than this would be too coarse.
const SHORTEST_SCALE_NS: u64 = 2_000_000;

/// Now.
#[inline]
pub(crate) fn now() -> u64 {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    if SOURCE.load(Ordering::Relaxed) == COUNTER {
        return counter();
    }
    now_by_clock()
}

#[cold]
fn now_by_clock() -> u64 {
    if SOURCE.load(Ordering::Relaxed) == UNKNOWN {
        begin();
        return now();
    }
    monotonic_ns()
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[inline]
fn counter() -> u64 {
    // SAFETY: every x86-64 processor has the instruction; where the kernel forbids it (prctl PR_SET_TSC) it keeps no time by
    // it in this process's vDSO either, which `begin` has looked for.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Chooses the clock; the first call reads a file of the kernel's.
pub(crate) fn begin() {
    FIRST.get_or_init(|| {
        let source = choose();
        let first = match source {
            CLOCK => (monotonic_ns(), monotonic_ns()),
            _ => both(),
        };
        SOURCE.store(source, Ordering::Release);
        first
    });
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn choose() -> u8 {
    const KEPT_BY: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let by_counter = std::fs::read_to_string(KEPT_BY).is_ok_and(|name| name.trim() == "tsc");
    // The process itself may have forbidden the instruction.
    if by_counter && counter_allowed() { COUNTER } else { CLOCK }
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn choose() -> u8 {
    CLOCK
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn counter_allowed() -> bool {
    let mut mode: libc::c_int = 0;
    // SAFETY: PR_GET_TSC writes an int to the pointer, which is to a live one.
    let done = unsafe { libc::prctl(libc::PR_GET_TSC, &mut mode) };
    done == 0 && mode == libc::PR_TSC_ENABLE
}

/// Both clocks at one moment.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn both() -> (u64, u64) {
    // Of a few tries the one in which the least time passed between.
    let tries = (0..8).map(|_| {
        let before = counter();
        let ns = monotonic_ns();
        let after = counter();
        (after.saturating_sub(before), before / 2 + after / 2, ns)
    });
    tries.min().map_or_else(|| (counter(), monotonic_ns()), |(_, ticks, ns)| (ticks, ns))
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn both() -> (u64, u64) {
    let now = monotonic_ns();
    (now, now)
}

/// What ticks are in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    ns_per_tick: f64,
    /// One moment on three clocks.
    ticks: u64,
    monotonic_ns: u64,
    unix_ns: u64,
}

impl Scale {
    /// As of now. Waits two milliseconds when the process has only just begun to count.
    pub(crate) fn now() -> Self {
        begin();
        let first = FIRST.get().copied().unwrap_or((0, 0));
        let by_clock = SOURCE.load(Ordering::Acquire) == CLOCK;
        let (mut ticks, mut monotonic) = if by_clock { (monotonic_ns(), 0) } else { both() };
        if by_clock {
            monotonic = ticks;
        } else if monotonic.saturating_sub(first.1) < SHORTEST_SCALE_NS {
            std::thread::sleep(Duration::from_nanos(SHORTEST_SCALE_NS));
            (ticks, monotonic) = both();
        }
        let ns_per_tick = if by_clock {
            1.0
        } else {
            monotonic.saturating_sub(first.1) as f64 / ticks.saturating_sub(first.0).max(1) as f64
        };
        Self { ns_per_tick, ticks, monotonic_ns: monotonic, unix_ns: unix_ns() }
    }

    /// A length of time.
    pub(crate) fn ns(&self, ticks: u64) -> u64 {
        (ticks as f64 * self.ns_per_tick) as u64
    }

    /// Ticks in a length of time.
    pub(crate) fn ticks(&self, ns: u64) -> u64 {
        (ns as f64 / self.ns_per_tick) as u64
    }

    /// When this scale was made, in ticks.
    pub(crate) fn made_at(&self) -> u64 {
        self.ticks
    }

    /// How long before the scale was made; 0 for later moments.
    pub(crate) fn ago_ns(&self, at: u64) -> u64 {
        self.ns(self.ticks.saturating_sub(at))
    }

    /// A moment on the monotonic clock, as `CLOCK_MONOTONIC` counts.
    pub(crate) fn monotonic_ns(&self, at: u64) -> u64 {
        if at >= self.ticks {
            return self.monotonic_ns.saturating_add(self.ns(at - self.ticks));
        }
        self.monotonic_ns.saturating_sub(self.ago_ns(at))
    }

    /// A moment on the wall clock, as it stands now.
    pub(crate) fn unix_ns(&self, at: u64) -> u64 {
        if at >= self.ticks {
            return self.unix_ns.saturating_add(self.ns(at - self.ticks));
        }
        self.unix_ns.saturating_sub(self.ago_ns(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_pass_as_the_monotonic_clock_does() {
        let (before, before_ns) = (now(), monotonic_ns());
        std::thread::sleep(Duration::from_millis(30));
        let (after, after_ns) = (now(), monotonic_ns());
        let scale = Scale::now();
        let (ticked, passed) = (scale.ns(after - before) as f64, (after_ns - before_ns) as f64);
        // Between the two readings of one moment the thread may have waited for a processor.
        assert!((ticked / passed - 1.0).abs() < 0.5, "{ticked} ns by ticks, {passed} by the clock");
        let at = scale.monotonic_ns(after);
        assert!(at.abs_diff(after_ns) < 20_000_000, "{at} is not {after_ns}");
        assert!(scale.unix_ns(after).abs_diff(unix_ns()) < 1_000_000_000);
        assert!(scale.ago_ns(before) >= 30_000_000 / 2);
        assert_eq!(scale.ago_ns(scale.made_at() + 5), 0);
        let ticks = scale.ticks(1_000_000);
        assert!(scale.ns(ticks).abs_diff(1_000_000) <= 2);
    }
}
