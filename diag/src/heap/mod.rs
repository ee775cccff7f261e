//! Heap profiles of the running process.
//!
//! jemalloc decides which allocations to sample; its hooks tell the collector, which walks the stack itself and keeps a
//! live table of its own. Snapshots are made from that table in memory: no file, no pause of the process. Where the
//! hooks are not to be had, jemalloc's own dump is parsed instead ([`Heap::stats`] says which).
//!
//! The collector is for Linux. On other systems programs compile and run the same, and [`Diag::heap`](crate::Diag::heap) gives an
//! error that says so.

#[cfg(target_os = "linux")]
mod calibrate;
#[cfg(target_os = "linux")]
mod census;
#[cfg(target_os = "linux")]
mod collector;
#[cfg(target_os = "linux")]
mod dump;
#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod handle;
#[cfg(target_os = "linux")]
mod live;
#[cfg(target_os = "linux")]
mod snapshot;
#[cfg(target_os = "linux")]
mod start;
#[cfg(target_os = "linux")]
mod threads;

#[cfg(all(test, feature = "triggers", target_os = "linux"))]
mod bound_tests;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;

use std::collections::BTreeMap;

use crate::config::Problem;
use crate::profile::ProfileError;
#[cfg(target_os = "linux")]
#[doc(hidden)]
pub use crate::sys::hooks::Hooked;
#[cfg(not(target_os = "linux"))]
pub use elsewhere::Heap;
#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere::start;
#[cfg(target_os = "linux")]
pub use handle::Heap;
#[cfg(target_os = "linux")]
pub(crate) use start::start;

/// The collector's number of a stack, as a label.
pub(crate) const STACK_LABEL: &str = "diag_stack";

/// A running collector, and what is not as asked.
pub(crate) struct Started {
    pub(crate) heap: Heap,
    pub(crate) problems: Vec<Problem>,
}

/// A sampled object that is alive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LiveSample {
    pub(crate) stack: u32,
    pub(crate) born_ns: i64,
    pub(crate) objects: f64,
    pub(crate) bytes: f64,
}

/// How a snapshot is taken.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SnapshotOptions {
    /// One sample a live sampled object, labelled `age` (bucket), `born_at` (unix nanoseconds), `thread`,
    /// `realloc_chain` when it grew out of others, and with a `SpanLayer` at work `span`, `route` and the chosen fields.
    /// Without ages rows carry none of them, to stay few.
    pub ages: bool,
}

impl SnapshotOptions {
    /// The same with [`ages`](Self::ages).
    #[must_use]
    pub fn with_ages(mut self, ages: bool) -> Self {
        self.ages = ages;
        self
    }
}

/// Why heap profiles cannot be had.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum HeapError {
    /// The collector does not run.
    #[error("heap profiling is not available: {why}; {next}")]
    Unavailable {
        /// The cause.
        why: String,
        /// What to do.
        next: String,
    },
    /// A profile could not be made.
    #[error("the heap profile could not be made: {why}")]
    Failed {
        /// The cause.
        why: String,
    },
}

impl From<ProfileError> for HeapError {
    fn from(error: ProfileError) -> Self {
        Self::Failed { why: error.to_string() }
    }
}

/// The collector's own memory by what it holds, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
#[non_exhaustive]
pub struct HeapMemory {
    /// The table of live sampled objects.
    pub live_table_bytes: u64,
    /// Distinct stacks and their totals.
    pub stacks_bytes: u64,
    /// Unwind rules, tables and what each thread's last walk left.
    pub unwinder_bytes: u64,
    /// Cohorts of births and deaths by stack, for the leak verdict.
    pub leak_history_bytes: u64,
    /// The waterline of the last hour.
    pub memory_history_bytes: u64,
}

impl HeapMemory {
    /// All parts together.
    pub fn total_bytes(&self) -> u64 {
        self.live_table_bytes
            + self.stacks_bytes
            + self.unwinder_bytes
            + self.leak_history_bytes
            + self.memory_history_bytes
    }
}

/// State of the collector, for `status` and `/metrics`.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct HeapStats {
    /// `hooks`, or `prof_dump` where jemalloc's sample hooks are not to be had.
    pub source: String,
    /// Whether new allocations are sampled now.
    pub active: bool,
    /// Mean bytes between samples.
    pub sample_period_bytes: u64,
    /// Samples taken since the start.
    pub samples_total: u64,
    /// Sampled objects alive now.
    pub live_samples: u64,
    /// Distinct stacks.
    pub stacks: u64,
    /// Memory of the collector itself: bytes in use. The sum of `memory_parts`.
    pub memory_bytes: u64,
    /// What that memory holds.
    pub memory_parts: HeapMemory,
    /// About where that memory is capped; samples beyond are dropped and counted in `losses`.
    pub memory_limit_bytes: u64,
    /// Of the allocator.
    pub jemalloc_version: String,
    /// What was lost, by name.
    pub losses: BTreeMap<String, u64>,
}
