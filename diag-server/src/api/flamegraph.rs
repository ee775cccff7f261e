//! `/debug/diag/api/v1/flamegraph`: `kind=heap`, `type=inuse_space`, `ages=1`, `base=N` or `seconds=N` (what changes
//! within N seconds); `kind=cpu` with `seconds=N`, `hz=`, `mode=wall` as for the profile; `kind=tasks`, `mutex` or `block`, as they are or
//! what comes within `seconds=N`; `format=svg|html`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use diag::Diag;
use diag::profile::Profile;
use flamegraphs::{Options, render_diff_html, render_diff_svg, render_html, render_svg};

use crate::collect::{Ask, Taken, collect, taken_by, with_names};
use crate::failure::Failure;
use crate::limits::Shared;
use crate::pprof::{contention, tasks};
use crate::query::Query;
use crate::{content, cpu};

pub(crate) async fn flamegraph(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Response, Failure> {
    let query = Query::of(&uri)?;
    let drawing = Drawing::of(&query)?;
    match query.get("kind") {
        None | Some("heap") => of_heap(&shared, &uri, drawing).await,
        Some("cpu") => of_cpu(&shared, &query, drawing).await,
        Some("tasks") => of_now(&shared, &query, drawing, tasks::now).await,
        Some(kind) => match contention::of_kind(kind) {
            Some(now) => of_now(&shared, &query, drawing, now).await,
            None => Err(Failure::bad_request("kind must be heap, cpu, tasks, mutex or block")),
        },
    }
}

async fn of_now(
    shared: &Arc<Shared>,
    query: &Query,
    drawing: Drawing,
    now: impl Fn(&Diag) -> Result<Profile, Failure> + Clone + Send + 'static,
) -> Result<Response, Failure> {
    only_of_heap(query)?;
    let (wait, symbolize) = (query.seconds("seconds")?, query.flag("symbolize", true)?);
    taken_by(shared, wait, now, move |diag, taken| drawing.draw(diag, None, taken.change()?, symbolize)).await
}

fn only_of_heap(query: &Query) -> Result<(), Failure> {
    if query.get("base").is_some() || query.flag("ages", false)? {
        return Err(Failure::bad_request("base and ages go with kind=heap; the others take seconds"));
    }
    Ok(())
}

async fn of_heap(shared: &Arc<Shared>, uri: &Uri, mut drawing: Drawing) -> Result<Response, Failure> {
    let (mut ask, query) = Ask::of(uri)?;
    if let Some(base) = query.seconds("base")? {
        if ask.ages {
            return Err(Failure::bad_request("base and ages do not go together"));
        }
        ask.wait = Some(base);
    }
    drawing.kind.get_or_insert("inuse_space".to_owned());
    drawing.group_by_label = ask.ages.then(|| "age".to_owned());
    let symbolize = ask.symbolize;
    collect(shared, ask, move |diag, Taken { base, new }| drawing.draw(diag, base, new, symbolize)).await
}

async fn of_cpu(shared: &Arc<Shared>, query: &Query, drawing: Drawing) -> Result<Response, Failure> {
    only_of_heap(query)?;
    let ask = cpu::Ask::of(query)?;
    // Said now rather than when it is recorded.
    if let Some(kind) = drawing.kind.as_deref().filter(|kind| !ask.types().contains(kind)) {
        let kind: String = kind.chars().take(40).filter(|c| !c.is_control()).collect();
        let types = ask.types().join(", ");
        return Err(Failure::bad_request(format!(
            "there is no type {kind} here: type must be one of {types}"
        )));
    }
    let symbolize = ask.symbolize;
    cpu::record(shared, ask, move |diag, new| drawing.draw(diag, None, new, symbolize)).await
}

/// How it is drawn.
struct Drawing {
    as_html: bool,
    /// The sample type; `None` for the profile's default.
    kind: Option<String>,
    group_by_label: Option<String>,
}

impl Drawing {
    fn of(query: &Query) -> Result<Self, Failure> {
        let as_html = match query.get("format") {
            None | Some("svg") => false,
            Some("html") => true,
            Some(_) => return Err(Failure::bad_request("format must be svg or html")),
        };
        Ok(Self { as_html, kind: query.get("type").map(str::to_owned), group_by_label: None })
    }

    fn draw(
        self,
        diag: &Diag,
        base: Option<Profile>,
        new: Profile,
        symbolize: bool,
    ) -> Result<Response, Failure> {
        let options = Options {
            title: diag.config().service_name.clone(),
            type_index: self.kind.map(|kind| type_index(&new, &kind)).transpose()?,
            group_by_label: self.group_by_label,
            ..Options::default()
        };
        let new = with_names(diag, new, symbolize)?;
        let drawn = match base {
            Some(base) => {
                let base = with_names(diag, base, symbolize)?;
                if self.as_html {
                    render_diff_html(&base, &new, &options)
                } else {
                    render_diff_svg(&base, &new, &options)
                }
            }
            None if self.as_html => render_html(&new, &options),
            None => render_svg(&new, &options),
        };
        let drawn = drawn.map_err(|e| Failure::internal(e.to_string()))?;
        Ok(content::answer(if self.as_html { content::HTML } else { content::SVG }, drawn))
    }
}

fn type_index(profile: &Profile, kind: &str) -> Result<usize, Failure> {
    profile.sample_type_index(kind).ok_or_else(|| {
        let kinds: Vec<&str> = profile.sample_types().iter().map(|t| t.kind.as_str()).collect();
        Failure::bad_request(format!("type must be one of {}", kinds.join(", ")))
    })
}
