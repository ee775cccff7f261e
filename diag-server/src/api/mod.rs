//! `/debug/diag/api/v1/`.

mod flamegraph;
mod leaks;
mod triage;

use std::fmt::Display;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, Uri, header};
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
    let shape = Shape::of(&Query::of(&uri)?)?;
    shared.light(move |diag| shape.answer(&diag.memory())).await
}

/// `format=json|text`.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Json,
    Text,
}

impl Shape {
    fn of(query: &Query) -> Result<Self, Failure> {
        match query.get("format") {
            None | Some("json") => Ok(Self::Json),
            Some("text") => Ok(Self::Text),
            Some(_) => Err(Failure::bad_request("format must be json or text")),
        }
    }

    fn answer(self, value: &(impl Serialize + Display)) -> Result<Response, Failure> {
        match self {
            Self::Json => json(value),
            Self::Text => Ok(content::answer(content::TEXT, value.to_string())),
        }
    }
}

/// How the client calls this process, for the commands that an answer suggests, when that is safe to repeat.
fn address(headers: &HeaderMap) -> Option<String> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let plain = host.chars().all(|c| c.is_ascii_alphanumeric() || ".:-_[]".contains(c));
    plain.then(|| format!("http://{host}"))
}

fn json(value: &impl Serialize) -> Result<Response, Failure> {
    serde_json::to_vec(value)
        .map(|bytes| content::answer(content::JSON, bytes))
        .map_err(|e| Failure::internal(format!("cannot write JSON: {e}")))
}
