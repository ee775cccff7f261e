//! `/debug/pprof/heap` and `/debug/pprof/allocs`: the same samples, another default type.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use diag::profile::{Profile, delta, pprof};

use super::listing;
use crate::collect::{Ask, Taken, collect, with_names};
use crate::content;
use crate::failure::Failure;
use crate::limits::Shared;

/// Live memory first.
pub(crate) async fn heap(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Response, Failure> {
    profile(&shared, &uri, "heap", "inuse_space").await
}

/// Allocation totals first.
pub(crate) async fn allocs(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Response, Failure> {
    profile(&shared, &uri, "allocs", "alloc_space").await
}

async fn profile(
    shared: &Arc<Shared>,
    uri: &Uri,
    name: &'static str,
    first_type: &'static str,
) -> Result<Response, Failure> {
    let (ask, query) = Ask::of(uri)?;
    // Nothing is collected before the snapshot; clients send gc=1 all the same.
    query.flag("gc", false)?;
    let as_text = query.number("debug")?.is_some_and(|level| level > 0);
    if as_text && ask.wait.is_some() {
        return Err(Failure::bad_request("seconds and debug do not go together; leave debug out"));
    }
    let symbolize = ask.symbolize;
    collect(shared, ask, move |diag, Taken { base, new }| {
        let profile = match base {
            Some(base) => delta(&base, &new).map_err(|e| Failure::internal(e.to_string()))?,
            None => new,
        };
        let mut profile: Profile = with_names(diag, profile, symbolize)?;
        let first = profile.sample_type_index(first_type);
        profile.annotate(|meta| meta.default_sample_type = first);
        if as_text {
            return Ok(content::answer(content::TEXT, listing::write(&profile)));
        }
        Ok(content::profile(name, pprof::encode_gz(&profile)))
    })
    .await
}
