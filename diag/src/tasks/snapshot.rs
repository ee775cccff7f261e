//! The tasks at one moment, in nanoseconds.

use std::collections::BTreeMap;

use super::record::{Record, State};
use super::sites::{Kind, OTHER, Site};
use super::tally::Counts;
use super::{live, sites};
use crate::sys::clock;
use crate::sys::thread::Unprofiled;
use crate::sys::ticks::Scale;

/// All sites and the live tasks. Times are nanoseconds before [`taken_unix_ns`](Self::taken_unix_ns).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Snapshot {
    /// When it was taken, on the wall clock.
    pub taken_unix_ns: u64,
    /// The same on the monotonic clock, by which births are counted.
    pub taken_ns: u64,
    /// By [`TaskReading::site`].
    pub sites: Vec<SiteReading>,
    /// In no order.
    pub tasks: Vec<TaskReading>,
    /// What share of tokio's tasks is tracked; `None` where no runtime is known.
    pub coverage: Option<Coverage>,
    /// What found no room, by name.
    pub losses: BTreeMap<String, u64>,
}

/// How many of the runtimes' tasks are tracked. Those that `tokio::spawn` starts are not, unless the hooks of
/// `tokio_unstable` are set.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Coverage {
    /// Runtimes looked at: those in which something was spawned by diag, at most four.
    pub runtimes: usize,
    /// Tracked live tasks in them.
    pub seen: usize,
    /// All live tasks in them, by tokio.
    pub alive: usize,
    /// `seen` of `alive`, at most 1.
    pub share: f64,
}

/// A site: a place in the code that spawns, with the future's type.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct SiteReading {
    /// Source file of the spawn.
    pub file: &'static str,
    /// Line in it.
    pub line: u32,
    /// Column in it.
    pub column: u32,
    /// Type of the future, as the compiler names it.
    pub future: &'static str,
    /// Its size.
    pub future_bytes: usize,
    /// How its tasks are run.
    pub kind: Kind,
    /// The name given, if any.
    pub name: Option<String>,
    /// Since the process began.
    pub spawned: u64,
    /// Ended by returning.
    pub completed: u64,
    /// Dropped before that: aborted, or with their runtime.
    pub cancelled: u64,
    /// Ended by a panic.
    pub panicked: u64,
    /// Of tasks that are over.
    pub ended_polls: u64,
    /// Time in polls, of tasks that are over.
    pub ended_busy_ns: u64,
    /// The longest poll of a task that is over.
    pub ended_longest_poll_ns: u64,
    /// 99 % of the tasks that are over lived no longer, to a power of two; `None` before any ended.
    pub lifetime_p99_ns: Option<u64>,
    /// In 99 % of the tasks that are over no wait between two polls was longer, to a power of two.
    pub gap_p99_ns: Option<u64>,
    /// How many tasks that figure is made of.
    pub gaps: u64,
}

/// A live task.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct TaskReading {
    /// No other task of the process has it.
    pub id: u64,
    /// Position in [`Snapshot::sites`].
    pub site: usize,
    /// What it does.
    pub state: State,
    /// Since it was spawned.
    pub age_ns: u64,
    /// Since its last poll began or ended; since it was spawned, where it was never polled.
    pub since_ns: u64,
    /// Polls so far.
    pub polls: u32,
    /// Time in them.
    pub busy_ns: u64,
    /// The longest; with the present one, where it is being polled.
    pub longest_poll_ns: u64,
    /// The longest time between two polls.
    pub longest_gap_ns: u64,
    /// Wakers of it that something holds; `None` where they are not counted: not polled yet, blocking, not tokio's.
    pub wakers: Option<u32>,
    /// The thread of its last poll, by the kernel's number; 0 before the first.
    pub thread: u32,
    /// The tokio runtime, by order of appearance; 0 where it is not known.
    pub runtime: u16,
}

impl SiteReading {
    fn of(site: &Site, scale: &Scale) -> Self {
        let sum = site.tally.sum();
        let quantile = |of: &Counts| of.quantile(0.99).map(|ticks| scale.ns(ticks));
        Self {
            file: if site.overflow { OTHER } else { site.at.file() },
            line: if site.overflow { 0 } else { site.at.line() },
            column: if site.overflow { 0 } else { site.at.column() },
            future: if site.overflow { OTHER } else { site.future },
            future_bytes: site.future_bytes,
            kind: site.kind,
            name: site.name.as_deref().map(str::to_owned),
            spawned: sum.spawned,
            completed: sum.completed,
            cancelled: sum.cancelled,
            panicked: sum.panicked,
            ended_polls: sum.polls,
            ended_busy_ns: scale.ns(sum.busy),
            ended_longest_poll_ns: scale.ns(sum.longest_poll),
            lifetime_p99_ns: quantile(&sum.lifetimes),
            gap_p99_ns: quantile(&sum.gaps),
            gaps: sum.gaps.count(),
        }
    }

    /// `file:line:column`.
    pub fn place(&self) -> String {
        format!("{}:{}:{}", self.file, self.line, self.column)
    }

    /// Tasks that are over.
    pub fn ended(&self) -> u64 {
        self.completed + self.cancelled + self.panicked
    }
}

impl TaskReading {
    fn of(record: &std::sync::Arc<Record>, scale: &Scale) -> Self {
        let counters = record.counters();
        let since_ns = scale.ago_ns(counters.changed);
        let running = counters.state == State::Running;
        let this_poll_ns = if running { since_ns } else { 0 };
        Self {
            id: record.id,
            site: record.site.number as usize,
            state: counters.state,
            age_ns: scale.ago_ns(record.born),
            since_ns,
            polls: counters.polls,
            busy_ns: scale.ns(counters.busy).saturating_add(this_poll_ns),
            longest_poll_ns: scale.ns(counters.longest_poll).max(this_poll_ns),
            longest_gap_ns: scale.ns(counters.longest_gap),
            wakers: counters.wakers,
            thread: counters.thread,
            runtime: record.runtime,
        }
    }
}

/// Reads the tasks as they are: some 100 us for each 1,000 live ones.
pub fn snapshot() -> Snapshot {
    let _unprofiled = Unprofiled::begin();
    let scale = Scale::now();
    let mut tasks = Vec::with_capacity(live::count() + 64);
    live::each(|record| tasks.push(TaskReading::of(record, &scale)));
    // After the tasks, so that each finds its site.
    let sites: Vec<_> = sites::all().into_iter().map(|site| SiteReading::of(site, &scale)).collect();
    #[cfg(feature = "tokio")]
    let coverage = super::runtimes::coverage(&tasks, &sites);
    #[cfg(not(feature = "tokio"))]
    let coverage = None;
    let names = ["task_sites_without_room", "task_names_without_room"];
    let losses = names.into_iter().zip(sites::without_room()).filter(|(_, lost)| *lost > 0);
    Snapshot {
        taken_unix_ns: clock::unix_ns(),
        taken_ns: scale.monotonic_ns(scale.made_at()),
        sites,
        tasks,
        coverage,
        losses: losses.map(|(name, lost)| (name.to_owned(), lost)).collect(),
    }
}
