//! `/debug/pprof/profile`: where CPU time goes, or with `mode=wall` where threads are.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use diag::profile::pprof;

use super::listing;
use crate::collect::with_names;
use crate::content;
use crate::cpu::{Ask, record};
use crate::failure::Failure;
use crate::limits::Shared;
use crate::query::Query;

pub(crate) async fn profile(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Response, Failure> {
    let query = Query::of(&uri)?;
    let ask = Ask::of(&query)?;
    let as_text = query.number("debug")?.is_some_and(|level| level > 0);
    let symbolize = ask.symbolize;
    record(&shared, ask, move |diag, profile| {
        let profile = with_names(diag, profile, symbolize)?;
        if as_text {
            return Ok(content::answer(content::TEXT, listing::write(&profile)));
        }
        Ok(content::profile("profile", pprof::encode_gz(&profile)))
    })
    .await
}
