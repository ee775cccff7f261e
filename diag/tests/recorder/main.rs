//! The flight recorder in a running process: one at a time, and so one test after the other.
#![cfg(feature = "recorder")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod format;
mod storm;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use diag::recorder::{self, Recorder, RecorderError, RecorderLayer};
use tracing::{Dispatch, debug, info, info_span, warn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry;

/// The recorder is the process's.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first recorder decides how much later ones can have.
fn build(max_bytes: u64) -> RecorderLayer {
    let first = Recorder::builder().max_bytes(8 << 20).build().unwrap();
    drop(first);
    Recorder::builder().max_bytes(max_bytes).min_age(Duration::from_secs(3600)).build().unwrap()
}

/// Runs code under a recorder of its own.
fn recorded(max_bytes: u64, code: impl FnOnce(&Recorder)) {
    let layer = build(max_bytes);
    let recorder = layer.recorder().clone();
    tracing::dispatcher::with_default(&Dispatch::new(registry().with(layer)), || code(&recorder));
}

fn names(file: &format::File, phase: &'static str) -> Vec<String> {
    file.of_phase(phase).map(|event| event.name.clone()).collect()
}

#[test]
fn spans_and_events_are_in_the_dump_with_their_fields() {
    let _turn = turn();
    recorded(8 << 20, |recorder| {
        let late = info_span!("late", user = tracing::field::Empty);
        info_span!("request", route = "/orders/{id}", tenant = %"acme", items = 3, share = 0.5, hot = true)
            .in_scope(|| {
                warn!(attempt = 2, reason = ?Some("x"), "could not be had");
                late.record("user", "u7");
                late.in_scope(|| debug!("in the other"));
            });
        info!(long = "ß".repeat(500), "{}", "m".repeat(1_000));
        let open = info_span!("still open").entered();
        let file = format::parse(&recorder.dump(None).unwrap().to_chrome_json());
        assert_eq!(names(&file, "X"), ["request", "late", "still open"]);
        let slices: Vec<_> = file.of_phase("X").collect();
        let request = &slices[0].args;
        for (field, value) in [
            ("route", "/orders/{id}".into()),
            ("tenant", "acme".into()),
            ("items", 3.into()),
            ("share", 0.5.into()),
            ("hot", true.into()),
            ("@level", serde_json::Value::from("INFO")),
        ] {
            assert_eq!(request[field], value, "{field}");
        }
        assert!(request["@at"].as_str().unwrap().contains("tests/recorder/main.rs:"), "{request}");
        assert_eq!(slices[1].args["user"], "u7", "recorded later");
        assert_eq!(slices[2].args["@end"], "unknown");
        let events: Vec<_> = file.of_phase("i").collect();
        assert_eq!((events[0].name.as_str(), &events[0].args["attempt"]), ("could not be had", &2.into()));
        assert_eq!(events[0].args["reason"], "Some(\"x\")");
        assert_eq!(events[0].args["@span"], request["@span"]);
        let cut = events[2].args["long"].as_str().unwrap();
        assert!(cut.ends_with('…') && cut.len() <= 128, "{cut}");
        assert!(events[2].name.ends_with("m…") && events[2].name.len() <= 240);
        assert!(recorder.stats().losses["recorder_values_cut"] >= 2);
        assert_eq!(file.about["schema"], "diag.trace/1");
        assert!(file.about["began_at"].as_str().unwrap().ends_with('Z'), "{}", file.about);
        drop(open);
        let profile = recorder.dump(None).unwrap().to_profile().unwrap();
        let decoded = diag::profile::pprof::decode(&diag::profile::pprof::encode_gz(&profile)).unwrap();
        assert_eq!(decoded.sample_types()[1].kind, "span");
        let folded = recorder.dump(None).unwrap().to_folded().unwrap();
        assert!(folded.contains("recorder::request;recorder::late "), "{folded}");
    });
}

#[test]
fn there_is_one_and_it_says_so() {
    let _turn = turn();
    assert!(Recorder::running().is_none());
    let layer = build(1 << 20);
    assert_eq!(Recorder::builder().build().unwrap_err(), RecorderError::AlreadyRunning);
    let recorder = Recorder::running().unwrap();
    let recording = recorder.record().unwrap();
    assert_eq!(recorder.dump(None).unwrap_err(), RecorderError::Busy);
    assert_eq!(recorder.record().unwrap_err(), RecorderError::Busy);
    drop(recording);
    drop(recorder.dump(None).unwrap());
    drop((layer, recorder));
    assert!(Recorder::running().is_none() && !recorder::is_active());
}

#[test]
fn switched_off_it_forgets_nothing_and_records_nothing() {
    let _turn = turn();
    recorded(1 << 20, |recorder| {
        let entered = info_span!("before").entered();
        recorder::set_active(false);
        info_span!("meanwhile").in_scope(|| info!("unheard"));
        drop(entered);
        recorder::set_active(true);
        info_span!("after").in_scope(|| ());
        let file = format::parse(&recorder.dump(None).unwrap().to_chrome_json());
        assert_eq!(
            (names(&file, "X"), names(&file, "i").len()),
            (vec!["before".to_owned(), "after".into()], 0)
        );
    });
}

#[test]
fn a_span_that_is_older_than_the_ring_keeps_its_name() {
    let _turn = turn();
    recorded(256 << 10, |recorder| {
        let (old, closed) = (info_span!("old", who = "me"), info_span!("closed before the dump"));
        let around = info_span!("around").entered();
        for round in 0..20_000 {
            info_span!("noise", round).in_scope(|| ());
        }
        old.in_scope(|| closed.in_scope(|| ()));
        drop(closed);
        drop(around);
        let trace = recorder.dump(None).unwrap();
        let file = format::parse(&trace.to_chrome_json());
        let names = names(&file, "X");
        for name in ["old", "closed before the dump", "around", "noise"] {
            assert!(names.iter().any(|n| n == name), "{name} is not among {} slices", names.len());
        }
        assert!(!names.iter().any(|n| n.contains("unknown")));
        let around = file.of_phase("X").find(|e| e.name == "around").unwrap();
        assert_eq!((around.at_ns, &around.args["@began"]), (0, &"before".into()));
        assert_eq!(
            trace.missing(),
            Duration::ZERO,
            "the window begins where all is there: {:?}",
            trace.length()
        );
        let losses = recorder.stats().losses;
        assert!(losses["recorder_overwritten_young"] > 10_000, "{losses:?}");
        assert!(recorder.stats().memory_bytes < (8 << 20) + (1 << 20));
    });
}

#[test]
fn the_past_and_the_future_are_windows() {
    let _turn = turn();
    recorded(1 << 20, |recorder| {
        info!("long ago");
        std::thread::sleep(Duration::from_millis(300));
        info!("just now");
        let file = format::parse(&recorder.dump(Some(Duration::from_millis(150))).unwrap().to_chrome_json());
        assert_eq!(names(&file, "i"), ["just now"]);
        let span = info_span!("around").entered();
        let mut recording = recorder.record().unwrap();
        info!("while recording");
        assert!(recording.collect());
        info!("and later");
        let trace = recording.finish();
        assert!(
            trace.length() < Duration::from_secs(60) && trace.began_unix_ns() > 1_600_000_000_000_000_000
        );
        let file = format::parse(&trace.to_chrome_json());
        assert_eq!(names(&file, "i"), ["while recording", "and later"]);
        drop(span);
    });
}

#[test]
fn a_recording_outlives_the_ring() {
    let _turn = turn();
    recorded(256 << 10, |recorder| {
        let mut recording = recorder.record().unwrap();
        for round in 0..5_000u64 {
            info!(round, "told");
            if round % 500 == 0 {
                assert!(recording.collect());
            }
        }
        let trace = recording.finish();
        let file = format::parse(&trace.to_chrome_json());
        let rounds: Vec<u64> = file.of_phase("i").map(|e| e.args["round"].as_u64().unwrap()).collect();
        assert_eq!(rounds, (0..5_000).collect::<Vec<_>>(), "all, in order");
        assert_eq!(trace.missing(), Duration::ZERO);
        // Without looking in between most is gone, and the trace says how much.
        let recording = recorder.record().unwrap();
        (0..20_000u64).for_each(|round| info!(round, "told"));
        let trace = recording.finish();
        let (_, _, events) = trace.counts();
        assert!((1_000..10_000).contains(&events), "{events}");
        assert!(trace.missing() > Duration::ZERO && trace.missing() < trace.length());
    });
}

#[test]
fn threads_that_end_leave_their_records_and_their_room() {
    let _turn = turn();
    recorded(256 << 10, |recorder| {
        let subscriber = tracing::dispatcher::get_default(Dispatch::clone);
        for number in 0..100 {
            let subscriber = subscriber.clone();
            let thread = std::thread::Builder::new().name(format!("short-{number}"));
            let run = move || {
                tracing::dispatcher::with_default(&subscriber, || info_span!("short").in_scope(|| ()))
            };
            thread.spawn(run).unwrap().join().unwrap();
        }
        let file = format::parse(&recorder.dump(None).unwrap().to_chrome_json());
        assert_eq!(names(&file, "X").len(), 100, "32 chunks are enough for 100 threads that come and go");
        let threads: std::collections::BTreeSet<_> = file.threads.values().collect();
        assert!((0..100).all(|number| threads.contains(&format!("short-{number}"))), "{threads:?}");
        assert!(file.of_phase("X").all(|e| e.args.get("@end").is_none()));
        assert!(recorder.stats().threads <= 2, "{:?}", recorder.stats());
    });
}

#[test]
fn spans_in_a_poll_know_their_task() {
    let _turn = turn();
    recorded(1 << 20, |recorder| {
        use std::future::Future as _;
        let mut turns = 0;
        let work = std::future::poll_fn(|context| {
            info_span!("step").in_scope(|| info!("told"));
            turns += 1;
            context.waker().wake_by_ref();
            if turns == 3 { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        });
        let mut outer = std::pin::pin!(diag::tasks::track(async {
            diag::tasks::track(work).await;
        }));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        while outer.as_mut().poll(&mut context).is_pending() {}
        info_span!("outside").in_scope(|| ());
        let file = format::parse(&recorder.dump(None).unwrap().to_chrome_json());
        let polls: Vec<_> = file.of_phase("X").filter(|e| e.name.starts_with("task ")).collect();
        assert_eq!(polls.len(), 6, "each poll of both");
        let tasks: std::collections::BTreeSet<u64> =
            polls.iter().map(|e| e.args["@task"].as_u64().unwrap()).collect();
        assert_eq!(tasks.len(), 2);
        let inner = tasks.last().unwrap();
        for step in file.of_phase("X").filter(|e| e.name == "step") {
            assert_eq!(step.args["@task"].as_u64(), Some(*inner));
            let around =
                polls.iter().filter(|p| p.at_ns <= step.at_ns && step.at_ns <= p.at_ns + p.length_ns);
            assert_eq!(around.count(), 2, "one clock");
        }
        let outside = file.of_phase("X").find(|e| e.name == "outside").unwrap();
        assert_eq!(outside.args.get("@task"), None);
    });
}

#[test]
fn more_threads_than_chunks_are_counted() {
    let _turn = turn();
    recorded(256 << 10, |recorder| {
        let subscriber = tracing::dispatcher::get_default(Dispatch::clone);
        let (here, barrier) = (&subscriber, &std::sync::Barrier::new(65));
        let before = recorder.stats().losses.get("recorder_without_chunk").copied().unwrap_or(0);
        std::thread::scope(|s| {
            for _ in 0..64 {
                s.spawn(move || {
                    tracing::dispatcher::with_default(here, || (0..300).for_each(|_| info!("told")));
                    barrier.wait();
                    barrier.wait();
                });
            }
            barrier.wait();
            let stats = recorder.stats();
            assert!(stats.threads <= 32, "{stats:?}");
            assert!(stats.losses["recorder_without_chunk"] - before >= 32 * 250, "{stats:?}");
            format::parse(&recorder.dump(None).unwrap().to_chrome_json());
            barrier.wait();
        });
    });
}
