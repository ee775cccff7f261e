//! From bytes to [`data`](super::data). Pure, and forgiving: what is missing in an answer is missing on the screen.

use std::collections::HashMap;
use std::sync::Arc;

use diag::leak::Report;
use diag::profile::frames::{FrameClasses, ShownFrame, show};
use diag::profile::table::{TopOptions, top};
use diag::profile::{Grouping, Profile, StackId};
use serde_json::Value;

use super::clean::clean;
use super::data::{CpuLook, HeapLook, Identity, Reading, Site, TaskSite, TasksLook, VerdictLook};
use crate::captures::Process;
use crate::remote::Status;
use crate::view::frame_place;

/// An answer that was understood.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// Who answers.
    Status(Identity, Option<Process>),
    /// Later readings.
    History(Vec<Reading>),
    /// The tasks.
    Tasks(TasksLook),
    /// A heap profile.
    Heap(HeapLook),
    /// A verdict.
    Verdict(VerdictLook),
    /// A CPU profile.
    Cpu(CpuLook),
}

/// `diag.status/1`.
pub(super) fn status(status: &Status) -> Answer {
    let identity = Identity {
        service: status.service_name().map(clean).unwrap_or_default(),
        uptime_s: status.0.get("uptime_s").and_then(Value::as_f64).unwrap_or_default(),
        problems: status.0.get("problems").and_then(Value::as_array).map_or(0, Vec::len),
    };
    Answer::Status(identity, status.process())
}

/// `diag.history/1`: columns of equal length, a number or null each.
///
/// # Errors
/// What it is not.
pub(super) fn history(bytes: &[u8]) -> Result<Answer, String> {
    let document = document(bytes, "diag.history/1")?;
    let taken = document.get("taken_unix_ms").and_then(Value::as_array);
    let taken = taken.ok_or_else(|| "the waterline has no times".to_owned())?;
    let cell = |column: &str, row: usize| document.get("columns")?.get(column)?.get(row)?.as_u64();
    let reading = |(row, at): (usize, &Value)| {
        Some(Reading {
            at_unix_ms: at.as_i64()?,
            allocated_bytes: cell("allocated_bytes", row),
            rss_bytes: cell("rss_bytes", row),
            limit_bytes: cell("cgroup_limit_bytes", row),
            cpu_ns: cell("cpu_ns", row),
            diag_cpu_ns: cell("diag_cpu_ns", row),
            threads: cell("threads", row),
        })
    };
    Ok(Answer::History(taken.iter().enumerate().filter_map(reading).collect()))
}

/// `diag.tasks/1`: only `schema` and `sites` have to be there.
///
/// # Errors
/// What it is not.
pub(super) fn tasks(bytes: &[u8]) -> Result<Answer, String> {
    let document = document(bytes, "diag.tasks/1")?;
    let sites = document.get("sites").and_then(Value::as_array);
    let sites: Vec<TaskSite> =
        sites.ok_or_else(|| "the tasks have no sites".to_owned())?.iter().map(task_site).collect();
    let total = |name: &str| document.pointer(&format!("/totals/{name}")).and_then(Value::as_u64);
    let losses = document.get("losses").and_then(Value::as_object);
    let losses = losses.into_iter().flatten().filter_map(|(what, count)| {
        let count = count.as_u64().filter(|n| *n > 0)?;
        Some(format!("{count} {}", clean(&what.replace('_', " "))))
    });
    Ok(Answer::Tasks(TasksLook {
        live: total("live").unwrap_or_else(|| sites.iter().map(|s| s.live).sum()),
        spawned: total("spawned").unwrap_or(0),
        coverage: document.pointer("/coverage/share").and_then(Value::as_f64),
        losses: losses.collect::<Vec<_>>().join(", "),
        more: document.get("more").and_then(Value::as_u64).unwrap_or(0),
        sites,
    }))
}

fn task_site(site: &Value) -> TaskSite {
    let text = |name: &str| site.get(name).and_then(Value::as_str).map(clean).unwrap_or_default();
    let count = |name: &str| site.get(name).and_then(Value::as_u64).unwrap_or(0);
    let seconds = |path: &str| site.pointer(path).and_then(Value::as_f64).unwrap_or(0.0).max(0.0);
    TaskSite {
        site: text("site"),
        future: text("future"),
        name: text("name"),
        live: count("live"),
        running: count("running"),
        scheduled: count("scheduled"),
        idle: count("idle"),
        oldest_s: seconds("/age_s/max"),
        idle_s: seconds("/idle_s/max"),
        longest_poll_s: seconds("/longest_poll_s"),
        busy_s: seconds("/busy_s"),
        verdict: text("verdict"),
        reason: text("reason"),
    }
}

/// `diag.leaks/1`.
///
/// # Errors
/// What it is not.
pub(super) fn verdict(bytes: &[u8], heard_unix_ms: i64, took_ms: u64) -> Result<Answer, String> {
    let report: Report =
        serde_json::from_slice(bytes).map_err(|e| format!("not a verdict: {}", clean(&e.to_string())))?;
    Ok(Answer::Verdict(VerdictLook {
        verdict: report.verdict,
        watched_s: report.watched_s,
        suspects: report.suspects.iter().map(|s| (clean(&s.site), s.bytes_per_hour)).collect(),
        reason: report.reasons.first().map(|r| clean(r)).unwrap_or_default(),
        heard_unix_ms,
        took_ms,
    }))
}

/// A heap profile, with names as far as there are any.
///
/// # Errors
/// It is of something else.
pub(super) fn heap(
    profile: &Profile,
    raw: Vec<u8>,
    now_unix_ms: i64,
    took_ms: u64,
) -> Result<Answer, String> {
    let type_index = profile.sample_type_index("inuse_space").ok_or("the profile is not of a heap")?;
    Ok(Answer::Heap(HeapLook {
        taken_unix_ms: profile.meta().time_unix_ns.map_or(now_unix_ms, |ns| ns / 1_000_000),
        total_bytes: profile.total(type_index),
        period_bytes: profile.meta().period.as_ref().map(|p| p.value).filter(|bytes| *bytes > 0),
        sites: heap_sites(profile, type_index),
        raw: Arc::from(raw),
        took_ms,
    }))
}

/// A CPU profile.
///
/// # Errors
/// It is of something else.
pub(super) fn cpu(profile: &Profile, now_unix_ms: i64, seconds: f64) -> Result<Answer, String> {
    let type_index = profile.sample_type_index("cpu").ok_or("the profile is not of CPU time")?;
    let options = TopOptions { grouping: Grouping::Function, hide_runtime: true, ..TopOptions::default() };
    let table = top(profile, type_index, &options).map_err(|e| clean(&e.to_string()))?;
    let sites = table.rows.iter().map(|row| site(&row.frame, row.flat, row.cum)).collect();
    let seconds = profile.meta().duration_ns.filter(|ns| *ns > 0).map_or(seconds, |ns| ns as f64 / 1e9);
    Ok(Answer::Cpu(CpuLook { taken_unix_ms: now_unix_ms, seconds, total_ns: table.total, sites }))
}

/// Live bytes by the first function of the service's own code: the sites that the leak verdict names.
fn heap_sites(profile: &Profile, type_index: usize) -> Vec<Site> {
    let classes = FrameClasses::new(profile);
    let mut bytes_by_stack: HashMap<StackId, i64> = HashMap::new();
    for sample in profile.samples() {
        let bytes = sample.values.get(type_index).copied().unwrap_or(0);
        let sum = bytes_by_stack.entry(sample.stack).or_insert(0);
        *sum = sum.saturating_add(bytes);
    }
    let mut sites: HashMap<(String, String), Site> = HashMap::new();
    for (stack, bytes) in bytes_by_stack.into_iter().filter(|(_, bytes)| *bytes != 0) {
        let Some(at) = classes.site(profile, stack) else { continue };
        let frame = show(profile, at);
        let key = (frame.function.clone(), frame.file.clone());
        let site = sites.entry(key).or_insert_with(|| site(&frame, 0, 0));
        site.value = site.value.saturating_add(bytes);
    }
    sites.into_values().collect()
}

fn site(frame: &ShownFrame, value: i64, cumulated: i64) -> Site {
    let (function, place) = frame_place(frame);
    Site { function: clean(function), place: clean(&place), value, cumulated }
}

fn document(bytes: &[u8], schema: &str) -> Result<Value, String> {
    let document: Value =
        serde_json::from_slice(bytes).map_err(|e| format!("not JSON: {}", clean(&e.to_string())))?;
    match document.get("schema").and_then(Value::as_str) {
        Some(found) if found == schema => Ok(document),
        Some(other) => Err(format!("it is {}, and this view knows {schema}", clean(other))),
        None => Err(format!("it is not {schema}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_tasks_only_the_sites_are_needed() {
        let Ok(Answer::Tasks(look)) = tasks(
            br#"{"schema":"diag.tasks/1","coverage":null,"more":5,"sites":[{"site":"a.rs:1:2","future":"x\u001b[31m","live":3},{"live":null}]}"#,
        ) else {
            panic!("it is valid")
        };
        assert_eq!((look.live, look.coverage, look.sites.len(), look.more), (3, None, 2, 5));
        assert_eq!(look.sites[0].future, "x·[31m");
        for (wrong, why) in [
            (&b"<html>"[..], "not JSON"),
            (br#"{"schema":"diag.tasks/2","sites":[]}"#, "diag.tasks/2"),
            (br#"{"schema":"diag.tasks/1"}"#, "no sites"),
            (b"[]", "not diag.tasks/1"),
        ] {
            let said = tasks(wrong).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn readings_are_rows_of_columns() {
        let Ok(Answer::History(readings)) = history(
            br#"{"schema":"diag.history/1","taken_unix_ms":[5,10],"columns":{"rss_bytes":[7,null],"cpu_ns":[1]}}"#,
        ) else {
            panic!("it is valid")
        };
        assert_eq!(readings.len(), 2);
        assert_eq!((readings[0].rss_bytes, readings[0].cpu_ns), (Some(7), Some(1)));
        assert_eq!(readings[1], Reading { at_unix_ms: 10, ..Reading::default() });
    }
}
