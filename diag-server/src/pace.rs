//! How fast the own listener works at most. A flood of cheap requests, each refused in microseconds, would still take a
//! processor from the host: so each of them takes its turn, and turns come at a fixed rate.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Turns, so many at once and then one each `interval` (the generic cell rate algorithm).
#[derive(Debug)]
pub(crate) struct Pace {
    interval: Duration,
    burst: u32,
    /// When the next turn would be if there were no bursts.
    next: Mutex<Instant>,
}

impl Pace {
    pub(crate) fn new(interval: Duration, burst: u32) -> Self {
        Self { interval, burst, next: Mutex::new(Instant::now()) }
    }

    /// Waits for a turn. The caller bounds how many wait.
    pub(crate) async fn turn(&self) {
        let now = Instant::now();
        let at = self.book(now);
        if at > now {
            sleep_until(at).await;
        }
    }

    fn book(&self, now: Instant) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let nominal = (*next).max(now);
        *next = nominal + self.interval;
        nominal.checked_sub(self.interval * self.burst).map_or(now, |at| at.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_burst_then_a_steady_rate() {
        let pace = Pace::new(Duration::from_millis(10), 3);
        let now = Instant::now();
        let waits = |now: Instant| (pace.book(now) - now).as_millis();
        // The clock of the pace may have begun a moment later than `now`, or before it.
        assert_eq!([0; 4].map(|_| waits(now) / 10), [0, 0, 0, 0]);
        assert!((9..=11).contains(&waits(now)) && (19..=21).contains(&waits(now)));
        let later = now + Duration::from_secs(1);
        assert_eq!([0; 4].map(|_| waits(later)), [0, 0, 0, 0], "what was not used comes back, up to a burst");
        assert!(waits(later) > 0);
    }
}
