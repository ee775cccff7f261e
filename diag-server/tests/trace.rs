//! `/debug/pprof/trace` of a process that has no flight recorder, and then one.
#![cfg(feature = "recorder")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "part of tests")]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{ask, get, get_ok, read, server};
use diag::profile::pprof;
use diag::recorder::Recorder;
use serde_json::Value;
use tracing::{info, info_span};
use tracing_subscriber::layer::SubscriberExt as _;

const TRACE: &str = "/debug/pprof/trace";

fn names(json: &[u8], phase: &str) -> Vec<String> {
    let trace: Value = serde_json::from_slice(json).expect("JSON");
    let events = trace["traceEvents"].as_array().expect("events");
    events.iter().filter(|e| e["ph"] == phase).map(|e| e["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_trace_of_the_past_and_of_what_comes() {
    let answer = get(server(), TRACE);
    assert_eq!(answer.status, 501, "{}", answer.text());
    assert!(answer.text().contains("Recorder::builder()"), "{}", answer.text());

    let subscriber = tracing_subscriber::registry().with(Recorder::builder().build().unwrap());
    tracing::subscriber::set_global_default(subscriber).unwrap();
    info_span!("start", step = 1).in_scope(|| info!("configured"));
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                info_span!("request").in_scope(|| {
                    info_span!("query").in_scope(|| std::thread::sleep(Duration::from_millis(2)));
                });
            }
        });
        s.spawn(|| burn(&stop));
        let checked = std::panic::catch_unwind(check);
        stop.store(true, Ordering::Relaxed);
        if let Err(panic) = checked {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Code that a CPU profile finds.
#[inline(never)]
fn burn(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        info_span!("burn").in_scope(|| {
            std::hint::black_box((0..200_000u64).fold(0, |a, b| a ^ b.wrapping_mul(a)));
        });
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn check() {
    let past = get_ok(server(), &format!("{TRACE}?past=all"));
    assert_eq!(past.header("content-type"), "application/json");
    assert_eq!(past.header("content-disposition"), "attachment; filename=\"trace.json\"");
    assert!(names(&past.body, "X").iter().any(|name| name == "start"));
    assert_eq!(names(&past.body, "i"), ["configured"]);
    let json: Value = serde_json::from_slice(&past.body).unwrap();
    assert_eq!(json["otherData"]["service"], "shop & sons <test>");

    let from = Instant::now();
    let forward = get_ok(server(), &format!("{TRACE}?seconds=0.3"));
    assert!(from.elapsed() >= Duration::from_millis(300));
    let slices = names(&forward.body, "X");
    assert!(slices.len() > 10 && !slices.iter().any(|name| name == "start"), "{slices:?}");
    let counters = get_ok(server(), &format!("{TRACE}?seconds=2.5"));
    for counter in ["live bytes", "bytes allocated since the start (estimate)"] {
        assert!(names(&counters.body, "C").iter().any(|name| name == counter), "{counter}, once a second");
    }

    let folded = get_ok(server(), &format!("{TRACE}?past=60&format=folded")).text();
    assert!(folded.contains("trace::request;trace::query "), "{folded}");
    let profile = get_ok(server(), &format!("{TRACE}?past=all&format=pprof"));
    let profile = pprof::decode(&profile.body).unwrap();
    assert_eq!(profile.sample_types()[profile.default_sample_type()].kind, "span");

    // A CPU profile that is recorded meanwhile is on the same clock.
    let profile = ask(server(), "GET /debug/pprof/profile?seconds=2&hz=499");
    let trace: Value = serde_json::from_slice(&get_ok(server(), &format!("{TRACE}?seconds=2")).body).unwrap();
    drop(read(profile));
    let events = trace["traceEvents"].as_array().unwrap();
    let samples: Vec<_> = events.iter().filter(|e| e["cat"] == "CPU sample").collect();
    let burning = samples.iter().filter(|e| e["args"]["@stack"].to_string().contains("trace::burn")).count();
    assert!(burning > 10, "{burning} of {} samples", samples.len());

    // One at a time, and a client that goes away makes room.
    let waiting = ask(server(), &format!("GET {TRACE}?seconds=60"));
    let from = Instant::now();
    let busy = loop {
        let answer = get(server(), &format!("{TRACE}?past=all"));
        if answer.status != 200 {
            break answer;
        }
        assert!(from.elapsed() < Duration::from_secs(60), "the recording never began");
    };
    assert_eq!((busy.status, busy.header("retry-after")), (503, "5"), "{}", busy.text());
    drop(waiting);
    let from = Instant::now();
    while get(server(), &format!("{TRACE}?past=all")).status != 200 {
        assert!(from.elapsed() < Duration::from_secs(50), "the recording goes on without its client");
        std::thread::sleep(Duration::from_millis(20));
    }
    let status: Value = serde_json::from_slice(&get_ok(server(), "/debug/diag/api/v1/status").body).unwrap();
    assert_eq!(status["recorder"]["active"], true, "{}", status["recorder"]);
    drop(read(ask(server(), &format!("GET {TRACE}?seconds=0.1"))));
}
