//! The tasks as text, in the manner of Go's goroutine profile: grouped (`debug=1`), or each with its state and how long it
//! has been in it (`debug=2`).

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::names;
use super::record::State;
use super::snapshot::{SiteReading, Snapshot, TaskReading};
use super::verdict::Leaked;
use crate::printable::printable;
use crate::profile::units;

/// Tasks listed one by one; for reading.
const MOST_TASKS: usize = 10_000;

/// Grouped by place and state, most first.
pub fn grouped(snapshot: &Snapshot, chosen: impl Fn(&TaskReading) -> bool) -> String {
    let mut groups: BTreeMap<(usize, State), Group> = BTreeMap::new();
    let mut total = 0;
    for task in snapshot.tasks.iter().filter(|task| chosen(task)) {
        let group = groups.entry((task.site, task.state)).or_default();
        group.count += 1;
        group.oldest_ns = group.oldest_ns.max(task.age_ns);
        group.longest_ns = group.longest_ns.max(task.since_ns);
        total += 1;
    }
    let mut rows: Vec<_> = groups.into_iter().collect();
    rows.sort_by_key(|(key, group)| (Reverse(group.count), *key));
    let mut out = format!("tasks profile: total {total}\n");
    for ((site, state), group) in rows {
        let Some(site) = snapshot.sites.get(site) else { continue };
        // Writing to a String does not fail.
        let _ = writeln!(
            out,
            "{} @ {} (longest {}, oldest task {})",
            group.count,
            state.word(),
            ns(group.longest_ns),
            ns(group.oldest_ns)
        );
        place(&mut out, site);
        out.push('\n');
    }
    foot(&mut out, snapshot);
    out
}

#[derive(Default)]
struct Group {
    count: u64,
    longest_ns: u64,
    oldest_ns: u64,
}

/// Each task, the oldest first.
pub fn listed(snapshot: &Snapshot, chosen: impl Fn(&TaskReading) -> bool) -> String {
    let mut tasks: Vec<&TaskReading> = snapshot.tasks.iter().filter(|task| chosen(task)).collect();
    tasks.sort_by_key(|task| (Reverse(task.age_ns), task.id));
    let mut out = String::new();
    for task in tasks.iter().take(MOST_TASKS) {
        let Some(site) = snapshot.sites.get(task.site) else { continue };
        one(&mut out, task, site, None);
    }
    more(&mut out, tasks.len());
    foot(&mut out, snapshot);
    out
}

/// The tasks that leak or seem to, with the reason.
pub fn leaked(snapshot: &Snapshot, leaked: &[Leaked]) -> String {
    let certain = leaked.iter().filter(|l| l.certain).count();
    let mut out = format!(
        "tasks: {} live, {certain} can never wake again, {} are probably stuck\n\n",
        snapshot.tasks.len(),
        leaked.len() - certain
    );
    for entry in leaked.iter().take(MOST_TASKS) {
        let Some(task) = snapshot.tasks.get(entry.task) else { continue };
        let Some(site) = snapshot.sites.get(task.site) else { continue };
        one(&mut out, task, site, Some(&entry.reason));
    }
    more(&mut out, leaked.len());
    foot(&mut out, snapshot);
    out
}

fn one(out: &mut String, task: &TaskReading, site: &SiteReading, reason: Option<&str>) {
    let wakers = match task.wakers {
        Some(1) => ", 1 waker".to_owned(),
        Some(wakers) => format!(", {wakers} wakers"),
        None => String::new(),
    };
    let name = site.name.as_deref().map(|name| format!(" \"{}\"", printable(name))).unwrap_or_default();
    let _ = writeln!(out, "task {}{name} [{}, {}{wakers}]:", task.id, task.state.word(), ns(task.since_ns));
    if let Some(reason) = reason {
        let _ = writeln!(out, "# {reason}");
    }
    place(out, site);
    let thread = if task.thread == 0 { String::new() } else { format!(", last on thread {}", task.thread) };
    let _ = writeln!(
        out,
        "#\tspawned {} ago, {} polls, {} in them, the longest {}{thread}\n",
        ns(task.age_ns),
        task.polls,
        ns(task.busy_ns),
        ns(task.longest_poll_ns)
    );
}

fn place(out: &mut String, site: &SiteReading) {
    let _ = writeln!(
        out,
        "#\t{}\t{}\t({}, {} bytes)",
        printable(&names::future(site.future)),
        printable(&site.place()),
        site.kind.word(),
        site.future_bytes
    );
}

fn more(out: &mut String, all: usize) {
    if let more @ 1.. = all.saturating_sub(MOST_TASKS) {
        let _ = writeln!(out, "# and {more} more; min_age= and state= choose, debug=1 groups");
    }
}

fn foot(out: &mut String, snapshot: &Snapshot) {
    let _ = writeln!(out, "# {}", snapshot.seen());
    for (what, lost) in &snapshot.losses {
        let _ = writeln!(out, "# lost: {what} {lost}");
    }
}

fn ns(ns: u64) -> String {
    units::nanoseconds(i64::try_from(ns).unwrap_or(i64::MAX))
}
