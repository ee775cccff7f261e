//! `leaks`: the verdict, at once or after a watch (`watch=60`), which may sample more often for its time
//! (`sample_bytes=65536`, by POST, since it changes the process).

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use diag::LeakOptions;
use diag::heap::HeapError;

use super::{Shape, address, json};
use crate::failure::Failure;
use crate::limits::Shared;
use crate::query::Query;

/// The verdict. `watch=SECONDS` takes censuses of its own for so long; a client that goes away ends it.
pub(crate) async fn leaks(
    State(shared): State<Arc<Shared>>,
    method: Method,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Failure> {
    let query = Query::of(&uri)?;
    let shape = Shape::of(&query)?;
    let mut options = LeakOptions::default().with_maturity(query.seconds("maturity")?);
    options.target = address(&headers);
    let sample_bytes = query.number("sample_bytes")?;
    if sample_bytes.is_some() && method != Method::POST {
        return Err(Failure::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "sample_bytes makes the process sample more often, which takes POST; without it GET will do",
        ));
    }
    let report = match query.seconds("watch")? {
        None if sample_bytes.is_some() => {
            return Err(Failure::bad_request("sample_bytes goes with watch=SECONDS: it holds for that time"));
        }
        None => shared.heavy(move |diag| diag.leaks(&options).map_err(unavailable)).await?,
        Some(length) => watch(&shared, length, sample_bytes, options).await?,
    };
    shape.answer(&report)
}

async fn watch(
    shared: &Arc<Shared>,
    length: Duration,
    sample_bytes: Option<u64>,
    options: LeakOptions,
) -> Result<diag::leak::Report, Failure> {
    let seat = shared.wait_seat(length)?;
    let mut watch =
        seat.heavy(move |diag| diag.watch_leaks(length, sample_bytes).map_err(unavailable)).await?;
    let end = tokio::time::Instant::now() + length;
    loop {
        let now = tokio::time::Instant::now();
        if now >= end {
            break;
        }
        tokio::time::sleep_until((now + watch.interval()).min(end)).await;
        watch = seat
            .heavy(move |_| {
                watch.census();
                Ok(watch)
            })
            .await?;
    }
    seat.heavy(move |_| watch.report(&options).map_err(unavailable)).await
}

/// How the live memory of some sites went.
pub(crate) async fn courses(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Response, Failure> {
    let query = Query::of(&uri)?;
    let sites: Vec<String> = query.all("site").map(str::to_owned).collect();
    if sites.is_empty() {
        return Err(Failure::bad_request("name at least one site=, as /debug/diag/api/v1/leaks does"));
    }
    shared.heavy(move |diag| json(&diag.leak_courses(&sites).map_err(unavailable)?)).await
}

fn unavailable(error: HeapError) -> Failure {
    Failure::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}
