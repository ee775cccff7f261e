//! `/debug/pprof/mutex` and `/debug/pprof/block`: who makes others wait for locks, and who waits. Totals since the start of the process;
//! with `seconds=` what came within that time.
//!
//! While a profile is off it is empty and says in a comment how to switch it on, as Go's is empty: a scraper that asks for all
//! kinds is no fault.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use diag::profile::{Profile, ProfileError, pprof};
use diag::{Diag, sync};

use super::listing;
use crate::collect::{taken_by, with_names};
use crate::content;
use crate::failure::Failure;
use crate::limits::Shared;
use crate::query::Query;

type Take = fn() -> Result<Profile, ProfileError>;

/// By the stack that released a lock.
pub(crate) async fn mutex(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Response, Failure> {
    profile(&shared, &uri, "mutex", sync::mutex_profile).await
}

/// By the stack that waited.
pub(crate) async fn block(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Response, Failure> {
    profile(&shared, &uri, "block", sync::block_profile).await
}

async fn profile(
    shared: &Arc<Shared>,
    uri: &Uri,
    name: &'static str,
    take: Take,
) -> Result<Response, Failure> {
    let query = Query::of(uri)?;
    let wait = query.seconds("seconds")?;
    let symbolize = query.flag("symbolize", true)?;
    let as_text = query.number("debug")?.is_some_and(|level| level > 0);
    if as_text && wait.is_some() {
        return Err(Failure::bad_request("seconds and debug do not go together; leave debug out"));
    }
    taken_by(
        shared,
        wait,
        move |diag| now(diag, take),
        move |diag, taken| {
            let profile = with_names(diag, taken.change()?, symbolize)?;
            if as_text {
                return Ok(content::answer(content::TEXT, listing::write(&profile)));
            }
            Ok(content::profile(name, pprof::encode_gz(&profile)))
        },
    )
    .await
}

/// Of the kind `mutex` or `block`; `None` of any other.
pub(crate) fn of_kind(
    kind: &str,
) -> Option<impl Fn(&Diag) -> Result<Profile, Failure> + Clone + Send + 'static> {
    let take: Take = match kind {
        "mutex" => sync::mutex_profile,
        "block" => sync::block_profile,
        _ => return None,
    };
    Some(move |diag: &Diag| now(diag, take))
}

fn now(diag: &Diag, take: Take) -> Result<Profile, Failure> {
    if diag.config().disabled {
        return Err(Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "profiles of contention are not available: the diagnostics are disabled; unset DIAG_DISABLE (or the builder's \
             disabled) and start again",
        ));
    }
    take().map_err(|e| Failure::internal(e.to_string()))
}
