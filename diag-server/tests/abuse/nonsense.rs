//! Every parameter of every route with values that make no sense: an error of the client, in one clear line.

use std::net::SocketAddr;

use super::common::{Answer, ask, read};

/// The parameters that each route reads. A test below finds those that are not here.
const PARAMETERS: &[(&str, &[&str])] = &[
    ("/debug/pprof/heap", &["seconds", "ages", "symbolize", "debug", "gc"]),
    ("/debug/pprof/allocs", &["seconds", "ages", "symbolize", "debug", "gc"]),
    ("/debug/pprof/tasks", &["seconds", "debug", "min_age", "state"]),
    ("/debug/pprof/goroutine", &["seconds", "debug", "min_age", "state"]),
    ("/debug/pprof/taskleak", &["debug"]),
    ("/debug/diag/api/v1/memory", &["format"]),
    ("/debug/diag/api/v1/leaks", &["format", "maturity", "watch", "sample_bytes"]),
    ("/debug/diag/api/v1/flamegraph", &["kind", "type", "format", "base", "seconds", "ages", "symbolize"]),
    ("/debug/diag/api/v1/flamegraph?kind=cpu", &["type", "format", "ages", "hz", "mode", "symbolize"]),
    ("/debug/diag/api/v1/flamegraph?kind=tasks", &["type", "format", "ages", "base", "symbolize"]),
    ("/debug/diag/api/v1/flamegraph?kind=block", &["type", "format", "ages", "base", "symbolize"]),
    // What is no number of seconds is 30 here, as with Go.
    ("/debug/pprof/profile", &["hz", "mode", "symbolize", "debug"]),
    ("/debug/pprof/mutex", &["seconds", "symbolize", "debug"]),
    ("/debug/pprof/block", &["seconds", "symbolize", "debug"]),
    // As with Go: what is no positive number of seconds is 1.
    ("/debug/pprof/trace", &["past", "format"]),
    ("/debug/diag/api/v1/triage", &["seconds", "format"]),
    ("/debug/diag/api/v1/history", &["since"]),
    ("/debug/diag/api/v1/view", &["of", "base", "order", "runtime", "frames", "format"]),
    ("/debug/diag/api/v1/health", &["deep"]),
    ("/metrics", &["verdict"]),
    ("/debug/diag/metrics", &["verdict"]),
];

/// Those that take any text: a pattern, and the name of a label.
const ANY_TEXT: &[&str] = &["focus", "group"];

/// As they are in a URL.
const VALUES: &[&str] = &[
    "-1",
    "1.5",
    "1e3",
    "0x10",
    "99999999999999999999999999",
    "NaN",
    "nonsense",
    "%00",
    "%ff%fe",
    "%0d%0aX-Evil:%201",
    "%1b%5b31m",
    "%F0%9F%92%A9",
    "%zz",
    "%",
    "+",
    "'%22%3E%3Cscript%3E",
    "../../etc/passwd",
    "1;2",
    "[]",
];

pub(super) fn every_parameter(addr: SocketAddr) {
    let mut asked = 0;
    for (path, parameters) in PARAMETERS {
        let and = if path.contains('?') { '&' } else { '?' };
        for name in *parameters {
            for value in VALUES {
                refused(addr, "GET", &format!("{path}{and}{name}={value}"));
                asked += 1;
            }
            let long = "9".repeat(20_000);
            refused(addr, "GET", &format!("{path}{and}{name}={long}"));
        }
    }
    for (path, parameters) in [
        ("/debug/diag/api/v1/leaks", "sample_bytes=1"),
        ("/debug/pprof/heap", "seconds=1&debug=1"),
        ("/debug/pprof/heap", "seconds=1&ages=1"),
        ("/debug/pprof/heap", "seconds=0"),
        ("/debug/pprof/heap", "seconds=3601"),
        ("/debug/diag/api/v1/flamegraph", "base=1&ages=1"),
        ("/debug/diag/api/v1/flamegraph", "kind=cpu&base=1"),
        ("/debug/pprof/mutex", "seconds=0"),
        ("/debug/pprof/block", "seconds=1&debug=1"),
        ("/debug/pprof/profile", "seconds=3601"),
        ("/debug/pprof/profile", "seconds=1&hz=0"),
        ("/debug/pprof/trace", "seconds=301"),
        ("/debug/pprof/trace", "past=0"),
        ("/debug/pprof/trace", "past=1&seconds=1"),
    ] {
        refused(addr, "GET", &format!("{path}?{parameters}"));
    }
    for method in ["DELETE", "PUT", "PATCH", "TRACE", "NONSENSE"] {
        for (path, _) in PARAMETERS {
            refused(addr, method, path);
        }
    }
    println!("  {asked} values");
}

fn refused(addr: SocketAddr, method: &str, path_and_query: &str) {
    let answer: Answer = read(ask(addr, &format!("{method} {path_and_query}")));
    let (text, shown) = (answer.text(), &path_and_query[..path_and_query.len().min(100)]);
    assert!((400..500).contains(&answer.status), "{method} {shown}: {} {text}", answer.status);
    assert_eq!(answer.header("x-evil"), "", "{shown}");
    let line = text.strip_suffix('\n').unwrap_or_else(|| panic!("{method} {shown}: {text:?}"));
    assert!(line.len() > 20 && line.len() < 300, "{method} {shown}: {text:?}");
    assert!(!line.contains(char::is_control), "{method} {shown}: {text:?}");
}

/// The names that the sources read are all in the table above, and the other way round.
#[test]
fn the_table_of_parameters_is_complete() {
    let mut read = std::collections::BTreeSet::new();
    let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for call in ["get", "flag", "number", "rate", "seconds"] {
                for of in ["query", "Query::of(&uri)?"] {
                    let call = format!("{of}.{call}(\"");
                    let parts = text.split(&call).skip(1);
                    read.extend(parts.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
                }
            }
        }
    }
    let table: std::collections::BTreeSet<String> =
        PARAMETERS.iter().flat_map(|(_, names)| *names).chain(ANY_TEXT).map(|n| (*n).to_owned()).collect();
    assert_eq!(table, read);
}
