//! Durations in half the room, for the longest of something.

use std::sync::atomic::{AtomicU32, Ordering};

/// Bits of a number that are kept; the six above say how far it was shifted.
const BITS: u32 = 26;

/// The longest of many durations in ticks, rounded down by less than 2^-25 of it.
#[derive(Default, Debug)]
pub(super) struct Longest(AtomicU32);

impl Longest {
    /// Only its one writer may call this.
    #[inline]
    pub(super) fn raise(&self, ticks: u64) {
        let short = shorten(ticks);
        if short > self.0.load(Ordering::Relaxed) {
            self.0.store(short, Ordering::Relaxed);
        }
    }

    pub(super) fn ticks(&self) -> u64 {
        lengthen(self.0.load(Ordering::Relaxed))
    }
}

/// Of two numbers the greater is never the smaller when both are shortened.
#[inline]
const fn shorten(ticks: u64) -> u32 {
    let shift = (u64::BITS - ticks.leading_zeros()).saturating_sub(BITS);
    shift << BITS | (ticks >> shift) as u32
}

const fn lengthen(short: u32) -> u64 {
    ((short & ((1 << BITS) - 1)) as u64) << (short >> BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shortened_keeps_its_order_and_nearly_its_value() {
        let edges = (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit, (1 << bit) + 1, 3 << bit >> 1]);
        let mut all: Vec<u64> = edges.chain([u64::MAX]).collect();
        all.sort_unstable();
        for pair in all.windows(2) {
            assert!(shorten(pair[0]) <= shorten(pair[1]), "{pair:?}");
        }
        for ticks in all {
            let back = lengthen(shorten(ticks));
            assert!(back <= ticks && ticks - back <= ticks >> 25, "{ticks}: {back}");
        }
        assert_eq!(lengthen(shorten(48_000_000)), 48_000_000);
    }

    #[test]
    fn the_longest_stays() {
        let longest = Longest::default();
        assert_eq!(longest.ticks(), 0);
        for ticks in [5, 1 << 40, 7, (1 << 40) - 1] {
            longest.raise(ticks);
        }
        assert_eq!(longest.ticks(), 1 << 40);
    }
}
