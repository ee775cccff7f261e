//! Async tasks: which are alive, what spawned them, what they do, and which never end.
//!
//! `diag::spawn` and its kin ([`spawn`](fn@crate::spawn), [`JoinSet`], [`LocalSet`], [`spawn_blocking`]; feature `tokio`) take the place of tokio's, on stable tokio; [`track`] does for any other
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
mod short;
mod sites;
mod slow;
mod snapshot;
mod tally;
#[cfg(test)]
pub(crate) mod testing;
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
#[cfg(feature = "triggers")]
pub(crate) use slow::{take as take_slow, watch as watch_slow};
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

/// The trace with names for the polls in it: the name given or the async function, and where it was spawned.
#[cfg(all(feature = "recorder", any(feature = "symbols", feature = "triggers")))]
pub(crate) fn name_polls(trace: crate::recorder::Trace) -> crate::recorder::Trace {
    let name =
        |site: &sites::Site| site.name.as_deref().map_or_else(|| names::future(site.future), str::to_owned);
    let sites = sites::all().into_iter();
    trace.with_task_sites(sites.map(|s| (name(s), format!("{}:{}", s.at.file(), s.at.line()))).collect())
}

/// Tasks spawned since the process began, and those of them that are over.
pub fn totals() -> (u64, u64) {
    sites::totals()
}

/// What the records of live tasks and the sites take, in bytes.
pub fn memory_bytes() -> u64 {
    live::memory_bytes() + sites::memory_bytes()
}
