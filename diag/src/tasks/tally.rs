//! What the tasks of a site have come to, counted apart by each thread that spawns or ends them.
//!
//! A million tasks a second that end on many processors would otherwise wait for each other at eight counters. Here a counter is nearly
//! always in the cache of the processor that adds to it; whoever reads adds up [`PARTS`] of them.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::record::{Counters, End};

/// Parts of a tally: threads share one beyond that.
pub(super) const PARTS: usize = 16;

/// One part. Boxes begin where cache lines do, so that two parts share none.
#[derive(Default, Debug)]
#[repr(align(64))]
struct Part {
    spawned: AtomicU64,
    completed: AtomicU64,
    cancelled: AtomicU64,
    panicked: AtomicU64,
    polls: AtomicU64,
    busy: AtomicU64,
    longest_poll: AtomicU64,
    lifetimes: Histogram,
    gaps: Histogram,
}

/// The counters of a site: 384 bytes for each part in use.
#[derive(Debug)]
pub(super) struct Tally {
    first: Part,
    others: [OnceLock<Box<Part>>; PARTS - 1],
    /// Whether there may be others than the first.
    in_parts: bool,
}

impl Tally {
    pub(super) fn new(in_parts: bool) -> Self {
        Self { first: Part::default(), others: [const { OnceLock::new() }; PARTS - 1], in_parts }
    }

    /// May allocate.
    fn part(&self, part: u8) -> &Part {
        match self.others.get(usize::from(part).wrapping_sub(1)) {
            Some(other) if self.in_parts => other.get_or_init(Box::default),
            _ => &self.first,
        }
    }

    /// A task begins. May allocate.
    pub(super) fn spawned(&self, part: u8) {
        self.part(part).spawned.fetch_add(1, Ordering::Relaxed);
    }

    /// A task is dropped that lived so many ticks. May allocate.
    pub(super) fn ended(&self, part: u8, how: End, did: &Counters, lived: u64) {
        let part = self.part(part);
        let ended = match how {
            End::Completed => &part.completed,
            End::Cancelled => &part.cancelled,
            End::Panicked => &part.panicked,
        };
        part.polls.fetch_add(u64::from(did.polls), Ordering::Relaxed);
        part.busy.fetch_add(did.busy, Ordering::Relaxed);
        if did.longest_poll > part.longest_poll.load(Ordering::Relaxed) {
            part.longest_poll.fetch_max(did.longest_poll, Ordering::Relaxed);
        }
        part.lifetimes.add(lived);
        if did.polls > 1 {
            part.gaps.add(did.longest_gap);
        }
        ended.fetch_add(1, Ordering::Relaxed);
    }

    /// All parts together.
    pub(super) fn sum(&self) -> Sum {
        let mut sum = Sum::default();
        for part in self.parts() {
            let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            sum.spawned += of(&part.spawned);
            sum.completed += of(&part.completed);
            sum.cancelled += of(&part.cancelled);
            sum.panicked += of(&part.panicked);
            sum.polls += of(&part.polls);
            sum.busy = sum.busy.saturating_add(of(&part.busy));
            sum.longest_poll = sum.longest_poll.max(of(&part.longest_poll));
            sum.lifetimes.add(&part.lifetimes);
            sum.gaps.add(&part.gaps);
        }
        sum
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        std::iter::once(&self.first).chain(self.others.iter().filter_map(OnceLock::get).map(|part| &**part))
    }

    /// What the parts take that are not in the tally itself.
    pub(super) fn memory_bytes(&self) -> usize {
        (self.parts().count() - 1) * size_of::<Part>()
    }
}

/// Counters added up. Times are ticks.
#[derive(Default, Debug)]
pub(super) struct Sum {
    pub(super) spawned: u64,
    /// Of tasks that are over, as all below.
    pub(super) completed: u64,
    pub(super) cancelled: u64,
    pub(super) panicked: u64,
    pub(super) polls: u64,
    pub(super) busy: u64,
    pub(super) longest_poll: u64,
    pub(super) lifetimes: Counts,
    /// Of each its longest time between two polls.
    pub(super) gaps: Counts,
}

impl Sum {
    pub(super) fn over(&self) -> u64 {
        self.completed + self.cancelled + self.panicked
    }
}

const BUCKETS: usize = 40;
/// The bucket of the shortest ends here, as a power of two: about 0.3 us at 3 GHz.
const FIRST: u32 = 10;

/// Counts by the power of two of ticks, from 2^[`FIRST`] on.
#[derive(Debug)]
struct Histogram([AtomicU32; BUCKETS]);

impl Default for Histogram {
    fn default() -> Self {
        Self([const { AtomicU32::new(0) }; BUCKETS])
    }
}

impl Histogram {
    fn add(&self, ticks: u64) {
        let bucket = (64 - ticks.leading_zeros()).saturating_sub(FIRST) as usize;
        if let Some(count) = self.0.get(bucket.min(BUCKETS - 1)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A histogram as it was read.
#[derive(Debug)]
pub(super) struct Counts([u64; BUCKETS]);

impl Default for Counts {
    fn default() -> Self {
        Self([0; BUCKETS])
    }
}

impl Counts {
    fn add(&mut self, histogram: &Histogram) {
        for (sum, count) in self.0.iter_mut().zip(&histogram.0) {
            *sum += u64::from(count.load(Ordering::Relaxed));
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The upper bound, in ticks, of the bucket that holds this share of all; `None` when there is none.
    pub(super) fn quantile(&self, share: f64) -> Option<u64> {
        let all = self.count();
        let wanted = (all as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        let bucket = self.0.iter().position(|count| {
            seen += count;
            seen >= wanted
        })?;
        Some(1u64.checked_shl(bucket as u32 + FIRST).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::State;

    fn did(polls: u32, longest_gap: u64) -> Counters {
        Counters {
            state: State::Done,
            changed: 0,
            busy: 100,
            longest_poll: u64::from(polls) * 10,
            longest_gap,
            polls,
            thread: 1,
            wakers: None,
        }
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        for in_parts in [true, false] {
            let tally = Tally::new(in_parts);
            for part in 0..PARTS as u8 + 3 {
                tally.spawned(part);
                tally.spawned(part);
                let how = [End::Completed, End::Cancelled, End::Panicked][usize::from(part) % 3];
                tally.ended(part, how, &did(u32::from(part) + 1, 5_000), 1 << 20);
            }
            let sum = tally.sum();
            assert_eq!((sum.spawned, sum.over(), sum.busy), (38, 19, 1_900));
            assert_eq!((sum.completed, sum.cancelled, sum.panicked), (7, 6, 6));
            assert_eq!((sum.polls, sum.longest_poll), (19 * 20 / 2, 190));
            // A task of one poll has waited for none.
            assert_eq!((sum.lifetimes.count(), sum.gaps.count()), (19, 18));
            let expected = if in_parts { (PARTS - 1) * size_of::<Part>() } else { 0 };
            assert_eq!(tally.memory_bytes(), expected);
        }
    }

    #[test]
    fn quantiles_are_upper_bounds_by_powers_of_two() {
        let (histogram, mut spread) = (Histogram::default(), Counts::default());
        assert_eq!(spread.quantile(0.99), None);
        for ticks in [0, 1_000, 1_023, 5_000, u64::MAX] {
            histogram.add(ticks);
        }
        spread.add(&histogram);
        assert_eq!(spread.count(), 5);
        assert_eq!(spread.quantile(0.5), Some(1 << 10));
        assert_eq!(spread.quantile(0.8), Some(1 << 13));
        assert_eq!(spread.quantile(1.0), Some(1 << 49));
    }
}
