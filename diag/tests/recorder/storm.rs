//! Eight threads write while they are dumped a thousand times. Every record carries what proves that it is of one piece.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::{Dispatch, info, info_span};

use super::format::{self, Event};

const WRITERS: u64 = 8;
const DUMPS: usize = 1_000;

/// What a record of this thread with this seed must carry besides.
fn check(thread: u64, seed: u64) -> u64 {
    (seed ^ thread << 56).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 12
}

/// Texts of every length, so that records end anywhere in a chunk.
fn text(seed: u64) -> String {
    let letter = char::from(b'a' + (seed % 26) as u8);
    std::iter::repeat_n(letter, (seed % 121) as usize).collect()
}

fn write(thread: u64, stop: &AtomicBool) -> u64 {
    let mut seed = 0;
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..10 {
            seed += 1;
            let outer = info_span!("outer", thread, seed, check = check(thread, seed), text = text(seed));
            let _outer = outer.enter();
            info_span!("inner", thread, seed, check = check(thread, seed), text = text(seed)).in_scope(
                || {
                    info!(thread, seed, check = check(thread, seed), text = text(seed), "told");
                },
            );
        }
        // One processor may have to do for all: the dumps want their turn.
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    seed
}

/// The seed of a record that is of one piece. Spans that were made before the ring begins have no fields any more.
fn seed_of(event: &Event, threads: &BTreeMap<u64, String>, is_first: bool) -> Option<u64> {
    if event.phase == "X" && event.args.get("seed").is_none() {
        assert!(is_first, "without fields only at the beginning: {}", event.args);
        return None;
    }
    let number = |key: &str| event.args[key].as_u64().unwrap_or_else(|| panic!("{key} of {}", event.args));
    let (thread, seed) = (number("thread"), number("seed"));
    assert_eq!(number("check"), check(thread, seed), "torn: {}", event.args);
    assert_eq!(event.args["text"], text(seed).as_str(), "torn: {}", event.args);
    assert_eq!(threads[&event.thread], format!("writer-{thread}"), "of another thread: {}", event.args);
    Some(seed)
}

fn look(json: &[u8]) -> usize {
    let file = format::parse(json);
    let mut last: BTreeMap<(u64, &str), u64> = BTreeMap::new();
    let mut records = 0;
    for event in &file.events {
        let is_first = !last.keys().any(|(thread, _)| *thread == event.thread);
        let Some(seed) = seed_of(event, &file.threads, is_first) else { continue };
        let before = last.insert((event.thread, &event.name), seed).unwrap_or(0);
        assert!(before < seed, "{} {seed} behind {before} on {}", event.name, event.thread);
        records += 1;
    }
    records
}

#[test]
fn dumping_never_stops_a_writer_and_no_dump_is_torn() {
    let _turn = super::turn();
    super::recorded(256 << 10, |recorder| {
        let subscriber = tracing::dispatcher::get_default(Dispatch::clone);
        let stop = AtomicBool::new(false);
        let written = std::thread::scope(|s| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|thread| {
                    let (subscriber, stop) = (&subscriber, &stop);
                    let name = std::thread::Builder::new().name(format!("writer-{thread}"));
                    let run = move || tracing::dispatcher::with_default(subscriber, || write(thread, stop));
                    name.spawn_scoped(s, run).unwrap()
                })
                .collect();
            let mut records = 0;
            let mut looked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                for dump in 0..DUMPS {
                    let trace = recorder.dump(None).unwrap();
                    records += look(&trace.to_chrome_json());
                    if dump % 100 == 0 {
                        trace.to_profile().unwrap();
                    }
                }
            }));
            stop.store(true, Ordering::Relaxed);
            let written: u64 = writers.into_iter().map(|w| w.join().unwrap()).sum();
            println!("{DUMPS} dumps, {records} records looked at, of {} written", 3 * written);
            if records < DUMPS * 50 && looked.is_ok() {
                looked = Err(Box::new(format!("only {records} records were looked at")));
            }
            if let Err(panic) = looked {
                std::panic::resume_unwind(panic);
            }
            written
        });
        let losses = recorder.stats().losses;
        assert!(written > 10 * DUMPS as u64, "the writers went on: {written}");
        assert!(losses["recorder_overwritten"] > 0, "{losses:?}");
    });
}
