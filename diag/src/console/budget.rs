//! How many things console-subscriber keeps at a time: it frees them a while after they have ended, so they count that long.
//!
//! Memory: 16 bytes for each place, set aside at the start. A lock is held for each beginning and each end.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

pub(super) struct Budget {
    most: usize,
    keeps: Duration,
    kept: Mutex<Kept>,
    /// What found no place.
    pub(super) refused: AtomicU64,
}

struct Kept {
    living: usize,
    /// When the others ended, oldest first.
    ended: VecDeque<Instant>,
}

impl Budget {
    /// `most` places, each taken until so long after the end.
    pub(super) fn new(most: usize, keeps: Duration) -> Self {
        let kept = Kept { living: 0, ended: VecDeque::with_capacity(most) };
        Self { most, keeps, kept: Mutex::new(kept), refused: AtomicU64::new(0) }
    }

    /// Takes a place; false where there is none.
    pub(super) fn begin(&self, now: Instant) -> bool {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        while kept.ended.front().is_some_and(|at| now.saturating_duration_since(*at) > self.keeps) {
            kept.ended.pop_front();
        }
        let has_room = kept.living + kept.ended.len() < self.most;
        if has_room {
            kept.living += 1;
        } else {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        has_room
    }

    /// One that had a place has ended.
    pub(super) fn end(&self, now: Instant) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.living = kept.living.saturating_sub(1);
        kept.ended.push_back(now);
    }

    /// Places that are taken, as of the last beginning.
    pub(super) fn kept(&self) -> u64 {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        (kept.living + kept.ended.len()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_until_a_while_after_the_end() {
        let budget = Budget::new(2, Duration::from_secs(60));
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        assert!(budget.begin(at(0)) && budget.begin(at(0)));
        assert!(!budget.begin(at(1)));
        budget.end(at(10));
        assert!(!budget.begin(at(60)), "console-subscriber still has it");
        assert!(budget.begin(at(71)));
        assert!(!budget.begin(at(71)));
        assert_eq!((budget.kept(), budget.refused.load(Ordering::Relaxed)), (2, 3));
    }

    #[test]
    fn its_memory_is_that_of_its_places() {
        let budget = Budget::new(100, Duration::from_secs(60));
        let before = budget.kept.lock().unwrap().ended.capacity();
        let now = Instant::now();
        for _ in 0..10_000 {
            if budget.begin(now) {
                budget.end(now);
            }
        }
        assert_eq!(budget.kept.lock().unwrap().ended.capacity(), before);
        assert_eq!(budget.refused.load(Ordering::Relaxed), 9_900);
    }
}
