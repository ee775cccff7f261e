//! `leaks`: the verdict on captures with ages, on captures without, on a live service, and what it says when it cannot tell.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::path::Path;

use common::server::{Server, diag_status, ok, status};
use common::{heap, run, save};
use diag::profile::cohorts::{STARTED_COMMENT, TAKEN_COMMENT};
use diag::profile::{Function, Label, LabelValue, Line, Period, Profile, ProfileBuilder, StrId, ValueType};

const S: i64 = 1_000_000_000;
const STARTED: i64 = 1_795_266_000 * S;
const PERIOD: i64 = 65_536;
const TYPES: [(&str, &str); 4] = [
    ("alloc_objects", "count"),
    ("alloc_space", "bytes"),
    ("inuse_objects", "count"),
    ("inuse_space", "bytes"),
];

/// What one stack has at a time: births (seconds after the start) of what is alive, and how many were born so far.
struct Stack {
    name: &'static str,
    alive: Vec<i64>,
    born: i64,
}

/// A capture with ages, as a service with diag in it writes it.
fn capture(started_ns: i64, at_s: i64, stacks: &[Stack]) -> Profile {
    let mut b = ProfileBuilder::new(TYPES.map(|(k, u)| ValueType::new(k, u)).to_vec());
    let meta = b.meta_mut();
    meta.default_sample_type = Some(3);
    meta.period = Some(Period { value_type: ValueType::new("space", "bytes"), value: PERIOD });
    // The wall clock went back by an hour in the middle; what counts is the process's own.
    let wall_s = if at_s > 50 { at_s - 3600 } else { at_s };
    meta.time_unix_ns = Some(started_ns + wall_s * S);
    meta.comments =
        vec![format!("{STARTED_COMMENT}{started_ns}"), format!("{TAKEN_COMMENT}{}", started_ns + at_s * S)];
    let (bytes, born_at, nanoseconds) = (b.str("bytes"), b.str("born_at"), b.str("nanoseconds"));
    for stack in stacks {
        let mut frame = |name: &str| {
            let (name, file) = (b.str(name), b.str("/src/orders/src/lib.rs"));
            let function = b.function(Function { name, system_name: StrId::EMPTY, file, start_line: 0 });
            b.location(None, 0, &[Line { function, line: 7 }])
        };
        let locations = [frame(stack.name), frame("orders::main")];
        let id = b.stack(&locations);
        let size = Label { key: bytes, value: LabelValue::Num(1024, bytes) };
        for (number, born) in stack.alive.iter().enumerate() {
            // A little apart, so that each has a row.
            let born_ns = started_ns + born * S + number as i64;
            let born = Label { key: born_at, value: LabelValue::Num(born_ns, nanoseconds) };
            let labels = b.labels(&[size, born]);
            b.sample(id, labels, &[0, 0, 64, PERIOD]);
        }
        let labels = b.labels(&[size]);
        b.sample(id, labels, &[stack.born * 64, stack.born * PERIOD, 0, 0]);
    }
    b.finish().unwrap()
}

/// One a second that stays, and beside it five that live for ten seconds.
fn leaky(started_ns: i64, at_s: i64) -> Profile {
    let churn = |name| Stack { name, alive: ((at_s - 10).max(0)..at_s).collect(), born: at_s };
    capture(
        started_ns,
        at_s,
        &[
            Stack { name: "orders::Sessions::remember", alive: (0..at_s).collect(), born: at_s },
            churn("orders::parse"),
            churn("orders::render"),
            churn("orders::route"),
        ],
    )
}

fn write(dir: &Path, profiles: impl IntoIterator<Item = Profile>) {
    for (number, profile) in profiles.into_iter().enumerate() {
        save(&dir.join(format!("heap-{number:02}.pb.gz")), &profile);
    }
}

/// Twelve captures over two minutes.
fn two_minutes(dir: &Path) {
    write(dir, (1..=12).map(|n| leaky(STARTED, 10 * n)));
}

#[test]
fn a_leak_in_captures_is_named_and_the_exit_code_says_so() {
    let dir = tempfile::tempdir().unwrap();
    two_minutes(dir.path());
    let text = run(dir.path(), &["leaks", "."]);
    assert_eq!(text.code, 1, "{}{}", text.stdout, text.stderr);
    assert!(text.stdout.starts_with("LEAK: memory of one site"), "{}", text.stdout);
    assert!(text.stdout.contains("1. leak: orders::Sessions::remember"), "{}", text.stdout);

    let json = run(dir.path(), &["leaks", ".", "--format", "json"]);
    assert_eq!(json.code, 1);
    let report: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&report["schema"], &report["verdict"]), (&"diag.leaks/1".into(), &"leak".into()));
    let suspects = report["suspects"].as_array().unwrap();
    assert_eq!(suspects.len(), 1, "{report}");
    let suspect = &suspects[0];
    assert_eq!((&suspect["rank"], &suspect["verdict"]), (&1.into(), &"leak".into()));
    assert_eq!(suspect["frames"][0]["line"], 7);
    // A sample of 64 KiB a second.
    let rate = suspect["bytes_per_hour"].as_f64().unwrap();
    assert!((rate / (PERIOD as f64 * 3600.0) - 1.0).abs() < 0.1, "{suspect}");
    assert!(suspect["bytes_per_hour_low"].as_f64().unwrap() < rate);
    assert_eq!(report["watched_s"], 110.0);
}

#[test]
fn two_files_are_enough() {
    let dir = tempfile::tempdir().unwrap();
    save(&dir.path().join("a.pb.gz"), &leaky(STARTED, 200));
    save(&dir.path().join("b.pb.gz"), &leaky(STARTED, 300));
    let run = run(dir.path(), &["leaks", "a.pb.gz", "b.pb.gz"]);
    assert_eq!(run.code, 1, "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("1. leak: orders::Sessions::remember"), "{}", run.stdout);
}

/// The clock went back by an hour between the two, so that the older one has the later date. Its stacks were taken for those of the
/// newer one: wrong names, or where it had fewer an index out of bounds.
#[test]
fn the_newest_capture_is_so_by_the_time_of_the_process() {
    let sessions = || Stack { name: "orders::Sessions::remember", alive: (0..40).collect(), born: 40 };
    let fill = |name| Stack { name, alive: (0..3).collect(), born: 3 };
    for before in [vec![fill("orders::load"), fill("orders::index"), sessions()], vec![sessions()]] {
        let dir = tempfile::tempdir().unwrap();
        save(&dir.path().join("a.pb.gz"), &capture(STARTED, 40, &before));
        save(&dir.path().join("b.pb.gz"), &leaky(STARTED, 300));
        let run = run(dir.path(), &["leaks", "a.pb.gz", "b.pb.gz"]);
        // Without captures in between it is not called a leak.
        run.ok();
        let first = run.stdout.lines().find(|line| line.starts_with("1. "));
        assert_eq!(first, Some("1. unbounded so far: orders::Sessions::remember"), "{}", run.stdout);
    }
}

#[test]
fn profiles_without_ages_get_a_weaker_answer_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..4i64 {
        let rows: [common::Row<'_>; 2] =
            [(&["shop::keep", "main"], (n + 1) << 26, 1000), (&["shop::churn", "main"], 8 << 20, 100)];
        save(&dir.path().join(format!("heap-{n}.pb.gz")), &heap(1_795_266_000 + 60 * n, &rows));
    }
    let text = run(dir.path(), &["leaks", "."]);
    text.ok();
    assert!(text.stdout.starts_with("not enough evidence"), "{}", text.stdout);
    assert!(text.stdout.contains("no ages"), "{}", text.stdout);
    assert!(text.stdout.contains("1. unbounded so far: shop::keep"), "{}", text.stdout);
    assert!(!text.stdout.contains("shop::churn"), "{}", text.stdout);
}

#[test]
fn a_restart_is_told_and_never_compared_across() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    save(&file("heap-0.pb.gz"), &leaky(STARTED, 100));
    save(&file("heap-1.pb.gz"), &leaky(STARTED + 500 * S, 50));
    run(dir.path(), &["leaks", "heap-0.pb.gz", "heap-1.pb.gz"]).fails(3, &["restarted"]);
    run(dir.path(), &["leaks", "."]).fails(3, &["restarted", "one capture"]);
    // With enough of the new process, the old one is left out.
    for n in 2..8 {
        save(&file(&format!("heap-{n}.pb.gz")), &leaky(STARTED + 500 * S, 50 * n));
    }
    let new = run(dir.path(), &["leaks", "."]);
    assert_eq!(new.code, 1, "{}{}", new.stdout, new.stderr);
    assert!(new.stdout.contains("the process restarted: 1 capture of"), "{}", new.stdout);
}

#[test]
fn too_little_is_said_to_be_too_little() {
    let dir = tempfile::tempdir().unwrap();
    save(&dir.path().join("a.pb.gz"), &leaky(STARTED, 100));
    run(dir.path(), &["leaks", "a.pb.gz"]).fails(3, &["one capture", "two or more"]);
    run(dir.path(), &["leaks", "."]).fails(3, &["one capture"]);
    run(dir.path(), &["leaks", "a.pb.gz", "--watch", "5s"]).fails(2, &["--watch"]);
    save(&dir.path().join("b.pb.gz"), &leaky(STARTED, 101));
    let short = run(dir.path(), &["leaks", "a.pb.gz", "b.pb.gz"]);
    short.ok();
    assert!(short.stdout.contains("too short"), "{}", short.stdout);
}

#[test]
fn a_live_service_is_asked_and_its_verdict_is_the_exit_code() {
    let body = |verdict: &str| {
        let report = diag::leak::Report::default();
        let mut json = serde_json::to_value(&report).unwrap();
        json["verdict"] = verdict.into();
        json.to_string()
    };
    for (verdict, code) in [("leak", 1), ("no_leak", 0), ("not_enough_evidence", 0)] {
        let answer = body(verdict);
        let server = Server::start(move |_| ok("application/json", answer.clone()));
        let dir = tempfile::tempdir().unwrap();
        let run = run(dir.path(), &["leaks", &server.host(), "--maturity", "5s"]);
        assert_eq!(run.code, code, "{}{}", run.stdout, run.stderr);
        let asked = server.requests();
        assert_eq!(asked[0].path, "/debug/diag/api/v1/leaks");
        assert_eq!(asked[0].query, "maturity=5");
    }
}

#[test]
fn a_service_without_diag_is_told_apart_from_a_broken_one() {
    let dir = tempfile::tempdir().unwrap();
    let foreign = Server::start(|_| status(404, "404 page not found"));
    run(dir.path(), &["leaks", &foreign.host()]).fails(3, &["not a service with diag", "diag-cli capture"]);
    let ours = Server::start(|r| {
        if r.path.ends_with("status") {
            diag_status(1, 1)
        } else {
            status(503, "leak verdicts need the births")
        }
    });
    run(dir.path(), &["leaks", &ours.host()]).fails(3, &["need the births"]);
    let odd = Server::start(|_| ok("application/json", "{\"schema\":\"else/1\"}"));
    run(dir.path(), &["leaks", &odd.host()]).fails(3, &["something else than a verdict"]);
}
