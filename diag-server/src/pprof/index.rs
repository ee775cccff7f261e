//! The index page.

use axum::response::Response;
use diag::endpoints;

use super::ABSENT;
use crate::{content, home, metrics};

pub(crate) async fn index() -> Response {
    let here = [
        (
            format!("{}?debug=1", endpoints::PPROF_HEAP),
            "heap, as text",
            "Live memory by call stack, largest first.",
        ),
        (
            endpoints::PPROF_HEAP.to_owned(),
            "heap",
            "Live memory and allocation totals since the start; gzipped pprof. seconds=N: the change over N \
             seconds. ages=1: each sample with its age. symbolize=false: addresses only.",
        ),
        (
            endpoints::PPROF_ALLOCS.to_owned(),
            "allocs",
            "The same samples; viewers show allocated bytes first.",
        ),
        (
            endpoints::PPROF_PROFILE.to_owned(),
            "profile",
            "CPU time by call stack, over 30 seconds or seconds=N; gzipped pprof. hz=N: samples a second and thread \
             (99). mode=wall: where threads wait, too. symbolize=false: addresses only. One at a time.",
        ),
        (
            format!("{}?seconds=5&debug=1", endpoints::PPROF_PROFILE),
            "profile, as text",
            "CPU time of 5 seconds, largest first.",
        ),
        (
            format!("{}?debug=1", endpoints::PPROF_TASKS),
            "tasks, as text",
            "Live async tasks by the code that spawned them. debug=2: each, with state, age and wakers. Without debug: \
             gzipped pprof. min_age=SECONDS, state=idle: only such. Also as goroutine.",
        ),
        (
            format!("{}?debug=1", endpoints::PPROF_TASKLEAK),
            "taskleak",
            "Tasks that can never wake again, and those that are probably stuck, with the reason.",
        ),
        (endpoints::PPROF_CMDLINE.to_owned(), "cmdline", "Arguments of the process, separated by NUL."),
        (endpoints::PPROF_SYMBOL.to_owned(), "symbol", "Names of addresses: POST 0xADDRESS+0xADDRESS."),
        (endpoints::API_FLAMEGRAPH.to_owned(), "flame graph", "Live memory, drawn; SVG."),
        (
            format!("{}?kind=cpu&seconds=10", endpoints::API_FLAMEGRAPH),
            "flame graph of CPU time",
            "CPU time of 10 seconds, drawn; SVG.",
        ),
        (metrics::SECOND_PATH.to_owned(), "metrics", "Counters for Prometheus."),
        (endpoints::UI.to_owned(), "diag", "Everything else."),
    ];
    let mut html = String::from(
        "<p>In a terminal: <code>go tool pprof http://HOST/debug/pprof/heap</code> for memory, \
         <code>go tool pprof HOST</code> for CPU time; without Go <code>diag-cli top HOST</code>, \
         <code>diag-cli top HOST --kind cpu</code>.</p>\n",
    );
    home::list(&mut html, here.iter().map(|(path, name, about)| (path.as_str(), *name, *about)));
    html.push_str("<p>Not in this build: ");
    let names: Vec<&str> = ABSENT.iter().filter_map(|a| a.path.rsplit('/').next()).collect();
    html.push_str(&names.join(", "));
    html.push_str(".</p>\n");
    content::answer(content::HTML, home::document("profiles", &html))
}
