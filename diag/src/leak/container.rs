//! One container that grows: it is a single sample, so counts say nothing. What tells is that its largest block goes on
//! doubling: a container that gains as much in each unit of time doubles once in each octave of time.
//!
//! How fast it grows, its doublings say: a container takes a new block when the old one is full (`Vec` and `VecDeque` double their capacity,
//! std's `RawVec::grow_amortized`; a `HashMap` its buckets, when 7/8 are taken). So at a doubling at time t its content has the size b of the
//! block before, and from the first doubling i to the last k the content grew by (b_k - b_i) / (t_k - t_i). The block itself is once to twice
//! that. Sizes are exact, times by the spacing of censuses (1/64 to 1/128 of the past). At least: content of b_k now, after at most the whole new
//! block at t_i.

use super::flow::Window;
use crate::profile::cohorts::Row;

/// Octaves of the process's age in each of which the largest block must have doubled.
const OCTAVES: u32 = 3;
const HOUR_NS: f64 = 3.6e12;

/// A largest block that doubled in each of the last octaves of the process's age.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Doubling {
    /// How many times in all.
    pub(super) times: u32,
    /// Its size before the first of the doublings that are judged, and now.
    pub(super) from_bytes: u64,
    pub(super) to_bytes: u64,
    /// From the first of them to now.
    pub(super) over_ns: i64,
    /// Growth of what it holds.
    pub(super) bytes_per_hour: f64,
    /// The same, at least.
    pub(super) bytes_per_hour_low: f64,
}

/// The stack whose largest block doubled most often, when it did so in each of the last octaves of the process's age; `None` else.
pub(super) fn doubling(rows: &[&Row], window: &Window, period: u64) -> Option<Doubling> {
    rows.iter().filter_map(|row| of_row(row, window, period)).max_by_key(|doubling| doubling.times)
}

fn of_row(row: &Row, window: &Window, period: u64) -> Option<Doubling> {
    let age = window.to_ns - window.process_start_ns;
    // Below the period it may have grown unseen and be sampled by chance.
    let sampled = |bytes: u64| bytes >= period;
    // Each doubling: the block before, and the block after with its time.
    let doublings: Vec<(u64, u64, i64)> = row
        .largest
        .windows(2)
        .filter_map(|pair| {
            let [before, after] = pair else { return None };
            sampled(before.bytes).then(|| (before.bytes, after.bytes, after.at_ns - window.process_start_ns))
        })
        .collect();
    let all = (0..OCTAVES).all(|octave| {
        let (from, to) = (age >> (octave + 1), age >> octave);
        doublings.iter().any(|(_, _, at)| from < *at && *at <= to)
    });
    let &(full, now, last_at) = doublings.last()?;
    if !all || row.largest_bytes().saturating_mul(2) <= now {
        return None;
    }
    let &(from_bytes, made, first_at) = doublings.iter().find(|(_, _, at)| *at > age >> OCTAVES)?;
    // Not the same doubling: they are in different octaves.
    let grown = full.saturating_sub(from_bytes) as f64 / (last_at - first_at).max(1) as f64;
    let grown_low = full.saturating_sub(made) as f64 / (age - first_at).max(1) as f64;
    Some(Doubling {
        times: row.largest.iter().filter(|l| sampled(l.bytes)).count().saturating_sub(1) as u32,
        from_bytes,
        to_bytes: now,
        over_ns: age - first_at,
        bytes_per_hour: grown * HOUR_NS,
        bytes_per_hour_low: grown_low.min(grown) * HOUR_NS,
    })
}
