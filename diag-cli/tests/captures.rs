//! `capture`: whole files, names that sort, resumption, restarts, gaps, a target that is busy, Ctrl-C.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::server::{Reply, Request, Server, diag_status, ok, profile, status};
use common::{command, entries, heap, run, wait};
use serde_json::Value;

const STATUS: &str = "/debug/diag/api/v1/status";
const MEMORY: &str = "/debug/diag/api/v1/memory";

fn good() -> Reply {
    profile(&heap(1_795_266_000, &[(&["shop::keep", "main"], 1 << 20, 10)]))
}

/// A service with diag; `process` gives pid and start for the nth request of the heap.
fn service(process: impl Fn(u64) -> (u32, u64) + Send + Sync + 'static) -> Server {
    let heaps = AtomicU64::new(0);
    Server::start(move |r: &Request| match r.path.as_str() {
        STATUS => {
            let (pid, start) = process(heaps.load(Ordering::SeqCst));
            diag_status(pid, start)
        }
        MEMORY => ok("application/json", r#"{"schema":"diag.memory/1","rss_bytes":1}"#),
        _ => {
            heaps.fetch_add(1, Ordering::SeqCst);
            good()
        }
    })
}

fn journal(dir: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join("captures.jsonl")).unwrap();
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn events(dir: &Path, event: &str) -> usize {
    journal(dir).iter().filter(|e| e["event"] == event).count()
}

fn captures(dir: &Path, kind: &str) -> Vec<String> {
    entries(dir).into_iter().filter(|n| n.starts_with(kind)).collect()
}

#[test]
fn one_capture_by_default_of_heap_and_memory() {
    let server = service(|_| (42, 1_795_266_000));
    let dir = tempfile::tempdir().unwrap();
    let run = run(dir.path(), &["capture", &server.host(), "-o", "caps"]);
    run.ok();
    let caps = dir.path().join("caps");
    let (heap, memory) = (captures(&caps, "heap-"), captures(&caps, "memory-"));
    assert_eq!((heap.len(), memory.len()), (1, 1), "{:?}", entries(&caps));
    assert!(heap[0].ends_with("-42.1795266000.pb.gz"), "{heap:?}");
    assert_eq!(run.stdout, format!("caps/{}\ncaps/{}\n", heap[0], memory[0]));
    let bytes = std::fs::read(caps.join(&heap[0])).unwrap();
    let comments = diag::profile::pprof::decode(&bytes).unwrap().meta().comments.clone();
    assert!(comments.iter().any(|c| c == "# diag.process pid=42 started_unix_s=1795266000"), "{comments:?}");
    let asked: Vec<String> = server.requests().iter().map(|r| format!("{}?{}", r.path, r.query)).collect();
    assert!(asked.contains(&"/debug/pprof/heap?symbolize=false&ages=1".to_owned()), "{asked:?}");
}

#[test]
fn a_series_resumes_and_never_overwrites() {
    let server = service(|_| (42, 100));
    let dir = tempfile::tempdir().unwrap();
    let args = ["capture", &server.host(), "--every", "10ms", "--count", "3", "--kind", "heap", "-o", "caps"];
    let caps = dir.path().join("caps");
    run(dir.path(), &args).ok();
    let before = captures(&caps, "heap-");
    assert_eq!(before.len(), 3);
    run(dir.path(), &args).ok();
    let after = captures(&caps, "heap-");
    assert_eq!(after.len(), 6);
    assert_eq!(after[..3], before[..], "new names sort behind old ones");
    assert_eq!((events(&caps, "start"), events(&caps, "capture"), events(&caps, "end")), (2, 6, 2));
    assert!(entries(&caps).iter().all(|n| !n.contains("part")));
}

#[test]
fn a_restart_is_seen_and_kept_apart() {
    let server = service(|n| if n < 3 { (42, 100) } else { (43, 200) });
    let dir = tempfile::tempdir().unwrap();
    let args = [
        "capture",
        &server.host(),
        "--every",
        "10ms",
        "--count",
        "5",
        "--kind",
        "heap",
        "-o",
        "caps",
        "--format",
        "json",
    ];
    let summary = run(dir.path(), &args).json();
    assert_eq!(summary["restarts"], 1);
    let caps = dir.path().join("caps");
    assert_eq!(events(&caps, "restart"), 1);
    let of = |end: &str| captures(&caps, "heap-").iter().filter(|n| n.ends_with(end)).count();
    assert_eq!(of("-42.100.pb.gz") + of("-43.200.pb.gz"), 5);
    assert!(of("-42.100.pb.gz") >= 2 && of("-43.200.pb.gz") >= 2);
}

#[test]
fn an_outage_is_a_gap() {
    let requests = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&requests);
    let server = Server::start(move |r| match (r.path.as_str(), counted.load(Ordering::SeqCst)) {
        (STATUS, _) => diag_status(1, 100),
        (_, n) => {
            counted.fetch_add(1, Ordering::SeqCst);
            match n {
                1 => Reply::Reset(vec![1, 2, 3]),
                2 => status(500, "restarting"),
                _ => good(),
            }
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let args = [
        "capture",
        &server.host(),
        "--every",
        "10ms",
        "--count",
        "3",
        "--kind",
        "heap",
        "-o",
        "caps",
        "--format",
        "json",
    ];
    let summary = run(dir.path(), &args).json();
    assert_eq!(summary["gaps"].as_array().unwrap().len(), 1, "{summary}");
    let caps = dir.path().join("caps");
    assert_eq!((captures(&caps, "heap-").len(), events(&caps, "gap")), (3, 1));
}

#[test]
fn a_refused_token_ends_a_series() {
    let requests = AtomicU64::new(0);
    let server = Server::start(move |r| match r.path.as_str() {
        STATUS => diag_status(1, 100),
        _ if requests.fetch_add(1, Ordering::SeqCst) == 0 => good(),
        _ => status(401, "expired"),
    });
    let dir = tempfile::tempdir().unwrap();
    let args =
        ["capture", &server.host(), "--every", "10ms", "--count", "3", "--kind", "heap", "-o", "caps", "-q"];
    let run = run(dir.path(), &args);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("401"), "{}", run.stderr);
    assert_eq!(captures(&dir.path().join("caps"), "heap-").len(), 1, "what was captured stays");
}

#[test]
fn a_busy_target_is_asked_again_when_it_says() {
    let requests = AtomicU64::new(0);
    let server = Server::start(move |r| match r.path.as_str() {
        STATUS => diag_status(1, 100),
        _ if requests.fetch_add(1, Ordering::SeqCst) == 0 => Reply::Answer {
            status: 503,
            headers: vec!["Retry-After: 1".into(), "Content-Type: text/plain".into()],
            body: b"one at a time".to_vec(),
        },
        _ => good(),
    });
    let dir = tempfile::tempdir().unwrap();
    let started = std::time::Instant::now();
    run(dir.path(), &["capture", &server.host(), "--kind", "heap", "-o", "caps"]).ok();
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(captures(&dir.path().join("caps"), "heap-").len(), 1);
}

#[test]
fn a_foreign_server_is_captured_as_it_is() {
    let foreign = good();
    let Reply::Answer { body, .. } = foreign.clone() else { unreachable!() };
    let server =
        Server::start(move |r| if r.path == "/pprof/heap" { foreign.clone() } else { status(404, "") });
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), &["capture", &server.url("/pprof/heap"), "-o", "caps"]).ok();
    let caps = dir.path().join("caps");
    let heap = captures(&caps, "heap-");
    assert_eq!((heap.len(), captures(&caps, "memory-").len()), (1, 0));
    assert!(heap[0].ends_with("Z.pb.gz"), "{heap:?}");
    assert_eq!(std::fs::read(caps.join(&heap[0])).unwrap(), body);
    run(dir.path(), &["capture", &server.url("/pprof/heap"), "--kind", "memory", "-o", "more"])
        .fails(3, &["404"]);
}

#[test]
fn the_directory_must_be_one() {
    let server = service(|_| (42, 100));
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "x").unwrap();
    run(dir.path(), &["capture", &server.host(), "-o", "file"]).fails(3, &["file"]);
    run(dir.path(), &["capture", &server.host(), "-o", "a/b/c"]).ok();
    assert_eq!(captures(&dir.path().join("a/b/c"), "heap-").len(), 1);
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_cleanly() {
    let server = service(|_| (42, 100));
    let dir = tempfile::tempdir().unwrap();
    let mut capture = command(dir.path());
    capture.args([
        "capture",
        &server.host(),
        "--every",
        "1h",
        "--kind",
        "heap",
        "-o",
        "caps",
        "--format",
        "json",
    ]);
    let mut child = capture.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let caps = dir.path().join("caps");
    let end = std::time::Instant::now() + Duration::from_secs(30);
    while !caps.join("captures.jsonl").exists() || captures(&caps, "heap-").is_empty() {
        assert!(std::time::Instant::now() < end, "no capture");
        std::thread::sleep(Duration::from_millis(5));
    }
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let status = wait(&mut child, Duration::from_secs(20));
    let mut out = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut out).unwrap();
    assert_eq!(status.code(), Some(0));
    let summary: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(summary["interrupted"], true);
    assert_eq!(events(&caps, "end"), 1);
    assert!(entries(&caps).iter().all(|n| !n.contains("part")));
}

/// What a service leaves behind that a rule watched over: listed with reasons, and usable as a directory of captures.
#[test]
fn captures_by_rules_are_listed_with_their_reasons() {
    let dir = tempfile::tempdir().unwrap();
    common::aging::Service::default().write(&dir.path().join("left"));
    let left = dir.path().join("left");
    let stamp = "20261121T131850.000Z-4711-near_limit";
    let heap = common::aging::Service::default().capture(1_130);
    common::save(&left.join(format!("heap-{stamp}.pb.gz")), &heap);
    let event = r#"{"schema":"diag.event/1","rule":"near_limit","why":"181.0 MiB of the memory limit of 200.0 MiB in use (91 %)",
        "problems":["no room for \u001b[31mages"]}"#;
    std::fs::write(left.join(format!("event-{stamp}.json")), event).unwrap();
    // A killed writer's half, and one whose event is cut off.
    std::fs::write(left.join(".heap-20261121T131851.000Z-4711.pb.gz.part"), "x").unwrap();
    std::fs::write(left.join("event-20261121T131852.000Z-4711-usr2.json"), "{").unwrap();

    let text = run(dir.path(), &["captures", "left"]);
    let text = &text.ok().stdout;
    assert!(text.contains("left: 2 by rules, 13 by time"), "{text}");
    assert!(text.contains("near_limit: 181.0 MiB of the memory limit of 200.0 MiB in use (91 %)"), "{text}");
    assert!(text.contains("not done: no room for") && !text.contains('\u{1b}'), "{text}");
    assert!(text.contains("by time, 13 until") && text.contains("next: diag-cli leaks left"), "{text}");
    assert_eq!(text.matches("usr2").count(), 1, "{text}");

    let list = run(dir.path(), &["captures", "left", "--by-rule", "--format", "json"]).json();
    assert_eq!(list["schema"], "diag.capture_list/1");
    let captures = list["captures"].as_array().unwrap();
    assert_eq!(
        (captures.len(), captures[0]["rule"].as_str(), captures[0]["pid"].as_u64()),
        (2, Some("near_limit"), Some(4711))
    );
    assert_eq!(captures[0]["next"], format!("diag-cli top left/heap-{stamp}.pb.gz"));
    // The one by the rule is of the same process as those by time.
    let leaks = run(dir.path(), &["leaks", "left", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&leaks.stdout).unwrap();
    assert!(report["watched_s"].as_f64().unwrap() > 125.0, "{report}");

    std::fs::create_dir(dir.path().join("empty")).unwrap();
    run(dir.path(), &["captures", "empty"]).fails(3, &["DIAG_CAPTURE_DIR"]);
    run(dir.path(), &["captures", "nowhere"]).fails(2, &["not a directory"]);
}
