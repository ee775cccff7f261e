//! `/debug/diag/api/v1/triage`: `seconds=5` between the two readings, `format=json|text`; and `/debug/diag/api/v1/purge`.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use diag::Diag;
use diag::heap::SnapshotOptions;
use diag::memory::triage::{Extras, Survey, Target, judge};

use super::{Shape, address, json};
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
    let shape = Shape::of(&query)?;
    let wait = query.seconds("seconds")?.unwrap_or(Duration::from_secs(DEFAULT_SECONDS));
    let target = address(&headers).map_or(Target::Unknown, Target::Live);
    let seat = shared.wait_seat(wait)?;
    let base = seat.heavy(|diag| Ok(diag.survey())).await?;
    tokio::time::sleep(wait).await;
    seat.heavy(move |diag| {
        let new = diag.survey();
        let extras = extras(diag, &base, &new, target);
        shape.answer(&judge(&base, &new, extras))
    })
    .await
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
