//! Tasks that were made up.

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
    let tasks =
        births_s.iter().enumerate().flat_map(|(number, births)| births.iter().map(move |b| task(number, *b)));
    Snapshot {
        taken_unix_ns: now_ns,
        taken_ns: now_ns,
        sites: births_s.iter().map(site).collect(),
        tasks: tasks.collect(),
        ..Snapshot::default()
    }
}
