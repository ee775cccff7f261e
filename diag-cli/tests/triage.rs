//! `triage` on a service, on directories of captures and on files; the judgement itself is tested in diag.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use common::server::{Reply, Server, ok, status};
use common::{Row, heap, run, save};
use diag::memory::triage::{Extras, Survey, Triage, judge};
use serde_json::{Value, json};

const MIB: u64 = 1 << 20;
const TRIAGE: &str = "/debug/diag/api/v1/triage";
const MEMORY: &str = "/debug/diag/api/v1/memory";
const PURGE: &str = "/debug/diag/api/v1/purge";

/// A waterline as a service writes it, in MiB.
fn waterline(at_s: u64, allocated: u64, dirty: u64) -> Value {
    let rss = allocated + 10 + 5 + dirty + 20;
    json!({
        "schema": "diag.memory/1",
        "taken_at_unix_ns": (1_795_266_000 + at_s) * 1_000_000_000,
        "jemalloc": {
            "allocated_bytes": allocated * MIB, "active_bytes": (allocated + 10) * MIB, "metadata_bytes": 5 * MIB,
            "resident_bytes": (allocated + 15 + dirty) * MIB, "mapped_bytes": 900 * MIB, "retained_bytes": 900 * MIB,
            "dirty_bytes": dirty * MIB, "muzzy_bytes": 0, "dirty_decay_ms": 10_000, "muzzy_decay_ms": 0,
            "background_thread": false, "narenas": 4, "arenas": [],
            "bins": [{"size_bytes": 64, "slab_bytes": 12 * MIB, "objects": 32768, "capacity": 196_608}],
        },
        "diag_bytes": 0,
        "process": {
            "rss_bytes": rss * MIB, "anonymous_bytes": (rss - 12) * MIB, "file_bytes": 12 * MIB, "shmem_bytes": 0,
            "anon_huge_bytes": 0, "lazy_free_bytes": 0,
        },
        "cgroup": {"missing": "no cgroup"},
        "machine": {},
    })
}

fn write(dir: &Path, name: &str, waterline: &Value) {
    std::fs::write(dir.join(name), waterline.to_string()).unwrap();
}

fn survey(waterline: Value) -> Survey {
    Survey::of(serde_json::from_value(waterline).unwrap())
}

fn judged(base: Value, new: Value) -> Reply {
    let triage = judge(&survey(base), &survey(new), Extras::default());
    ok("application/json", serde_json::to_vec(&triage).unwrap())
}

#[test]
fn a_service_judges_itself() {
    let server = Server::start(|r| match r.path.as_str() {
        TRIAGE => judged(waterline(0, 100, 5), waterline(1, 150, 5)),
        _ => status(404, ""),
    });
    let dir = tempfile::tempdir().unwrap();
    let text = run(dir.path(), &["triage", &server.host(), "--watch", "1s"]);
    let next = format!("diag-cli leaks http://{}", server.host());
    for says in ["verdict: live_growth (it grows)", "grew by 50.0 MiB", "live heap", "unexplained", &next] {
        assert!(text.ok().stdout.contains(says), "{says}: {}", text.stdout);
    }
    assert_eq!(server.requests()[0].query, "seconds=1");
    let t = run(dir.path(), &["triage", &server.host(), "--watch", "1s", "--format", "json"]).json();
    assert_eq!((t["schema"].as_str(), t["verdict"].as_str()), (Some("diag.triage/1"), Some("live_growth")));
    assert_eq!(t["next"][0], next.as_str());
    let bytes: i64 = t["parts"].as_array().unwrap().iter().map(|p| p["bytes"].as_i64().unwrap()).sum();
    assert_eq!(bytes + t["unexplained_bytes"].as_i64().unwrap(), t["total_bytes"].as_i64().unwrap());
}

#[test]
fn a_purge_is_posted_and_proves_dirty_pages() {
    let idle =
        |rss: u64, dirty: u64| json!({"rss_bytes": rss * MIB, "dirty_bytes": dirty * MIB, "muzzy_bytes": 0});
    let purge =
        json!({"schema": "diag.purge/1", "before": idle(335, 200), "after": idle(140, 0), "took_s": 0.01});
    let server = Server::start(move |r| match r.path.as_str() {
        TRIAGE => judged(waterline(0, 100, 200), waterline(1, 100, 200)),
        PURGE => ok("application/json", purge.to_string()),
        _ => status(404, ""),
    });
    let dir = tempfile::tempdir().unwrap();
    let without = run(dir.path(), &["triage", &server.host()]);
    let next = format!("diag-cli triage http://{} --purge", server.host());
    assert!(
        without.ok().stdout.contains("dirty_pages (it is large") && without.stdout.contains(&next),
        "{}",
        without.stdout
    );
    assert_eq!(server.requests().len(), 1, "nothing is changed unasked");
    let with = run(dir.path(), &["triage", &server.host(), "--purge"]);
    assert!(
        with.ok().stdout.contains("proven: the purge took 10 ms and returned 195.0 MiB"),
        "{}",
        with.stdout
    );
    assert!(!with.stdout.contains("--purge"), "it was done: {}", with.stdout);
    assert_eq!(server.requests().last().unwrap().path, PURGE);
}

#[test]
fn an_older_service_is_judged_from_outside() {
    let asked = AtomicU64::new(0);
    let server = Server::start(move |r| match r.path.as_str() {
        MEMORY => {
            let n = asked.fetch_add(1, Ordering::SeqCst);
            ok("application/json", waterline(n, 100 + 40 * n, 5).to_string())
        }
        _ => status(404, ""),
    });
    let dir = tempfile::tempdir().unwrap();
    let text = run(dir.path(), &["triage", &server.host(), "--watch", "1s"]);
    for says in ["verdict: live_growth", "older diag", "not told apart"] {
        assert!(text.ok().stdout.contains(says), "{says}: {}", text.stdout);
    }
    let none = Server::always(status(404, ""));
    run(dir.path(), &["triage", &none.host(), "--watch", "1s"]).fails(3, &["404", "router"]);
    let page = Server::always(ok("text/html", "<html>"));
    run(dir.path(), &["triage", &page.host(), "--watch", "1s"]).fails(3, &["not what diag writes"]);
}

#[test]
fn a_directory_is_judged_first_against_last_of_one_process() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "memory-20261121T130000.000Z-9.1.json", &waterline(0, 900, 5));
    write(dir.path(), "memory-20261121T130010.000Z-4711.1795266000.json", &waterline(10, 100, 5));
    write(dir.path(), "memory-20261121T130020.000Z-4711.1795266000.json", &waterline(20, 90, 5));
    write(dir.path(), "memory-20261121T130110.000Z-4711.1795266000.json", &waterline(70, 160, 5));
    let rows: &[Row<'_>] = &[(&["shop::keep", "main"], 158 << 20, 40_000)];
    save(&dir.path().join("heap-20261121T130110.001Z-4711.1795266000.pb.gz"), &heap(1_795_266_070, rows));
    let text = run(dir.path(), &["triage", "."]);
    for says in [
        "live_growth",
        "60.0 MiB in 60 s",
        "agrees with jemalloc",
        "1 memory captures of earlier",
        "diag-cli leaks .",
    ] {
        assert!(text.ok().stdout.contains(says), "{says}: {}", text.stdout);
    }
    let t: Triage =
        serde_json::from_str(&run(dir.path(), &["triage", ".", "--format", "json"]).ok().stdout).unwrap();
    assert_eq!((t.pid, t.sampled_agrees), (Some(4711), Some(true)));
    assert_eq!(t.size_classes[0].size_bytes, 64);
}

#[test]
fn two_files_and_what_cannot_be_compared() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a.json", &waterline(0, 100, 5));
    write(dir.path(), "b.json", &waterline(60, 100, 65));
    let text = run(dir.path(), &["triage", "a.json", "b.json"]);
    assert!(text.ok().stdout.contains("verdict: dirty_pages (it grows)"), "{}", text.stdout);
    let turned = run(dir.path(), &["triage", "b.json", "a.json"]);
    assert!(
        turned.ok().stdout.contains("not_enough_evidence") && turned.stdout.contains("older one first"),
        "{}",
        turned.stdout
    );

    write(dir.path(), "memory-20261121T130010.000Z-1.10.json", &waterline(0, 1, 1));
    write(dir.path(), "memory-20261121T130020.000Z-2.10.json", &waterline(9, 1, 1));
    std::fs::write(dir.path().join("broken.json"), "{}").unwrap();
    let fails = |args: &[&str], code: i32, says: &[&str]| {
        let line: Vec<&str> = ["triage"].iter().chain(args).copied().collect();
        run(dir.path(), &line).fails(code, says);
    };
    let (one, two) = ("memory-20261121T130010.000Z-1.10.json", "memory-20261121T130020.000Z-2.10.json");
    fails(&[one, two], 2, &["different processes"]);
    fails(&["a.json"], 2, &["a.json", "two memory captures"]);
    fails(&["a.json", "broken.json"], 3, &["broken.json", "memory-*.json"]);
    fails(&["a.json", "."], 2, &["one kind"]);
    fails(&["."], 3, &["1 memory captures of the last process", "diag-cli capture"]);
    fails(&[".", "--purge"], 2, &["--purge", "live process"]);
    fails(&["127.0.0.1:1", "--watch", "2h"], 2, &["--watch"]);
    fails(&["127.0.0.1:1"], 3, &["refused"]);
    fails(&["absent"], 3, &["absent"]);
}
