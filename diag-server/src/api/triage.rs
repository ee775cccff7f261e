//! `/debug/diag/api/v1/triage`: `seconds=5` between the two readings, `format=json|text`; and `/debug/diag/api/v1/purge`.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::Response;
use diag::Diag;
use diag::heap::SnapshotOptions;
use diag::memory::triage::{Extras, Survey, Target, judge};

use super::json;
use crate::content;
use crate::failure::Failure;
use crate::limits::Shared;
use crate::query::Query;

const DEFAULT_SECONDS: u64 = 5;

/// Where resident memory is, and what grows.
pub(crate) async fn triage(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Failure> {
    let query = Query::of(&uri)?;
    let as_text = match query.get("format") {
        None | Some("json") => false,
        Some("text") => true,
        Some(_) => return Err(Failure::bad_request("format must be json or text")),
    };
    let wait = query.seconds("seconds")?.unwrap_or(Duration::from_secs(DEFAULT_SECONDS));
    let target = target(&headers);
    let seat = shared.wait_seat(wait)?;
    let base = shared.heavy(|diag| Ok(diag.survey())).await?;
    tokio::time::sleep(wait).await;
    let done = shared
        .heavy(move |diag| {
            let new = diag.survey();
            let extras = extras(diag, &base, &new, target);
            let triage = judge(&base, &new, extras);
            if as_text {
                return Ok(content::answer(content::TEXT, triage.to_string()));
            }
            json(&triage)
        })
        .await;
    drop(seat);
    done
}

/// Gives unused pages back.
pub(crate) async fn purge(State(shared): State<Arc<Shared>>) -> Result<Response, Failure> {
    let unavailable = |why: String| Failure::new(StatusCode::SERVICE_UNAVAILABLE, why);
    shared.heavy(move |_| json(&diag::memory::purge().map_err(unavailable)?)).await
}

/// What the heap collector adds; without it the rest stands alone.
fn extras(diag: &Diag, base: &Survey, new: &Survey, target: Target) -> Extras {
    let mut extras = Extras { target, pid: Some(std::process::id()), ..Extras::default() };
    let options = SnapshotOptions::default().with_ages(true);
    if let Ok(profile) = diag.heap().and_then(|heap| heap.snapshot(&options)) {
        let name = |p| diag.symbolize(p).map_or(Cow::Borrowed(p), Cow::Owned);
        diag::evidence::add_heap(&mut extras, &profile, (base, new), name);
    }
    extras
}

/// How the client calls this process, when that is safe to repeat.
fn target(headers: &HeaderMap) -> Target {
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok());
    let plain = |h: &&str| h.chars().all(|c| c.is_ascii_alphanumeric() || ".:-_[]".contains(c));
    host.filter(plain).map_or(Target::Unknown, |h| Target::Live(format!("http://{h}")))
}
