//! What people do with `go tool pprof`, done by the real one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "part of tests")]

mod common;

use common::{RETAINED_BYTES, get_ok, has_client, retain, run, server, turn};

/// Runs pprof on arguments that must work; gives the lines of its report.
fn pprof(arguments: &[&str]) -> String {
    let scratch = tempfile::tempdir().unwrap();
    let all: Vec<&str> = ["tool", "pprof"].iter().chain(arguments).copied().collect();
    let (fine, text) = run("go", &all, scratch.path());
    assert!(fine, "{arguments:?}: {text}");
    text
}

fn url(path: &str) -> String {
    format!("http://{}{path}", server())
}

/// The MB that a line of `-top` says in its column `cum`.
fn cum_mb(report: &str, function: &str) -> f64 {
    let line =
        report.lines().find(|l| l.contains(function)).unwrap_or_else(|| panic!("no {function} in\n{report}"));
    let cum = line.split_ascii_whitespace().nth(3).unwrap();
    let number: f64 = cum.trim_end_matches(|c: char| c.is_ascii_alphabetic()).parse().unwrap();
    match cum.trim_start_matches(|c: char| !c.is_ascii_alphabetic()) {
        "kB" => number / 1024.0,
        "MB" => number,
        "GB" => number * 1024.0,
        other => panic!("unit {other} in {line}"),
    }
}

const KEEP: &str = "<go_pprof::common::Ledger as go_pprof::common::Store>::keep";

#[test]
fn top_names_the_retaining_code() {
    if !has_client("go", "version") {
        return;
    }
    let report = pprof(&["-top", "-cum", &url("/debug/pprof/heap")]);
    assert!(report.contains("Type: inuse_space"), "{report}");
    assert!(report.contains("Showing nodes"), "{report}");
    let expected = RETAINED_BYTES as f64 / f64::from(1 << 20);
    assert!(cum_mb(&report, KEEP) >= expected * 0.9, "{report}");
    assert!(report.contains("make_piece (inline)"), "inlined frames are expanded\n{report}");
    for allocator in ["rust_alloc", "mallocx", "GlobalAlloc", "prof_backtrace"] {
        assert!(
            !report.contains(allocator),
            "the allocator's own frames are stripped: {allocator}\n{report}"
        );
    }
    let objects = pprof(&["-top", "-cum", "-sample_index=inuse_objects", &url("/debug/pprof/heap")]);
    assert!(objects.contains("Type: inuse_objects") && objects.contains(KEEP), "{objects}");
    let allocs = pprof(&["-top", "-cum", &url("/debug/pprof/allocs")]);
    assert!(allocs.contains("Type: alloc_space") && allocs.contains(KEEP), "{allocs}");
}

#[test]
fn base_seconds_and_tags() {
    if !has_client("go", "version") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let save = |name: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, get_ok(server(), "/debug/pprof/heap").body).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let base = save("base.pb.gz");
    retain(8 << 20);
    let new = save("new.pb.gz");
    for how in ["-diff_base", "-base"] {
        let report = pprof(&["-top", "-cum", how, &base, &new]);
        let grown = cum_mb(&report, KEEP);
        assert!((7.0..9.5).contains(&grown), "{how}: {grown} of 8\n{report}");
    }
    {
        let _turn = turn();
        let report = pprof(&["-top", "-seconds=1", &url("/debug/pprof/heap")]);
        assert!(report.contains("Duration: "), "{report}");
    }
    let tags = pprof(&["-tags", &url("/debug/pprof/heap?ages=1")]);
    assert!(tags.contains("age: Total") && tags.contains("thread: Total"), "{tags}");
    let by_age = pprof(&["-top", "-tagroot=age", &url("/debug/pprof/heap?ages=1")]);
    assert!(by_age.contains("Type: inuse_space"), "{by_age}");
}

#[test]
fn errors_are_shown_as_text() {
    if !has_client("go", "version") {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let (fine, text) =
        run("go", &["tool", "pprof", "-top", &url("/debug/pprof/threadcreate")], scratch.path());
    assert!(!fine && text.contains("there is no profile of thread creation"), "{text}");
    let (fine, text) =
        run("go", &["tool", "pprof", "-top", &url("/debug/pprof/heap?debug=1&seconds=1")], scratch.path());
    assert!(!fine && text.contains("seconds and debug do not go together"), "{text}");
}

#[test]
fn addresses_are_named_by_symbolz() {
    if !has_client("go", "version") {
        return;
    }
    let report = pprof(&["-symbolize=remote", "-top", "-cum", &url("/debug/pprof/heap?symbolize=false")]);
    assert!(report.contains(KEEP), "{report}");
}

#[test]
fn promtool_accepts_the_metrics() {
    if !has_client("promtool", "--version") {
        return;
    }
    let metrics = get_ok(server(), "/metrics");
    assert_eq!(metrics.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("metrics");
    std::fs::write(&file, &metrics.body).unwrap();
    let script = format!("promtool check metrics < {}", file.display());
    let (fine, text) = run("sh", &["-c", &script], dir.path());
    assert!(fine && text.is_empty(), "promtool: {text}\n{}", metrics.text());
}

#[test]
fn the_text_listing_is_a_profile_too() {
    if !has_client("go", "version") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("heap.txt");
    std::fs::write(&path, get_ok(server(), "/debug/pprof/heap?debug=1").body).unwrap();
    let report = pprof(&["-symbolize=none", "-sample_index=inuse_space", "-top", path.to_str().unwrap()]);
    let total = report.lines().find(|l| l.contains("% of ")).unwrap_or_else(|| panic!("{report}"));
    let of: f64 =
        total.split(" of ").nth(1).and_then(|t| t.split("MB").next()).unwrap().trim().parse().unwrap();
    assert!(of >= RETAINED_BYTES as f64 / f64::from(1 << 20) * 0.9, "{report}");
}
