//! `doctor` on live targets: each fault is found and comes with a next step.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use common::server::{Reply, Server, diag_status, ok, profile, status};
use common::{Row, heap, run};
use serde_json::Value;

const STATUS: &str = "/debug/diag/api/v1/status";

fn now_unix_s() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64
}

fn target(status: Reply, heap: Reply) -> Server {
    Server::start(move |r| if r.path == STATUS { status.clone() } else { heap.clone() })
}

/// Exit code and the findings as `severity part: what -> next`.
fn examine(server: &Server) -> (i32, Vec<String>) {
    examine_within(server, "30s")
}

fn examine_within(server: &Server, timeout: &str) -> (i32, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let run = run(dir.path(), &["doctor", &server.host(), "--format", "json", "--timeout", timeout]);
    let document: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {}", run.stdout));
    assert_eq!(document["schema"], "diag.doctor/1");
    let text = |f: &Value, k: &str| f[k].as_str().unwrap().to_owned();
    let findings = document["findings"].as_array().unwrap().iter();
    let line = |f: &Value| {
        format!("{} {}: {} -> {}", text(f, "severity"), text(f, "part"), text(f, "what"), text(f, "next"))
    };
    (run.code, findings.map(line).collect())
}

#[track_caller]
fn has(findings: &[String], start: &str, words: &[&str]) {
    let found = findings.iter().any(|f| f.starts_with(start) && words.iter().all(|w| f.contains(w)));
    assert!(found, "no {start} with {words:?} in {findings:#?}");
}

fn healthy() -> Reply {
    let rows: &[Row<'_>] = &[(&["shop::keep", "main"], 1 << 30, 2000)];
    profile(&heap(now_unix_s(), rows))
}

#[test]
fn a_healthy_service() {
    let (code, findings) = examine(&target(diag_status(999_999_999, 100), healthy()));
    assert_eq!(code, 0);
    has(&findings, "ok reach", &["service orders", "pid 999999999"]);
    has(&findings, "ok heap", &["the collector holds"]);
    has(&findings, "ok sampling", &["1.0 GiB", "512 KiB"]);
    has(&findings, "ok symbols", &["have names"]);
    assert!(findings.iter().all(|f| f.starts_with("ok ")), "{findings:#?}");
}

#[test]
fn out_of_reach() {
    let (code, findings) = examine_within(&target(Reply::Hang, Reply::Hang), "300ms");
    assert_eq!((code, findings.len()), (3, 1));
    has(&findings, "error reach", &["no answer in time", "-> "]);
    let (code, findings) = examine(&target(status(401, "token"), status(401, "token")));
    assert_eq!((code, findings.len()), (3, 1));
    has(&findings, "error reach", &["401", "DIAG_TOKEN"]);
}

#[test]
fn no_collector_and_what_the_service_says_itself() {
    let document = r#"{"schema":"diag.status/1","version":"0.0.1","pid":1,"started_unix_s":1.0,"heap":null,
        "problems":[{"part":"heap","what":"the global allocator is not jemalloc","next":"add it"}]}"#;
    let server = target(ok("application/json", document), status(503, "heap profiling is not available"));
    let (code, findings) = examine(&server);
    assert_eq!(code, 3);
    has(&findings, "warning heap", &["not jemalloc", "-> add it"]);
    has(&findings, "error heap", &["does not run", "global_allocator"]);
    has(&findings, "error heap", &["503"]);
    has(&findings, "info version", &["0.0.1"]);
}

#[test]
fn a_collector_in_trouble() {
    let document = r#"{"schema":"diag.status/1","pid":1,"started_unix_s":1.0,"problems":[],"heap":{
        "source":"prof_dump","active":false,"memory_bytes":95,"memory_limit_bytes":100,"losses":{"live_table_full":7,"none":0}}}"#;
    let old = profile(&heap(now_unix_s() - 3600, &[(&["shop::keep", "main"], 1 << 30, 2000)]));
    let (code, findings) = examine(&target(ok("application/json", document), old));
    assert_eq!(code, 0);
    has(&findings, "warning heap", &["switched off"]);
    has(&findings, "info heap", &["dumps"]);
    has(&findings, "warning heap", &["95 B of its 100 B"]);
    has(&findings, "warning losses", &["7 to live_table_full"]);
    has(&findings, "warning clock", &["-1.0 h"]);
}

#[test]
fn too_few_samples_and_none() {
    let few = profile(&heap(now_unix_s(), &[(&["shop::keep", "main"], 4 << 20, 1000)]));
    let (code, findings) = examine(&target(diag_status(1, 1), few));
    assert_eq!(code, 0);
    // 4 MiB in 1000 objects at 512 KiB are 8 samples; 2000 samples want one every 2 KiB, and 4 KiB is the least advised.
    has(&findings, "warning sampling", &["8 samples", "DIAG_SAMPLE_BYTES=4096"]);
    let (code, findings) = examine(&target(diag_status(1, 1), profile(&heap(now_unix_s(), &[]))));
    assert_eq!(code, 3);
    has(&findings, "error samples", &["no samples"]);
}

#[test]
fn a_foreign_server_and_an_unknown_program() {
    let bare = profile(&common::unnamed("/opt/no/such/service"));
    let (code, findings) = examine(&target(status(404, ""), bare));
    assert_eq!(code, 0);
    has(&findings, "info reach", &["without diag"]);
    has(
        &findings,
        "warning symbols",
        &["/opt/no/such/service", "ffeeddccbbaa99887766554433221100ffeeddcc", "--symbol-path"],
    );
    let page = ok("text/html", "<!doctype html><title>Login</title>");
    let (code, findings) = examine(&target(page.clone(), page));
    assert_eq!(code, 3);
    has(&findings, "error heap", &["HTML"]);
}
