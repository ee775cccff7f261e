//! One container that grows: it is a single sample, so counts say nothing. What tells is that its largest block goes on
//! doubling: a container that gains as much in each unit of time doubles once in each octave of time.

use super::flow::Window;
use crate::profile::cohorts::Row;

/// Octaves of the process's age in each of which the largest block must have doubled.
const OCTAVES: u32 = 3;

/// How many times the largest block doubled, when it did so in each of the last octaves of the process's age; `None` else.
pub(super) fn doublings(rows: &[&Row], window: &Window, period: u64) -> Option<u32> {
    let age = window.to_ns - window.process_start_ns;
    rows.iter()
        .filter_map(|row| {
            let largest = row.largest.last()?;
            // Below the period it may have grown unseen and be sampled by chance.
            let sampled = |bytes: u64| bytes >= period;
            let doubled_in = |octave: u32| {
                let (from, to) = (age >> (octave + 1), age >> octave);
                row.largest.windows(2).any(|pair| {
                    let [before, after] = pair else { return false };
                    let at = after.at_ns - window.process_start_ns;
                    sampled(before.bytes) && from < at && at <= to
                })
            };
            let all = (0..OCTAVES).all(doubled_in);
            let count = row.largest.iter().filter(|l| sampled(l.bytes)).count() as u32;
            (all && row.largest_bytes() * 2 > largest.bytes).then_some(count.saturating_sub(1))
        })
        .max()
}
