//! `/debug/diag/api/v1/kept`: the profiles kept in memory, and a POST that keeps one more.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use diag::heap::SnapshotOptions;

use super::json;
use crate::cpu;
use crate::failure::Failure;
use crate::limits::Shared;
use crate::query::Query;

/// What is kept.
pub(crate) async fn kept(State(shared): State<Arc<Shared>>) -> Result<Response, Failure> {
    json(&shared.kept.list())
}

/// Keeps `kind=heap` as it is now, or records `kind=cpu` for `seconds=`; the answer has the number to ask for it by.
pub(crate) async fn keep(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Response, Failure> {
    let query = Query::of(&uri)?;
    match query.get("kind") {
        None | Some("heap") => {
            let of_worker = Arc::clone(&shared);
            shared
                .heavy(move |diag| {
                    let profile = diag
                        .heap()
                        .and_then(|heap| heap.snapshot(&SnapshotOptions::default().with_ages(true)))
                        .map_err(|e| Failure::new(StatusCode::SERVICE_UNAVAILABLE, e.to_string()))?;
                    json(&of_worker.kept.add("heap", &profile)?)
                })
                .await
        }
        Some("cpu") => {
            let ask = cpu::Ask::of(&query)?;
            let of_worker = Arc::clone(&shared);
            cpu::record(&shared, ask, move |_, profile| json(&of_worker.kept.add("cpu", &profile)?)).await
        }
        Some(_) => Err(Failure::bad_request("kind must be heap or cpu")),
    }
}
