//! `health`: for probes.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use diag::{Health, PartState};
use serde::Serialize;

use super::json;
use crate::content;
use crate::failure::Failure;
use crate::limits::Shared;
use crate::query::Query;

/// The parts' health, with who answers.
#[derive(Serialize)]
struct Deep {
    #[serde(flatten)]
    health: Health,
    /// `own` on diag's own thread, `host` inside the service's router.
    listener: &'static str,
}

/// Without `deep=true`: that something answers is the answer.
pub(crate) async fn health(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Response, Failure> {
    if !Query::of(&uri)?.flag("deep", false)? {
        return Ok(content::answer(content::TEXT, "ok\n"));
    }
    // Made on the thread that answers, so that it says whose that is.
    let listener =
        if std::thread::current().name() == Some(crate::listener::THREAD) { "own" } else { "host" };
    let health = tokio::time::timeout(
        Duration::from_secs(5),
        shared.light(|diag| Ok(diag.health())),
    )
    .await
    .map_err(|_| {
        Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "diag did not tell its health within 5 s: the machine is overloaded, or its capture directory hangs",
        )
    })??;
    let broken = health.state == PartState::Broken;
    let mut response = json(&Deep { health, listener })?;
    if broken {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(response)
}
