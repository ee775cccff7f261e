//! Mutex and block profiles over a real socket, read by the real client.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "part of tests")]

mod common;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use common::{get, get_ok, has_client, run, server, turn};
use diag::profile::{Profile, pprof};
use diag::sync;

const HELD: Duration = Duration::from_millis(20);
const MUTEX: &str = "/debug/pprof/mutex";
const BLOCK: &str = "/debug/pprof/block";

/// The switches are the process's.
struct Switched(#[allow(dead_code, reason = "held")] MutexGuard<'static, ()>);

impl Switched {
    fn on() -> Self {
        static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let turn = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        sync::set_mutex_profile_fraction(1);
        sync::set_block_profile_rate(1);
        Self(turn)
    }
}

impl Drop for Switched {
    fn drop(&mut self) {
        sync::set_mutex_profile_fraction(0);
        sync::set_block_profile_rate(0);
    }
}

/// Called through a table of methods, so that nothing is inlined away.
trait Ledger: Sync {
    fn book_slowly(&self, arrived: &AtomicU32);
    fn book_later(&self, arrived: &AtomicU32);
}

struct Books(sync::parking_lot::Mutex<u64>);

impl Ledger for Books {
    #[inline(never)]
    fn book_slowly(&self, arrived: &AtomicU32) {
        let mut books = self.0.lock();
        arrived.fetch_add(1, Ordering::SeqCst);
        while arrived.load(Ordering::SeqCst) < 2 {
            thread::yield_now();
        }
        thread::sleep(HELD);
        *books += 1;
    }

    #[inline(never)]
    fn book_later(&self, arrived: &AtomicU32) {
        while arrived.load(Ordering::SeqCst) < 1 {
            thread::yield_now();
        }
        arrived.fetch_add(1, Ordering::SeqCst);
        *self.0.lock() += 1;
    }
}

const SLOWLY: &str = "<contention::Books as contention::Ledger>::book_slowly";
const LATER: &str = "<contention::Books as contention::Ledger>::book_later";

/// One makes another wait.
fn contend() {
    let books = Books(sync::parking_lot::Mutex::new(0));
    let books: &dyn Ledger = std::hint::black_box(&books);
    let arrived = AtomicU32::new(0);
    thread::scope(|s| {
        s.spawn(|| books.book_slowly(&arrived));
        books.book_later(&arrived);
    });
}

/// Delay at the function that the user wrote.
fn delay(profile: &Profile, leaf: &str) -> i64 {
    let is = |stack| {
        let line = profile.stack(stack).first().and_then(|&l| profile.location(l).lines.first());
        line.is_some_and(|line| profile.str(profile.function(line.function).name) == leaf)
    };
    profile.samples().filter(|s| is(s.stack)).map(|s| s.values[1]).sum()
}

#[test]
fn off_they_are_empty_and_say_how_to_switch_them_on() {
    let switched = Switched::on();
    sync::set_mutex_profile_fraction(0);
    sync::set_block_profile_rate(0);
    for (path, variable) in [(MUTEX, "DIAG_MUTEX_FRACTION=10"), (BLOCK, "DIAG_BLOCK_RATE_NS=1000000")] {
        let profile = pprof::decode(&get_ok(server(), path).body).unwrap();
        let comments = profile.meta().comments.join("\n");
        assert!(comments.contains("_profile=off") && comments.contains(variable), "{comments}");
        assert!(profile.meta().period.is_none());
        let text = get_ok(server(), &format!("{path}?debug=1")).text();
        assert!(text.starts_with("--- ") && text.contains(variable), "{text}");
    }
    drop(switched);
}

#[test]
fn both_profiles_name_the_code_as_bytes_and_as_text() {
    let _switched = Switched::on();
    contend();
    for (path, name, leaf, first) in
        [(MUTEX, "mutex", SLOWLY, "--- mutex:\n"), (BLOCK, "block", LATER, "--- contention:\n")]
    {
        let answer = get_ok(server(), path);
        assert_eq!(answer.header("content-type"), "application/octet-stream");
        assert_eq!(answer.header("content-disposition"), format!("attachment; filename=\"{name}\""));
        let profile = pprof::decode(&answer.body).unwrap();
        let types: Vec<String> =
            profile.sample_types().iter().map(|t| format!("{}/{}", t.kind, t.unit)).collect();
        assert_eq!(types, ["contentions/count", "delay/nanoseconds"]);
        assert_eq!(profile.default_sample_type(), 1);
        assert!(delay(&profile, leaf) >= HELD.as_nanos() as i64 / 2, "{path}");
        let text = get_ok(server(), &format!("{path}?debug=1")).text();
        assert!(text.starts_with(&format!("{first}cycles/second=1000000000\nsampling period=1\n")), "{text}");
        assert!(text.contains(leaf), "{text}");
        let drawn =
            get_ok(server(), &format!("/debug/diag/api/v1/flamegraph?kind={name}&type=contentions")).text();
        assert!(drawn.contains("contention::Books") && drawn.contains("contentions"), "{name}");
        let bare = pprof::decode(&get_ok(server(), &format!("{path}?symbolize=false")).body).unwrap();
        assert_eq!(bare.functions().len(), 0);
    }
    let status: serde_json::Value =
        serde_json::from_slice(&get_ok(server(), "/debug/diag/api/v1/status").body).unwrap();
    assert_eq!(status["sync"]["mutex_profile_fraction"], 1);
    assert_eq!(status["sync"]["block_profile_rate_ns"], 1);
    assert!(status["sync"]["memory_bytes"].as_u64().unwrap() > 0, "{status}");
    let metrics = get_ok(server(), "/metrics").text();
    assert!(metrics.contains("diag_mutex_profile_fraction 1\n"), "{metrics}");
    assert!(metrics.contains("diag_sync_samples_total{profile=\"mutex\"}"), "{metrics}");
}

#[test]
fn seconds_give_what_came_within_them() {
    let _switched = Switched::on();
    let _turn = turn();
    contend();
    let stop = AtomicBool::new(false);
    thread::scope(|s| {
        s.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                contend();
            }
        });
        let from = Instant::now();
        let profile = pprof::decode(&get_ok(server(), &format!("{MUTEX}?seconds=1")).body).unwrap();
        let most = from.elapsed().as_nanos() as i64;
        stop.store(true, Ordering::Relaxed);
        let charged = delay(&profile, SLOWLY);
        assert!(charged > 0 && charged <= most, "{charged} ns in {most}");
        assert!(profile.meta().duration_ns.is_some_and(|ns| ns >= 900_000_000));
    });
    let quiet = pprof::decode(&get_ok(server(), &format!("{BLOCK}?seconds=1")).body).unwrap();
    assert_eq!(quiet.sample_count(), 0);
    let refused = get(server(), &format!("{MUTEX}?seconds=1&debug=1"));
    assert_eq!(refused.status, 400);
}

#[test]
fn go_pprof_reads_them() {
    if !has_client("go", "version") {
        return;
    }
    let _switched = Switched::on();
    contend();
    let dir = tempfile::tempdir().unwrap();
    let go = |arguments: &[&str]| {
        let all: Vec<&str> = ["tool", "pprof"].iter().chain(arguments).copied().collect();
        let (fine, text) = run("go", &all, dir.path());
        assert!(fine, "{arguments:?}: {text}");
        text
    };
    for (path, leaf) in [(MUTEX, SLOWLY), (BLOCK, LATER)] {
        let url = format!("http://{}{path}", server());
        let report = go(&["-top", &url]);
        assert!(report.contains("Type: delay") && report.contains(leaf), "{report}");
        // Behind the numbers; the comments name the locks.
        let rows = report.split("flat%").nth(1).unwrap();
        assert!(!rows.contains("lock_api") && !rows.contains("diag::s"), "{report}");
        let counts = go(&["-top", "-sample_index=contentions", &url]);
        assert!(counts.contains("Type: contentions") && counts.contains(leaf), "{counts}");
        // The text is a profile too.
        let file = dir.path().join("text");
        std::fs::write(&file, get_ok(server(), &format!("{path}?debug=1")).body).unwrap();
        let text = go(&["-symbolize=none", "-top", file.to_str().unwrap()]);
        assert!(text.contains("Type: delay"), "{text}");
    }
    sync::set_mutex_profile_fraction(0);
    sync::set_block_profile_rate(0);
    for path in [MUTEX, BLOCK] {
        let report = go(&["-top", &format!("http://{}{path}?seconds=1", server())]);
        assert!(report.contains("Type: delay"), "empty, and no error: {report}");
    }
}
