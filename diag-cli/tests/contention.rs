//! Mutex and block profiles through the commands: asked of a target, captured, compared, and refused where they make no sense.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use common::server::{Request, Server, ok, profile};
use common::{entries, heap, run, save};
use diag::profile::{Function, Line, Period, Profile, ProfileBuilder, StrId, ValueType};

const STATUS: &str = "/debug/diag/api/v1/status";
const MUTEX: &str = "/debug/pprof/mutex";
const BLOCK: &str = "/debug/pprof/block";
const MS: i64 = 1_000_000;

/// A stack (leaf first), contentions, nanoseconds.
type Row<'a> = (&'a [&'a str], i64, i64);

fn contention(comment: &str, taken_unix_s: i64, rows: &[Row<'_>]) -> Profile {
    let types = vec![ValueType::new("contentions", "count"), ValueType::new("delay", "nanoseconds")];
    let mut b = ProfileBuilder::new(types);
    let meta = b.meta_mut();
    meta.default_sample_type = Some(1);
    meta.time_unix_ns = Some(taken_unix_s * 1_000_000_000);
    meta.comments.push(comment.to_owned());
    if !rows.is_empty() {
        meta.period = Some(Period { value_type: ValueType::new("contentions", "count"), value: 10 });
    }
    let none = b.labels(&[]);
    for (stack, contentions, ns) in rows {
        let mut locations = Vec::new();
        for name in *stack {
            let address = 0x1000 + name.bytes().map(u64::from).sum::<u64>();
            let (name, file) = (b.str(name), b.str("/src/shop/src/lib.rs"));
            let function = b.function(Function { name, system_name: StrId::EMPTY, file, start_line: 1 });
            locations.push(b.location(None, address, &[Line { function, line: 7 }]));
        }
        let stack = b.stack(&locations);
        b.sample(stack, none, &[*contentions, *ns]);
    }
    b.finish().unwrap()
}

fn mutex(taken_unix_s: i64, reprice_ms: i64) -> Profile {
    let rows: &[Row<'_>] = &[
        (&["shop::reprice_all", "shop::worker", "main"], 20, reprice_ms * MS),
        (&["shop::add_to_cart", "shop::serve", "main"], 300, 40 * MS),
    ];
    contention("mutex_profile=on: one in 10", taken_unix_s, rows)
}

fn service() -> Server {
    Server::start(|r: &Request| match r.path.as_str() {
        STATUS => ok(
            "application/json",
            r#"{"schema":"diag.status/1","pid":7,"started_unix_s":100.5,"executable":"/opt/no/such/shop","problems":[]}"#,
        ),
        MUTEX => profile(&mutex(1_795_266_000, 900)),
        BLOCK => profile(&contention("block_profile=off: DIAG_BLOCK_RATE_NS=1000000 switches it on", 1, &[])),
        _ => profile(&heap(1_795_266_000, &[(&["shop::keep", "main"], 1 << 20, 10)])),
    })
}

fn asked(server: &Server, path: &str) -> Vec<String> {
    server.requests().iter().filter(|r| r.path == path).map(|r| r.query.clone()).collect()
}

#[test]
fn every_view_of_a_target() {
    let server = service();
    let host = server.host();
    let dir = tempfile::tempdir().unwrap();
    let see = |args: &[&str]| run(dir.path(), args).ok().stdout.clone();
    let top = see(&["top", &host, "--kind", "mutex"]);
    assert!(top.contains(": delay 940 ms") && top.contains("shop::reprice_all"), "{top}");
    let counts = see(&["top", &host, "--kind", "mutex", "--type", "contentions"]);
    assert!(counts.lines().any(|l| l.contains("300") && l.contains("shop::add_to_cart")), "{counts}");
    assert!(see(&["tree", &host, "--kind", "mutex"]).contains("shop::worker"));
    assert!(see(&["peek", &host, "reprice", "--kind", "mutex"]).contains("shop::worker"));
    see(&["flamegraph", &host, "--kind", "mutex", "-o", "m.svg"]);
    let svg = std::fs::read_to_string(dir.path().join("m.svg")).unwrap();
    assert!(svg.contains("shop::reprice_all (900 ms"), "{}", &svg[..svg.len().min(3000)]);
    assert!(asked(&server, "/debug/pprof/heap").is_empty());
    assert!(asked(&server, MUTEX).iter().all(|q| q == "symbolize=false"), "{:?}", asked(&server, MUTEX));
}

#[test]
fn one_that_is_off_says_how_to_switch_it_on() {
    let server = service();
    let dir = tempfile::tempdir().unwrap();
    let shown = run(dir.path(), &["top", &server.host(), "--kind", "block"]);
    let shown = shown.ok();
    let text = format!("{}{}", shown.stdout, shown.stderr);
    assert!(text.contains("block_profile=off: DIAG_BLOCK_RATE_NS=1000000 switches it on"), "{text}");
}

#[test]
fn captures_and_their_difference() {
    let server = service();
    let dir = tempfile::tempdir().unwrap();
    let args = ["capture", &server.host(), "--kind", "mutex,block,heap", "-o", "caps"];
    let written = run(dir.path(), &args).ok().stdout.clone();
    let kinds: Vec<&str> =
        written.lines().filter_map(|l| l.strip_prefix("caps/")?.split('-').next()).collect();
    assert_eq!(kinds, ["heap", "mutex", "block"]);
    let caps = dir.path().join("caps");
    save(&caps.join("mutex-20991121T130001.000Z-7.100.pb.gz"), &mutex(1_795_266_060, 1_400));
    assert_eq!(entries(&caps).iter().filter(|n| n.starts_with("mutex-")).count(), 2);
    let see = |args: &[&str]| run(dir.path(), args).ok().stdout.clone();
    let diff = see(&["diff", "caps", "--kind", "mutex"]);
    assert!(diff.contains("+500 ms") && diff.contains("shop::reprice_all"), "{diff}");
    assert!(see(&["top", "caps"]).contains("shop::keep"), "the heap, where nothing is said");
    run(dir.path(), &["top", "caps", "--kind", "cpu"]).fails(3, &["no cpu captures", "--kind cpu"]);
}

#[test]
fn wrong_questions_are_answered_in_a_line() {
    let server = service();
    let dir = tempfile::tempdir().unwrap();
    save(&dir.path().join("m.pb.gz"), &mutex(1, 900));
    save(&dir.path().join("h.pb.gz"), &heap(1, &[(&["shop::keep", "main"], 1 << 20, 10)]));
    let fails = |args: &[&str], says: &[&str]| run(dir.path(), args).fails(2, says);
    fails(&["top", "h.pb.gz", "--kind", "mutex"], &["h.pb.gz is no profile of contention", "inuse_space"]);
    fails(&["top", "m.pb.gz", "--kind", "cpu"], &["m.pb.gz is no CPU profile", "delay"]);
    fails(&["leaks", "m.pb.gz"], &["m.pb.gz is a profile of contention", "judges memory"]);
    fails(&["check", "m.pb.gz", "m.pb.gz"], &["m.pb.gz is a profile of contention"]);
    fails(&["top", &server.url(BLOCK), "--kind", "mutex"], &["names /debug/pprof/block", "--kind mutex"]);
    fails(&["top", &server.host(), "--kind", "mutex", "--hz", "9"], &["--hz", "--kind cpu"]);
    assert!(run(dir.path(), &["top", "m.pb.gz", "--kind", "mutex"]).ok().stdout.contains("delay 940 ms"));
    let doctor = run(dir.path(), &["doctor", "m.pb.gz"]).ok().stdout.clone();
    assert!(doctor.contains("contentions/count, delay/nanoseconds"), "{doctor}");
}
