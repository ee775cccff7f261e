//! `/debug/diag/api/v1/`.

mod flamegraph;
mod health;
mod kept;
mod labels;
mod leaks;
mod triage;
mod view;

use std::fmt::Display;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri, header};
use axum::response::Response;
use diag::Status;
use serde::Serialize;

pub(crate) use flamegraph::flamegraph;
pub(crate) use health::health;
pub(crate) use kept::{keep, kept};
pub(crate) use leaks::{courses, leaks};
pub(crate) use triage::{purge, triage};
pub(crate) use view::view;

use crate::captures;
use crate::content;
use crate::failure::Failure;
use crate::limits::Shared;
use crate::query::Query;

/// The status of the diagnostics, with that of the routes that tell it.
#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    status: Status,
    server: Server,
}

#[derive(Serialize)]
struct Server {
    /// What changes something in the process is refused here, by the settings or by the host's code.
    read_only: bool,
}

/// What runs, what does not, and why.
pub(crate) async fn status(State(shared): State<Arc<Shared>>) -> Result<Response, Failure> {
    let server = Server { read_only: shared.read_only };
    shared.light(move |diag| json(&Told { status: diag.status(), server })).await
}

/// The memory waterline.
pub(crate) async fn memory(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Response, Failure> {
    let shape = Shape::of(&Query::of(&uri)?)?;
    shared.light(move |diag| shape.answer(&diag.memory())).await
}

/// The tasks by site, judged.
pub(crate) async fn tasks(State(shared): State<Arc<Shared>>) -> Result<Response, Failure> {
    shared.heavy(|diag| json(&diag.tasks())).await
}

/// The waterline of the last hour; `since=UNIX_MS` leaves out what was read before.
pub(crate) async fn history(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Response, Failure> {
    let since = Query::of(&uri)?.number("since")?.unwrap_or(0);
    shared.light(move |diag| json(&diag.memory_history(since))).await
}

/// The files of the capture directory.
pub(crate) async fn captures(State(shared): State<Arc<Shared>>) -> Result<Response, Failure> {
    shared.light(|diag| json(&captures::list(diag.config())?)).await
}

/// One of them.
pub(crate) async fn capture(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let kind = if name.ends_with(".json") { content::JSON } else { content::PROFILE };
    shared
        .light(move |diag| {
            captures::read(diag.config(), &name).map(|bytes| content::attachment(&name, kind, bytes))
        })
        .await
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
