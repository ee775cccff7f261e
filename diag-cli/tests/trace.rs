//! `trace` against a server that answers what it is told to.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use common::run;
use common::server::{Server, ok, profile, status};
use diag::profile::{Function, Line, ProfileBuilder, ValueType};

const CHROME: &str = "{\"displayTimeUnit\":\"ns\",\"otherData\":{},\"traceEvents\":[]}";

#[test]
fn a_trace_is_written_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::always(ok("application/json", CHROME));
    run(dir.path(), &["trace", &server.host(), "--past"]).ok();
    assert_eq!(std::fs::read_to_string(dir.path().join("trace.json")).unwrap(), CHROME);
    run(dir.path(), &["trace", &server.host(), "--seconds", "0.2", "-o", "x.json", "--quiet"]).ok();
    let asked: Vec<_> = server.requests().iter().map(|r| format!("{}?{}", r.path, r.query)).collect();
    let of = "/debug/pprof/trace";
    assert_eq!(asked, [format!("{of}?past=all&format=chrome"), format!("{of}?seconds=0.2&format=chrome")]);
    // On stdout.
    let printed = run(dir.path(), &["trace", &server.host(), "--past", "10s", "-o", "-"]);
    assert_eq!(printed.ok().stdout, CHROME);

    let go = Server::always(ok("application/octet-stream", b"go 1.25 trace\0\0\0".to_vec()));
    run(dir.path(), &["trace", &go.host(), "-o", "go.json", "--past"]).fails(3, &["no trace of diag"]);
    let none = Server::always(status(501, "no flight recorder is installed in this process; add a layer"));
    run(dir.path(), &["trace", &none.host(), "-o", "none.json"])
        .fails(3, &["no flight recorder", "built or set up"]);
    run(dir.path(), &["trace", "x.json"]).fails(2, &["no live process"]);
    run(dir.path(), &["trace", &server.host(), "--past", "--seconds", "1"])
        .fails(2, &["cannot be used with"]);
    run(dir.path(), &["trace", &server.host(), "--seconds", "10m"]).fails(2, &["longer than 5m"]);
    for absent in ["go.json", "none.json"] {
        assert!(!dir.path().join(absent).exists(), "{absent}");
    }
}

#[test]
fn the_time_of_spans_is_drawn() {
    let mut b =
        ProfileBuilder::new(vec![ValueType::new("entered", "count"), ValueType::new("span", "nanoseconds")]);
    let (name, none) = (b.str("shop::orders::place_order"), b.str(""));
    let function = b.function(Function { name, system_name: none, file: none, start_line: 0 });
    let location = b.location(None, 0, &[Line { function, line: 0 }]);
    let (stack, labels) = (b.stack(&[location]), b.labels(&[]));
    b.sample(stack, labels, &[3, 5_000_000]);
    let spans = b.finish().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(move |request| {
        assert!(request.query.contains("format=pprof"), "{}", request.query);
        profile(&spans)
    });
    run(dir.path(), &["trace", &server.host(), "--past", "--format", "svg"]).ok();
    let svg = std::fs::read_to_string(dir.path().join("trace.svg")).unwrap();
    roxmltree::Document::parse(&svg).unwrap();
    assert!(svg.contains("place_order"), "the span is drawn");
}
