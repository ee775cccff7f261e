//! `watch --once` on small servers, and what the command refuses. The view itself is tested in the library, event by event.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use common::server::{Reply, Request, Server, diag_status, ok, profile, status};
use common::{heap, of_time, run};
use serde_json::json;

const MIB: i64 = 1 << 20;

fn now_s() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// A service with a name that a terminal would obey.
fn service(r: &Request, heaps: &AtomicU64) -> Reply {
    match r.path.as_str() {
        "/debug/diag/api/v1/status" => diag_status(7, 1_795_266_000),
        "/debug/diag/api/v1/history" => {
            let now_ms = now_s() * 1000;
            let column = |from: i64| (0..24).map(|n| from + n * MIB).collect::<Vec<_>>();
            let document = json!({
                "schema": "diag.history/1", "every_s": 5.0, "keeps_s": 3600.0, "memory_bytes": 1, "missing": {},
                "taken_unix_ms": (0..24).map(|n| now_ms - (24 - n) * 5_000).collect::<Vec<_>>(),
                "columns": {
                    "allocated_bytes": column(20 * MIB), "rss_bytes": column(60 * MIB), "cgroup_limit_bytes": [],
                    "cpu_ns": (0..24).map(|n| n * 1_500_000_000_i64).collect::<Vec<_>>(),
                },
            });
            ok("application/json", document.to_string())
        }
        "/debug/diag/api/v1/tasks" => ok(
            "application/json",
            r#"{"schema":"diag.tasks/1","totals":{"live":12},"sites":[{"site":"src/feed.rs:41:9","future":"feed::push\u001b[31m_prices",
               "live":12,"verdict":"stuck","reason":"nobody can wake it"}]}"#,
        ),
        "/debug/pprof/heap" => {
            let n = i64::try_from(heaps.fetch_add(1, Ordering::SeqCst)).unwrap();
            let bytes = (4 + 3 * n) * MIB;
            let hostile = "shop::keep\u{1b}]0;owned\u{7}";
            let rows: [common::Row<'_>; 2] =
                [(&[hostile, "main"], bytes, 5), (&["shop::load", "main"], 30 * MIB, 9)];
            profile(&heap(now_s() + n, &rows))
        }
        "/debug/diag/api/v1/leaks" => {
            let mut report = diag::leak::Report::default();
            report.schema = "diag.leaks/1".into();
            ok("application/json", serde_json::to_vec(&report).unwrap())
        }
        _ => status(404, ""),
    }
}

fn start() -> Server {
    let heaps = AtomicU64::new(0);
    Server::start(move |r| service(r, &heaps))
}

#[test]
fn one_frame_as_text() {
    let server = start();
    let dir = tempfile::tempdir().unwrap();
    let out = run(dir.path(), &["watch", &server.host(), "--once", "--width", "100", "--height", "40"]);
    let text = &out.ok().stdout;
    assert_eq!(text.lines().count(), 40, "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    for says in [
        "orders  http://127.0.0.1:",
        "pid 7",
        "allocated 43.0 MiB",
        "resident 83.0 MiB",
        "no limit",
        "CPU 30 %",
        "shop::keep·]0;owned·",
        "no growth before the next profile",
        "stuck",
        "feed::push·[31m_prices",
        "not enough evidence",
        "one at a time: heap each 10 s (",
    ] {
        assert!(text.contains(says), "{says}:\n{text}");
    }
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    // No question twice, and the CPU profile is not asked for unasked.
    let asked: Vec<String> = server.requests().iter().map(|r| r.path.clone()).collect();
    assert_eq!(asked.iter().filter(|p| *p == "/debug/pprof/heap").count(), 1, "{asked:?}");
    assert!(!asked.iter().any(|p| p == "/debug/pprof/profile"), "{asked:?}");
}

#[test]
fn growth_shows_after_a_while() {
    let server = start();
    let dir = tempfile::tempdir().unwrap();
    let out = run(dir.path(), &["watch", &server.host(), "--once", "--after", "100ms"]);
    let text = &out.ok().stdout;
    let row = text.lines().find(|line| line.contains("shop::keep")).unwrap_or_else(|| panic!("{text}"));
    assert!(row.contains("+3.0 MiB") && row.contains("7.0 MiB"), "{row}");
}

#[test]
fn every_size_is_a_frame() {
    let server = start();
    let dir = tempfile::tempdir().unwrap();
    for (width, height) in [("1", "1"), ("20", "5"), ("300", "100")] {
        let out = run(dir.path(), &["watch", &server.host(), "--once", "--width", width, "--height", height]);
        assert_eq!(out.ok().stdout.lines().count().to_string(), height);
    }
    run(dir.path(), &["watch", &server.host(), "--once", "--width", "0"]).fails(2, &["--width"]);
    run(dir.path(), &["watch", &server.host(), "--once", "--height", "9999"]).fails(2, &["--height"]);
}

#[test]
fn a_service_without_most_of_it_is_still_shown() {
    let server = Server::start(|r| match r.path.as_str() {
        "/debug/diag/api/v1/status" => diag_status(7, 1),
        "/debug/diag/api/v1/tasks" => status(501, "tasks are not compiled in"),
        "/debug/diag/api/v1/history" => ok("application/json", "[1,"),
        "/debug/pprof/heap" => profile(&of_time("cpu", 1, &[(&["a"], 5, 5)])),
        _ => status(404, ""),
    });
    let dir = tempfile::tempdir().unwrap();
    let out = run(dir.path(), &["watch", &server.host(), "--once"]);
    for says in
        ["tasks: not in this build", "waterline: not JSON", "not of a heap", "leaks: not in this build"]
    {
        assert!(out.ok().stdout.contains(says), "{says}:\n{}", out.stdout);
    }
}

#[test]
fn what_cannot_be_watched_is_said_before_the_screen_is_taken() {
    let server = start();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    run(dir, &["watch", &server.host()]).fails(2, &["not a terminal", "--once"]);
    run(dir, &["watch", "127.0.0.1:1", "--once"]).fails(3, &["refused"]);
    run(dir, &["watch", &server.url("/debug/pprof/heap"), "--once"]).fails(2, &["names a path"]);
    run(dir, &["watch", ".", "--once"]).fails(2, &["no live service"]);
    run(dir, &["watch", &server.host(), "--once", "-o", "missing"]).fails(2, &["missing is no directory"]);
    run(dir, &["watch", &server.host(), "--once", "--every", "10ms"]).fails(2, &["1s"]);
    run(dir, &["watch", &server.host(), "--after", "1s"]).fails(2, &["--once"]);
    let other = Server::always(status(404, "no"));
    run(dir, &["watch", &other.host(), "--once"]).fails(3, &["not a service with diag in it"]);
    let locked = Server::always(status(401, "token"));
    run(dir, &["watch", &locked.host(), "--once"]).fails(3, &["--token-file"]);
}
