//! Growth over a window, as medians of its ends: one spike, or one purge, is not growth.

use std::collections::VecDeque;

/// Values kept a window.
const POINTS: u64 = 64;
const MINUTE_NS: f64 = 60e9;

/// The last values of something, evenly spaced.
#[derive(Debug)]
pub(super) struct Growth {
    over_ns: u64,
    points: VecDeque<(u64, u64)>,
}

impl Growth {
    pub(super) fn new(over_ns: u64) -> Self {
        Self { over_ns, points: VecDeque::new() }
    }

    /// Time between values.
    pub(super) fn spacing_ns(&self) -> u64 {
        (self.over_ns / POINTS).max(1)
    }

    /// Takes a value, and gives the growth a minute once the window is full.
    pub(super) fn step(&mut self, at_ns: u64, value: u64) -> Option<f64> {
        if self.points.back().is_none_or(|(last, _)| at_ns.saturating_sub(*last) >= self.spacing_ns()) {
            self.points.push_back((at_ns, value));
        }
        while self.points.get(1).is_some_and(|(second, _)| at_ns.saturating_sub(*second) >= self.over_ns) {
            self.points.pop_front();
        }
        let (first, _) = self.points.front()?;
        if at_ns.saturating_sub(*first) < self.over_ns || self.points.len() < 4 {
            return None;
        }
        let quarter = self.points.len() / 4;
        let (early_at, early) = middle(self.points.iter().take(quarter.max(1)))?;
        let (late_at, late) = middle(self.points.iter().rev().take(quarter.max(1)))?;
        (late_at > early_at).then(|| (late - early) / (late_at - early_at) * MINUTE_NS)
    }
}

/// Mean time and median value.
fn middle<'a>(points: impl Iterator<Item = &'a (u64, u64)> + Clone) -> Option<(f64, f64)> {
    let mut values: Vec<u64> = points.clone().map(|(_, value)| *value).collect();
    values.sort_unstable();
    let median = *values.get(values.len() / 2)?;
    let time = points.map(|(at, _)| *at as f64).sum::<f64>() / values.len() as f64;
    Some((time, median as f64))
}
