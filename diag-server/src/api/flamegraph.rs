//! `/debug/diag/api/v1/flamegraph`: `kind=heap`, `type=inuse_space`, `ages=1`, `base=N` or `seconds=N` (what changes
//! within N seconds), `format=svg|html`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use diag::profile::Profile;
use flamegraphs::{Options, render_diff_html, render_diff_svg, render_html, render_svg};

use crate::collect::{Ask, Taken, collect, with_names};
use crate::content;
use crate::failure::Failure;
use crate::limits::Shared;

pub(crate) async fn flamegraph(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Response, Failure> {
    let (mut ask, query) = Ask::of(&uri)?;
    match query.get("kind") {
        None | Some("heap") => {}
        Some("cpu" | "tasks") => {
            return Err(Failure::new(
                StatusCode::NOT_IMPLEMENTED,
                "this build of diag collects heap profiles only: kind=heap",
            ));
        }
        Some(_) => {
            return Err(Failure::bad_request(
                "kind must be heap, which is all that this build of diag collects",
            ));
        }
    }
    let as_html = match query.get("format") {
        None | Some("svg") => false,
        Some("html") => true,
        Some(_) => return Err(Failure::bad_request("format must be svg or html")),
    };
    if let Some(base) = query.seconds("base")? {
        if ask.ages {
            return Err(Failure::bad_request("base and ages do not go together"));
        }
        ask.wait = Some(base);
    }
    let kind = query.get("type").unwrap_or("inuse_space").to_owned();
    let (ages, symbolize) = (ask.ages, ask.symbolize);
    collect(&shared, ask, move |diag, Taken { base, new }| {
        let options = Options {
            title: diag.config().service_name.clone(),
            type_index: Some(type_index(&new, &kind)?),
            group_by_label: ages.then(|| "age".to_owned()),
            ..Options::default()
        };
        let new = with_names(diag, new, symbolize)?;
        let drawn = match base {
            Some(base) => {
                let base = with_names(diag, base, symbolize)?;
                if as_html {
                    render_diff_html(&base, &new, &options)
                } else {
                    render_diff_svg(&base, &new, &options)
                }
            }
            None if as_html => render_html(&new, &options),
            None => render_svg(&new, &options),
        };
        let drawn = drawn.map_err(|e| Failure::internal(e.to_string()))?;
        Ok(content::answer(if as_html { content::HTML } else { content::SVG }, drawn))
    })
    .await
}

fn type_index(profile: &Profile, kind: &str) -> Result<usize, Failure> {
    profile.sample_type_index(kind).ok_or_else(|| {
        let kinds: Vec<&str> = profile.sample_types().iter().map(|t| t.kind.as_str()).collect();
        Failure::bad_request(format!("type must be one of {}", kinds.join(", ")))
    })
}
