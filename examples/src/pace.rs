//! An upper limit for the rate of requests.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

const TICK: Duration = Duration::from_millis(10);

/// Lets at most so many requests a second through. Time that was missed is not made up for, so that a slow machine
/// never faces a burst.
#[derive(Debug)]
pub struct Pace {
    ticks: Interval,
    each_tick: f64,
    due: f64,
}

impl Pace {
    /// For one worker. Needs a tokio runtime.
    pub fn new(requests_per_s: f64) -> Self {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, each_tick: requests_per_s.max(0.1) * TICK.as_secs_f64(), due: 0.0 }
    }

    /// Waits until the next request may go.
    pub async fn wait(&mut self) {
        while self.due < 1.0 {
            self.ticks.tick().await;
            self.due += self.each_tick;
        }
        self.due -= 1.0;
    }
}
