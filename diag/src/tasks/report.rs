//! The tasks, judged, as data: `diag.tasks/1`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::names;
use super::sites::Kind;
use super::snapshot::{Coverage, SiteReading, Snapshot};
use super::verdict::{Judged, TaskVerdict};

/// Sites in a report; the others are summed up in `more`.
const MOST_SITES: usize = 1000;

/// The schema's name.
const SCHEMA: &str = "diag.tasks/1";

/// See the module.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TasksReport {
    /// `diag.tasks/1`.
    pub schema: String,
    /// When it was taken, unix milliseconds.
    pub taken_unix_ms: u64,
    /// What share of tokio's tasks is tracked.
    pub coverage: Option<Coverage>,
    /// Of all sites.
    pub totals: Totals,
    /// The worst verdict first, then by live tasks.
    pub sites: Vec<SiteReport>,
    /// Sites that are not listed.
    #[serde(default)]
    pub more: usize,
    /// What found no room, by name.
    pub losses: BTreeMap<String, u64>,
}

/// Counts of all sites.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Totals {
    /// Alive now.
    pub live: u64,
    /// Since the process began.
    pub spawned: u64,
    /// Over.
    pub ended: u64,
}

/// Half are at most `p50`; the most is `max`. Seconds.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Spread {
    /// The middle.
    pub p50: f64,
    /// The most.
    pub max: f64,
}

/// A site. Times are seconds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SiteReport {
    /// `file:line:column` of the spawn.
    pub site: String,
    /// Source file.
    pub file: String,
    /// Line in it.
    pub line: u32,
    /// Column in it.
    pub column: u32,
    /// The async function, or the future's type.
    pub future: String,
    /// The name given.
    pub name: Option<String>,
    /// How its tasks are run.
    pub kind: Kind,
    /// Size of the future.
    pub future_bytes: usize,
    /// Alive now.
    pub live: usize,
    /// Since the process began.
    pub spawned: u64,
    /// Over; of them completed, cancelled, panicked.
    pub ended: u64,
    /// See `ended`.
    pub completed: u64,
    /// See `ended`.
    pub cancelled: u64,
    /// See `ended`.
    pub panicked: u64,
    /// Being polled now.
    pub running: usize,
    /// Woken, not yet polled.
    pub scheduled: usize,
    /// Waiting for a wake.
    pub idle: usize,
    /// Of live tasks, since the spawn.
    pub age_s: Spread,
    /// Of idle tasks, since the last poll.
    pub idle_s: Spread,
    /// Of all tasks.
    pub polls: u64,
    /// Time in polls.
    pub busy_s: f64,
    /// The longest poll.
    pub longest_poll_s: f64,
    /// More live tasks an hour, where their number grows by more than chance.
    pub growth_per_hour: Option<f64>,
    /// That growth goes on without bound; else it is not known yet whether it does.
    #[serde(default)]
    pub growth_certain: bool,
    /// See there.
    pub verdict: TaskVerdict,
    /// Why, in a sentence; empty for `ok`.
    pub reason: String,
}

/// The report of judged sites ([`judge`](super::judge)), in the order of the snapshot's.
pub fn report(now: &Snapshot, judged: &[Judged]) -> TasksReport {
    let mut totals = Totals { live: now.tasks.len() as u64, ..Totals::default() };
    for site in &now.sites {
        totals.spawned += site.spawned;
        totals.ended += site.ended();
    }
    let mut sites: Vec<SiteReport> =
        now.sites.iter().zip(judged).map(|(site, judged)| one(site, judged)).collect();
    sites.sort_by(|a, b| {
        (a.verdict.cmp(&b.verdict))
            .then(b.live.cmp(&a.live))
            .then(b.spawned.cmp(&a.spawned))
            .then(a.site.cmp(&b.site))
    });
    let more = sites.len().saturating_sub(MOST_SITES);
    sites.truncate(MOST_SITES);
    TasksReport {
        schema: SCHEMA.to_owned(),
        taken_unix_ms: now.taken_unix_ns / 1_000_000,
        coverage: now.coverage,
        totals,
        sites,
        more,
        losses: now.losses.clone(),
    }
}

fn one(site: &SiteReading, judged: &Judged) -> SiteReport {
    let s = |ns: u64| ns as f64 / 1e9;
    SiteReport {
        site: site.place(),
        file: site.file.to_owned(),
        line: site.line,
        column: site.column,
        future: names::future(site.future),
        name: site.name.clone(),
        kind: site.kind,
        future_bytes: site.future_bytes,
        live: judged.live,
        spawned: site.spawned,
        ended: site.ended(),
        completed: site.completed,
        cancelled: site.cancelled,
        panicked: site.panicked,
        running: judged.running,
        scheduled: judged.scheduled,
        idle: judged.idle,
        age_s: Spread { p50: s(judged.age_p50_ns), max: s(judged.age_max_ns) },
        idle_s: Spread { p50: s(judged.idle_p50_ns), max: s(judged.idle_max_ns) },
        polls: judged.polls,
        busy_s: s(judged.busy_ns),
        longest_poll_s: s(judged.longest_poll_ns),
        growth_per_hour: judged.growth.map(|g| g.per_hour),
        growth_certain: judged.growth.is_some_and(|g| g.certain),
        verdict: judged.verdict,
        reason: judged.reason.clone(),
    }
}
