//! Async tasks: which are alive, what spawned them, what they do, and which never end.
//!
//! `diag::spawn` and its kin ([`spawn`](fn@crate::spawn), [`JoinSet`](crate::JoinSet), [`LocalSet`](crate::LocalSet),
//! [`spawn_blocking`](crate::spawn_blocking); feature `tokio`) take the place of tokio's, on stable tokio; [`track`] does for any other
//! executor. Where the program is built with `--cfg tokio_unstable`, `hook` covers everything that a runtime spawns.
//!
//! A poll costs two readings of the clock and some stores to memory that only its own thread writes; a live task 112 bytes of record
//! and 8 of registry, and 24 bytes more in its future; nothing is kept of one that is over but the counts of its site. Figures:
//! `benches/tasks.rs`. Sites are capped (4,096); what finds no room is counted with one that says so.
//!
//! Not seen: tasks that others spawn; [`Snapshot::coverage`] says what share that is. Where a task waits inside of its future is not
//! known either, only since when, and whether anything could wake it.

#[cfg(feature = "tokio")]
mod check;
#[cfg(all(feature = "tokio", tokio_unstable))]
mod hooks;
mod live;
mod names;
mod profile;
mod record;
mod report;
#[cfg(feature = "tokio")]
mod runtimes;
pub mod sampled;
mod sites;
mod snapshot;
#[cfg(test)]
mod tests;
pub mod text;
#[cfg(feature = "tokio")]
mod tokio;
mod tracked;
mod verdict;

#[cfg(feature = "tokio")]
pub use check::{TaskCheck, TasksLeft};
#[cfg(all(feature = "tokio", tokio_unstable))]
pub use hooks::hook;
pub use record::State;
pub use report::{SiteReport, Spread, TasksReport, Totals, report};
pub use sites::Kind;
pub use snapshot::{Coverage, SiteReading, Snapshot, TaskReading, snapshot};
#[cfg(feature = "tokio")]
pub use tokio::{JoinSet, LocalSet, Named, SpawnTracked, named, spawn, spawn_blocking, spawn_local};
pub use tracked::{Tracked, track, track_named};
pub use verdict::{
    BLOCKING_NS, ENOUGH_ENDED, FACTOR, FLOOR_NS, Growth, Judged, Leaked, STARVED_NS, TaskVerdict, judge,
    leaked,
};

/// Tracked tasks that are alive. Takes each shard's lock once.
pub fn live_count() -> u64 {
    live::count() as u64
}

/// Whether any task was ever tracked.
#[cfg(feature = "heap")]
pub(crate) fn any() -> bool {
    live::any()
}

/// What the records of live tasks and the sites take, in bytes.
pub fn memory_bytes() -> u64 {
    live::memory_bytes() + sites::memory_bytes()
}

#[cfg(test)]
pub(crate) mod testing {
    use super::{Kind, SiteReading, Snapshot, State, TaskReading};

    /// Idle tasks by site, of the births given, in seconds.
    pub(crate) fn snapshot(now_ns: u64, births_s: &[Vec<u64>]) -> Snapshot {
        let site = |births: &Vec<u64>| SiteReading {
            file: "src/app.rs",
            line: 1,
            column: 1,
            future: "app::run",
            future_bytes: 64,
            kind: Kind::Task,
            name: None,
            // What ended is not known here; the judge needs the births of the living only.
            spawned: births.len() as u64,
            completed: 0,
            cancelled: 0,
            panicked: 0,
            ended_polls: 0,
            ended_busy_ns: 0,
            ended_longest_poll_ns: 0,
            lifetime_p99_ns: None,
            gap_p99_ns: None,
            gaps: 0,
        };
        let task = |site: usize, born_s: u64| {
            let age_ns = now_ns.saturating_sub(born_s * 1_000_000_000);
            TaskReading {
                id: 0,
                site,
                state: State::Idle,
                age_ns,
                since_ns: age_ns,
                polls: 1,
                busy_ns: 0,
                longest_poll_ns: 0,
                longest_gap_ns: 0,
                wakers: Some(1),
                thread: 1,
                runtime: 1,
            }
        };
        let tasks = births_s
            .iter()
            .enumerate()
            .flat_map(|(number, births)| births.iter().map(move |b| task(number, *b)));
        Snapshot {
            taken_unix_ns: now_ns,
            taken_ns: now_ns,
            sites: births_s.iter().map(site).collect(),
            tasks: tasks.collect(),
            ..Snapshot::default()
        }
    }
}
