//! [`TaskCheck`]: a test fails when tasks outlive it.

use std::collections::HashSet;
use std::fmt;
use std::time::{Duration, Instant};

use super::snapshot::{Snapshot, snapshot};
use super::{names, runtimes};
use crate::profile::units;

/// How long tasks may take to end, where nothing else is said.
const GRACE: Duration = Duration::from_secs(1);

/// Tasks that are spawned after this was made have to be over when it is asked: only those of the runtime it was made in, so that
/// tests that run beside are left out.
///
/// ```
/// #[tokio::main(flavor = "current_thread")]
/// async fn main() -> Result<(), diag::tasks::TasksLeft> {
///     let check = diag::tasks::TaskCheck::begin();
///     diag::spawn(async { /* what is tested */ }).await.ok();
///     check.finish().await // Err names the places of those that are left
/// }
/// ```
#[derive(Debug)]
#[must_use = "the check is made by finish()"]
pub struct TaskCheck {
    /// The numbers of those that were there before.
    before: HashSet<u64>,
    runtime: u16,
    grace: Duration,
}

/// Tasks that are left, by place.
#[derive(Clone, PartialEq, Eq)]
pub struct TasksLeft {
    /// Count and description of each place, most first.
    places: Vec<(usize, String)>,
    waited: Duration,
}

impl TaskCheck {
    /// From here on. Inside of a runtime, its tasks; outside, those of all.
    pub fn begin() -> Self {
        let before = snapshot().tasks.iter().map(|task| task.id).collect();
        Self { before, runtime: runtimes::current(), grace: GRACE }
    }

    /// How long tasks may take to end after the test; default a second.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Waits until the tasks are over.
    ///
    /// # Errors
    /// The places of those that are not after the time of grace.
    pub async fn finish(self) -> Result<(), TasksLeft> {
        let began = Instant::now();
        loop {
            let left = self.left();
            if left.is_empty() {
                return Ok(());
            }
            if began.elapsed() >= self.grace {
                return Err(TasksLeft { places: left, waited: self.grace });
            }
            // On a runtime of one thread the tasks need it.
            ::tokio::task::yield_now().await;
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// The same outside of async code; blocks the thread.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub fn finish_blocking(self) -> Result<(), TasksLeft> {
        let began = Instant::now();
        loop {
            let left = self.left();
            if left.is_empty() {
                return Ok(());
            }
            if began.elapsed() >= self.grace {
                return Err(TasksLeft { places: left, waited: self.grace });
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn left(&self) -> Vec<(usize, String)> {
        let of_runtime = |runtime| self.runtime == 0 || runtime == self.runtime;
        places(&snapshot(), |task| !self.before.contains(&task.id) && of_runtime(task.runtime))
    }
}

fn places(
    snapshot: &Snapshot,
    chosen: impl Fn(&super::snapshot::TaskReading) -> bool,
) -> Vec<(usize, String)> {
    let mut by_site = vec![(0usize, 0u64); snapshot.sites.len()];
    for task in snapshot.tasks.iter().filter(|task| chosen(task)) {
        if let Some((count, longest_ns)) = by_site.get_mut(task.site) {
            *count += 1;
            *longest_ns = (*longest_ns).max(task.since_ns);
        }
    }
    let describe = |(site, (count, longest_ns)): (&super::snapshot::SiteReading, (usize, u64))| {
        let name = site.name.as_deref().map(|n| format!(" \"{n}\"")).unwrap_or_default();
        let since = units::nanoseconds(longest_ns as i64);
        let words =
            format!("{}{name}, spawned at {}, unmoved for {since}", names::future(site.future), site.place());
        (count, words)
    };
    let mut places: Vec<_> =
        snapshot.sites.iter().zip(by_site).filter(|(_, (count, _))| *count > 0).map(describe).collect();
    places.sort_by(|a, b| b.cmp(a));
    places
}

impl fmt::Display for TasksLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count: usize = self.places.iter().map(|(count, _)| count).sum();
        write!(f, "{count} tasks outlive the test by {:?} or more:", self.waited)?;
        for (count, place) in &self.places {
            write!(f, "\n  {count} x {place}")?;
        }
        Ok(())
    }
}

/// As it is displayed, so that `unwrap` tells it.
impl fmt::Debug for TasksLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for TasksLeft {}
