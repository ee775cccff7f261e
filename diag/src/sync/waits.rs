//! How long those who wait for a lock have waited, without a list of them.
//!
//! The word of a lock holds the number n of waiters and the sum S of the times they came at. Together they have waited
//! n * now - S. A release takes that as its charge, and sets S to n * now: from there they wait on somebody else's account. Who
//! leaves subtracts the time it came at, or that of the last charge if that is later.
//!
//! No lock; one compare-and-swap to come, to leave and to charge. The time of a charge is published before its swap. So who
//! leaves between the two subtracts too much, which the charge, swapping again, then finds in S: what it takes is right.
//!
//! Times are in steps of 16 ns, sums modulo 2^48: 1,000 that wait an hour each between two releases still fit. What comes out
//! negative (clocks of two processors differ by nanoseconds) is no charge.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{record, switch};
use crate::sys::clock::monotonic_ns;
use crate::sys::watch::Watch;

const COUNT_SHIFT: u32 = 48;
const SUM: u64 = (1 << COUNT_SHIFT) - 1;
const MOST_WAITERS: u64 = u16::MAX as u64;
const STEP_SHIFT: u32 = 4;

/// Lies in each lock. See the module.
#[cfg_attr(
    not(feature = "parking_lot"),
    allow(unreachable_pub, reason = "the types of parking_lot's locks name it")
)]
#[derive(Debug, Default)]
pub struct Waits {
    /// Number of waiters, 16 bits, and the sum, 48 bits. 0: nobody waits.
    word: AtomicU64,
    /// When the last charge was made, in steps.
    charged_at: AtomicU64,
}

fn pack(count: u64, sum: u64) -> u64 {
    count << COUNT_SHIFT | sum & SUM
}

fn unpack(word: u64) -> (u64, u64) {
    (word >> COUNT_SHIFT, word & SUM)
}

/// A difference of sums, which may be negative.
fn signed(difference: u64) -> i64 {
    let unused = 64 - COUNT_SHIFT;
    ((difference << unused) as i64) >> unused
}

impl Waits {
    pub(super) const fn new() -> Self {
        Self { word: AtomicU64::new(0), charged_at: AtomicU64::new(0) }
    }

    /// Somebody waits. `false` when there are too many already.
    fn come(&self, now_ns: u64) -> bool {
        let now = now_ns >> STEP_SHIFT;
        let come = |word| {
            let (count, sum) = unpack(word);
            (count < MOST_WAITERS).then(|| pack(count + 1, sum.wrapping_add(now)))
        };
        self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, come).is_ok()
    }

    /// Who came then waits no longer.
    fn leave(&self, came_ns: u64) {
        let came = came_ns >> STEP_SHIFT;
        let leave = |word| {
            let (count, sum) = unpack(word);
            let from = came.max(self.charged_at.load(Ordering::Acquire));
            Some(pack(count.checked_sub(1)?, sum.wrapping_sub(from)))
        };
        let _ = self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, leave);
    }

    /// What the waiters have waited since the last charge, in nanoseconds.
    fn charge(&self, now_ns: u64) -> u64 {
        let now = now_ns >> STEP_SHIFT;
        self.charged_at.fetch_max(now, Ordering::AcqRel);
        let mut owed = 0;
        let charge = |word| {
            let (count, sum) = unpack(word);
            let all = count.wrapping_mul(now);
            owed = signed(all.wrapping_sub(sum));
            match count {
                0 => Some(0),
                // Somebody else has just charged for a later moment.
                _ if owed < 0 => None,
                _ => Some(pack(count, all)),
            }
        };
        let _ = self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, charge);
        u64::try_from(owed).unwrap_or(0) << STEP_SHIFT
    }

    #[cold]
    fn charge_now(&self) -> u64 {
        self.charge(monotonic_ns())
    }
}

impl Watch for Waits {
    #[allow(clippy::declare_interior_mutable_const, reason = "a lock begins with a copy of it")]
    const NEW: Self = Self::new();

    #[cold]
    fn waiting<R>(&self, wait: impl FnOnce() -> R) -> R {
        if !switch::is_on() {
            return wait();
        }
        let _waiting = Waiting::begin(self, None);
        wait()
    }

    #[inline]
    fn before_release(&self) -> u64 {
        // Whoever comes this moment has not waited for us.
        if self.word.load(Ordering::Relaxed) == 0 { 0 } else { self.charge_now() }
    }

    #[cold]
    fn after_release(owed_ns: u64) {
        record::release(owed_ns);
    }
}

/// Somebody waits, until this is dropped.
#[derive(Debug)]
pub(super) struct Waiting<'a> {
    waits: &'a Waits,
    since_ns: u64,
    /// Counted in `waits`.
    counted: bool,
    /// For the block profile, where the stack at the end is not the right one.
    site: Option<u32>,
}

impl<'a> Waiting<'a> {
    pub(super) fn begin(waits: &'a Waits, site: Option<u32>) -> Self {
        let since_ns = monotonic_ns();
        let counted = switch::mutex_profile_fraction() > 0 && {
            let counted = waits.come(since_ns);
            if !counted {
                record::not_charged();
            }
            counted
        };
        Self { waits, since_ns, counted, site }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.counted {
            self.waits.leave(self.since_ns);
        }
        record::wait(monotonic_ns().saturating_sub(self.since_ns), self.site);
    }
}

/// Somebody waits for no lock, but to be woken; until this is dropped.
#[derive(Debug)]
pub(super) struct Asleep {
    /// Absent while all is off.
    since_ns: Option<u64>,
}

impl Asleep {
    pub(super) fn begin() -> Self {
        Self { since_ns: switch::is_on().then(monotonic_ns) }
    }
}

impl Drop for Asleep {
    fn drop(&mut self) {
        if let Some(since_ns) = self.since_ns {
            record::wait(monotonic_ns().saturating_sub(since_ns), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn near(ns: u64, wanted: u64) -> bool {
        ns.abs_diff(wanted) < 100
    }

    #[test]
    fn holders_are_charged_with_what_all_have_waited_since_the_last_release() {
        let waits = Waits::new();
        let at = |ms: u64| 50 * 24 * 3_600_000 * MS + ms * MS; // up for longer than sums can hold
        assert!(waits.come(at(0)) && waits.come(at(1)) && waits.come(at(4)));
        assert!(near(waits.charge(at(5)), (5 + 4 + 1) * MS), "three wait");
        waits.leave(at(0));
        assert!(near(waits.charge(at(8)), 2 * 3 * MS), "two wait on");
        assert!(waits.come(at(9)));
        waits.leave(at(4));
        waits.leave(at(1));
        assert!(near(waits.charge(at(10)), MS), "of the one that came last");
        waits.leave(at(9));
        assert_eq!(waits.word.load(Ordering::Relaxed), 0);
        assert_eq!(waits.charge(at(11)), 0);
    }

    #[test]
    fn a_clock_that_is_behind_charges_nothing_and_loses_nothing() {
        let waits = Waits::new();
        assert!(waits.come(1_000 * MS));
        assert_eq!(waits.charge(999 * MS), 0);
        assert!(near(waits.charge(1_002 * MS), 2 * MS));
        assert_eq!(waits.charge(1_001 * MS), 0);
        waits.leave(1_000 * MS);
        assert_eq!(waits.word.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn there_may_be_too_many() {
        let waits = Waits::new();
        for _ in 0..MOST_WAITERS {
            assert!(waits.come(MS));
        }
        assert!(!waits.come(MS));
        assert!(near(waits.charge(MS + 160), MOST_WAITERS * 160));
        for _ in 0..MOST_WAITERS {
            waits.leave(MS);
        }
        assert_eq!(waits.word.load(Ordering::Relaxed), 0);
    }

    /// Many come and go while many charge: nothing is charged twice, and next to nothing is lost.
    #[test]
    fn charges_sum_up_to_what_was_waited() {
        let waits = Waits::new();
        let (waited, charged) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for _ in 0..20_000 {
                        let since = monotonic_ns();
                        assert!(waits.come(since));
                        std::thread::yield_now();
                        // In the real thing the last charge is made just before a waiter leaves.
                        charged.fetch_add(waits.charge(monotonic_ns()), Ordering::Relaxed);
                        let until = monotonic_ns();
                        waits.leave(since);
                        waited.fetch_add(until - since, Ordering::Relaxed);
                    }
                });
            }
        });
        charged.fetch_add(waits.charge(monotonic_ns()), Ordering::Relaxed);
        let (waited, charged) = (waited.into_inner() as f64, charged.into_inner() as f64);
        assert_eq!(waits.word.load(Ordering::Relaxed) >> COUNT_SHIFT, 0);
        assert!((charged / waited - 1.0).abs() < 0.2, "charged {charged} of {waited}");
    }
}
