//! The two pages of links. The browser UI is not here yet; this is the door to what is.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use diag::endpoints;

use crate::content;
use crate::limits::Shared;
use crate::metrics;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}\
                     dt{font-weight:600;margin-top:.8rem}dd{margin:0}code{font-size:.95em}\
                     @media(prefers-color-scheme:dark){body{background:#16181d;color:#e6e6e6}a{color:#8ab4f8}}";

/// `/debug/diag/`
pub(crate) async fn page(State(shared): State<Arc<Shared>>) -> Response {
    let config = shared.diag.config();
    let mut html = String::new();
    // Writing to a String does not fail.
    let _ = writeln!(
        html,
        "<p>Service <b>{}</b>, process {}.</p>",
        escape(&config.service_name),
        std::process::id()
    );
    let flamegraph = endpoints::API_FLAMEGRAPH;
    let ages = format!("{flamegraph}?ages=1");
    let change = format!("{flamegraph}?seconds=30");
    let cpu = format!("{flamegraph}?kind=cpu&seconds=10");
    let wall = format!("{flamegraph}?kind=cpu&mode=wall&seconds=10");
    let memory = format!("{}?format=text", endpoints::API_MEMORY);
    let leaks = format!("{}?format=text", endpoints::API_LEAKS);
    let triage = format!("{}?format=text", endpoints::API_TRIAGE);
    list(
        &mut html,
        [
            (leaks.as_str(), "leaks", "Which code leaks, how sure that is, and what could not be told."),
            (flamegraph, "flame graph of live memory", "Which code retains the memory, now."),
            (ages.as_str(), "the same by age", "Old survivors apart from what was just allocated."),
            (change.as_str(), "what changes in 30 seconds", "Grown and vanished stacks; waits that long."),
            (cpu.as_str(), "flame graph of CPU time", "Which code computes; waits 10 seconds."),
            (wall.as_str(), "the same of time that passes", "Where threads wait, too; waits 10 seconds."),
            (memory.as_str(), "memory", "Allocator, process and cgroup, as a table."),
            (triage.as_str(), "why memory grows", "Where resident memory is and what grows in 5 seconds."),
            (endpoints::API_STATUS, "status", "What runs, what does not, and why; JSON."),
            (endpoints::PPROF_INDEX, "profiles", "Files for pprof and other tools."),
            (metrics::SECOND_PATH, "metrics", "Counters for Prometheus."),
        ],
    );
    content::answer(content::HTML, document("diag", &html))
}

/// The same path with its final slash.
pub(crate) async fn moved(with_slash: &'static str) -> Response {
    Redirect::permanent(with_slash).into_response()
}

/// A page around a body.
pub(crate) fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>{STYLE}</style></head>\n<body><h1>{title}</h1>\n{body}</body></html>\n",
        title = escape(title),
    )
}

/// Links with what is behind them. The texts are this program's own; paths and names are escaped all the same.
pub(crate) fn list<'a>(html: &mut String, links: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>) {
    html.push_str("<dl>\n");
    for (path, name, about) in links {
        let _ = writeln!(
            html,
            "<dt><a href=\"{}\">{}</a></dt><dd>{}</dd>",
            escape(path),
            escape(name),
            escape(about)
        );
    }
    html.push_str("</dl>\n");
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}
