//! `/debug/diag/api/v1/`.

mod flamegraph;
mod leaks;
mod triage;

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use serde::Serialize;

pub(crate) use flamegraph::flamegraph;
pub(crate) use leaks::leaks;
pub(crate) use triage::{purge, triage};

use crate::content;
use crate::failure::Failure;
use crate::limits::Shared;
use crate::query::Query;

/// What runs, what does not, and why.
pub(crate) async fn status(State(shared): State<Arc<Shared>>) -> Result<Response, Failure> {
    shared.light(|diag| json(&diag.status())).await
}

/// The memory waterline.
pub(crate) async fn memory(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Response, Failure> {
    let as_text = match Query::of(&uri)?.get("format") {
        None | Some("json") => false,
        Some("text") => true,
        Some(_) => return Err(Failure::bad_request("format must be json or text")),
    };
    shared
        .light(move |diag| {
            let waterline = diag.memory();
            if as_text {
                return Ok(content::answer(content::TEXT, waterline.to_string()));
            }
            json(&waterline)
        })
        .await
}

fn json(value: &impl Serialize) -> Result<Response, Failure> {
    serde_json::to_vec(value)
        .map(|bytes| content::answer(content::JSON, bytes))
        .map_err(|e| Failure::internal(format!("cannot write JSON: {e}")))
}
