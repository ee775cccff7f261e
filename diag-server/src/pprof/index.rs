//! The index page. Its links are relative to `/debug/pprof/`, for a path prefix that the browser knows and the process does not; without
//! the final slash the browser is sent there first (`home::moved`).

use axum::response::Response;
use diag::endpoints;

use super::ABSENT;
use crate::{content, home, metrics};

pub(crate) async fn index() -> Response {
    let here = [
        (endpoints::PPROF_HEAP, "?debug=1", "heap, as text", "Live memory by call stack, largest first."),
        (
            endpoints::PPROF_HEAP,
            "",
            "heap",
            "Live memory and allocation totals since the start; gzipped pprof. seconds=N: the change over N \
             seconds. ages=1: each sample with its age. symbolize=false: addresses only.",
        ),
        (endpoints::PPROF_ALLOCS, "", "allocs", "The same samples; viewers show allocated bytes first."),
        (
            endpoints::PPROF_PROFILE,
            "",
            "profile",
            "CPU time by call stack, over 30 seconds or seconds=N; gzipped pprof. hz=N: samples a second and thread \
             (99). mode=wall: where threads wait, too. symbolize=false: addresses only. One at a time.",
        ),
        (
            endpoints::PPROF_PROFILE,
            "?seconds=5&debug=1",
            "profile, as text",
            "CPU time of 5 seconds, largest first.",
        ),
        #[cfg(feature = "recorder")]
        (
            endpoints::PPROF_TRACE,
            "?seconds=5",
            "trace",
            "Spans, events and polls of tasks from now on, for one second or seconds=N; for ui.perfetto.dev. past=all, past=N: \
             what the flight recorder holds. format=folded, format=pprof: where the time of spans goes. One at a time.",
        ),
        (
            endpoints::PPROF_MUTEX,
            "",
            "mutex",
            "Who makes others wait for locks of diag::sync, since the start or over seconds=N; off until switched on \
             (DIAG_MUTEX_FRACTION=10). debug=1: as text.",
        ),
        (
            endpoints::PPROF_BLOCK,
            "",
            "block",
            "Who waits for them; off until switched on (DIAG_BLOCK_RATE_NS=1000000). debug=1: as text.",
        ),
        (
            endpoints::PPROF_TASKS,
            "?debug=1",
            "tasks, as text",
            "Live async tasks by the code that spawned them. debug=2: each, with state, age and wakers. Without debug: \
             gzipped pprof. min_age=SECONDS, state=idle: only such. Also as goroutine.",
        ),
        (
            endpoints::PPROF_TASKLEAK,
            "?debug=1",
            "taskleak",
            "Tasks that can never wake again, and those that are probably stuck, with the reason.",
        ),
        (endpoints::PPROF_CMDLINE, "", "cmdline", "Arguments of the process, separated by NUL."),
        (endpoints::PPROF_SYMBOL, "", "symbol", "Names of addresses: POST 0xADDRESS+0xADDRESS."),
        (endpoints::API_FLAMEGRAPH, "", "flame graph", "Live memory, drawn; SVG."),
        (
            endpoints::API_FLAMEGRAPH,
            "?kind=cpu&seconds=10",
            "flame graph of CPU time",
            "CPU time of 10 seconds, drawn; SVG.",
        ),
        (metrics::SECOND_PATH, "", "metrics", "Counters for Prometheus."),
        (endpoints::UI, "", "diag", "Everything else."),
    ];
    let mut html = String::from(
        "<p>In a terminal: <code>go tool pprof http://HOST/debug/pprof/heap</code> for memory, \
         <code>go tool pprof HOST</code> for CPU time; without Go <code>diag-cli top HOST</code>, \
         <code>diag-cli top HOST --kind cpu</code>.</p>\n",
    );
    let links: Vec<(String, &str, &str)> = here
        .iter()
        .map(|(path, query, name, about)| {
            (format!("{}{query}", home::relative(endpoints::PPROF_INDEX, path)), *name, *about)
        })
        .collect();
    home::list(&mut html, links.iter().map(|(link, name, about)| (link.as_str(), *name, *about)));
    html.push_str("<p>Not in this build: ");
    let names: Vec<&str> = ABSENT.iter().filter_map(|a| a.path.rsplit('/').next()).collect();
    html.push_str(&names.join(", "));
    html.push_str(".</p>\n");
    content::answer(content::HTML, home::document("profiles", &html))
}
