//! `/debug/pprof/tasks`, also as `goroutine`: the live async tasks; `/debug/pprof/taskleak`: those that never end.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use diag::Diag;
use diag::profile::{Profile, pprof};
use diag::tasks::{self, Snapshot, TaskReading, sampled, text};

use crate::collect::{taken_by, with_names};
use crate::content;
use crate::failure::Failure;
use crate::limits::Shared;
use crate::query::Query;

/// Which tasks are wanted: `min_age=` in seconds, `state=`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Chosen {
    min_age: Duration,
    state: Option<tasks::State>,
}

impl Chosen {
    pub(crate) fn of(query: &Query) -> Result<Self, Failure> {
        let min_age = Duration::from_secs(query.number("min_age")?.unwrap_or(0));
        let state = match query.get("state") {
            None => None,
            Some(word) => Some(tasks::State::parse(word).ok_or_else(|| {
                Failure::bad_request("state must be new, running, scheduled, idle or done")
            })?),
        };
        Ok(Self { min_age, state })
    }

    fn has(&self, task: &TaskReading) -> bool {
        u128::from(task.age_ns) >= self.min_age.as_nanos()
            && self.state.is_none_or(|state| state == task.state)
    }
}

/// The live tasks: gzipped pprof, `debug=1` grouped, `debug=2` each. `seconds=`: the change over so long.
pub(crate) async fn tasks(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Response, Failure> {
    let query = Query::of(&uri)?;
    let chosen = Chosen::of(&query)?;
    let debug = query.number("debug")?.unwrap_or(0);
    let wait = query.seconds("seconds")?;
    if wait.is_none() {
        return shared.heavy(move |diag| answer(diag, &tasks::snapshot(), debug, chosen)).await;
    }
    if debug > 0 {
        return Err(Failure::bad_request("seconds and debug do not go together; leave debug out"));
    }
    taken_by(
        &shared,
        wait,
        move |_| profile(&tasks::snapshot(), chosen),
        |_, taken| Ok(content::profile("tasks", pprof::encode_gz(&taken.change()?))),
    )
    .await
}

/// The live tasks, or where none is tracked what the heap's samples tell of them.
pub(crate) fn now(diag: &Diag) -> Result<Profile, Failure> {
    let snapshot = tasks::snapshot();
    if snapshot.sites.is_empty() { from_heap(diag) } else { profile(&snapshot, Chosen::default()) }
}

/// The tasks that can never wake again, and those that are probably stuck: gzipped pprof, or with `debug=` text with reasons.
pub(crate) async fn taskleak(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Response, Failure> {
    let as_text = Query::of(&uri)?.number("debug")?.is_some_and(|level| level > 0);
    shared
        .heavy(move |diag| {
            let (snapshot, leaked) = diag.leaked_tasks();
            if as_text {
                return Ok(content::answer(content::TEXT, text::leaked(&snapshot, &leaked)));
            }
            let ids: std::collections::HashSet<u64> =
                leaked.iter().filter_map(|l| snapshot.tasks.get(l.task)).map(|task| task.id).collect();
            let profile = snapshot.profile(|task| ids.contains(&task.id));
            let profile = profile.map_err(|e| Failure::internal(e.to_string()))?;
            Ok(content::profile("taskleak", pprof::encode_gz(&profile)))
        })
        .await
}

fn answer(diag: &Diag, snapshot: &Snapshot, debug: u64, chosen: Chosen) -> Result<Response, Failure> {
    match debug {
        // Nothing is tracked: then what the heap's samples tell.
        0 if snapshot.sites.is_empty() => {
            let profile = from_heap(diag)?;
            Ok(content::profile("tasks", pprof::encode_gz(&profile)))
        }
        0 => Ok(content::profile("tasks", pprof::encode_gz(&profile(snapshot, chosen)?))),
        _ if snapshot.sites.is_empty() => {
            let sites = sampled::sites(&from_heap(diag)?);
            Ok(content::answer(content::TEXT, sampled::text(&sites)))
        }
        1 => Ok(content::answer(content::TEXT, text::grouped(snapshot, |task| chosen.has(task)))),
        _ => Ok(content::answer(content::TEXT, text::listed(snapshot, |task| chosen.has(task)))),
    }
}

fn profile(snapshot: &Snapshot, chosen: Chosen) -> Result<Profile, Failure> {
    snapshot.profile(|task| chosen.has(task)).map_err(|e| Failure::internal(e.to_string()))
}

/// An estimate from the samples of the heap, for programs that track no task.
pub(crate) fn from_heap(diag: &Diag) -> Result<Profile, Failure> {
    let unavailable = |e: diag::heap::HeapError| {
        Failure::new(axum::http::StatusCode::SERVICE_UNAVAILABLE, format!("no task is tracked, and {e}"))
    };
    let heap = diag.heap().map_err(unavailable)?;
    let profile = heap.snapshot(&Default::default()).map_err(unavailable)?;
    let named = with_names(diag, profile, true)?;
    sampled::from_heap(&named).map_err(|e| Failure::internal(e.to_string()))
}
