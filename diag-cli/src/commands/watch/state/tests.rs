//! Transitions, one event at a time.

use super::*;
use crate::commands::watch::data::{CpuLook, Identity, Reading, Site, TaskSite, TasksLook};
use crate::commands::watch::look::GrowerOrder;

/// 2026-11-21 13:05:22 UTC.
pub(in super::super) const START_MS: i64 = 1_795_266_322_000;

pub(in super::super) fn at(mono_ms: u64) -> At {
    At { mono_ms, unix_ms: START_MS + i64::try_from(mono_ms).unwrap() }
}

pub(in super::super) fn state() -> State {
    State::new("http://h:1".into(), Plan::new(5_000))
}

pub(in super::super) fn hear(state: &mut State, ask: Ask, answer: Answer, now: At) -> Vec<Order> {
    state.update(Event::Heard { ask, took_ms: 20, result: Ok(answer) }, now)
}

pub(in super::super) fn miss(state: &mut State, ask: Ask, why: &str, is_absent: bool, now: At) -> Vec<Order> {
    let miss = Miss { why: why.into(), is_absent, wait_ms: None };
    state.update(Event::Heard { ask, took_ms: 20, result: Err(miss) }, now)
}

pub(in super::super) fn press(state: &mut State, keys: &str, now: At) -> Vec<Order> {
    keys.chars().flat_map(|c| state.update(Event::Key(Key::Char(c)), now)).collect()
}

pub(in super::super) fn status(pid: u32) -> Answer {
    let identity = Identity { service: "orders".into(), uptime_s: 7_200.0, problems: 0 };
    Answer::Status(identity, Some(Process { pid, started_unix_s: 5 }))
}

pub(in super::super) fn heap(taken_s: i64, sites: &[(&str, i64)]) -> Answer {
    let sites: Vec<Site> = sites
        .iter()
        .map(|(function, bytes)| Site {
            function: (*function).into(),
            place: "src/orders/lib.rs:31".into(),
            value: *bytes,
            cumulated: 0,
        })
        .collect();
    Answer::Heap(HeapLook {
        taken_unix_ms: START_MS + taken_s * 1_000,
        total_bytes: sites.iter().map(|s| s.value).sum(),
        period_bytes: Some(524_288),
        sites,
        raw: Arc::from(&b"profile"[..]),
        took_ms: 20,
    })
}

fn is_asked(orders: &[Order], ask: Ask) -> bool {
    orders.iter().any(|order| matches!(order, Order::Ask(a, _) if *a == ask))
}

/// One that has answered who it is.
fn up() -> State {
    let mut state = state();
    state.update(Event::Tick, at(0));
    hear(&mut state, Ask::Status, status(7), at(10));
    state
}

#[test]
fn it_asks_who_is_there_and_then_the_rest() {
    let mut state = state();
    let first = state.update(Event::Tick, at(0));
    assert_eq!(first, [Order::Ask(Ask::Status, "/debug/diag/api/v1/status".into())]);
    assert!(state.update(Event::Tick, at(50)).is_empty(), "one at a time");
    let then = hear(&mut state, Ask::Status, status(7), at(100));
    for ask in [Ask::History, Ask::Tasks, Ask::Heap] {
        assert!(is_asked(&then, ask), "{ask}: {then:?}");
    }
    assert!(!is_asked(&then, Ask::Verdict), "one heavy question at a time");
}

#[test]
fn later_readings_only_are_asked_for() {
    let mut state = up();
    let reading = Reading { at_unix_ms: 4_711, ..Reading::default() };
    hear(&mut state, Ask::History, Answer::History(vec![reading]), at(20));
    let orders = state.update(Event::Tick, at(6_000));
    let path = orders.iter().find_map(|o| match o {
        Order::Ask(Ask::History, path) => Some(path.as_str()),
        _ => None,
    });
    assert_eq!(path, Some("/debug/diag/api/v1/history?since=4711"));
}

#[test]
fn a_service_that_goes_away_is_asked_again_with_growing_pauses() {
    let mut state = up();
    hear(&mut state, Ask::Heap, heap(0, &[("keep", 100)]), at(30));
    state.update(Event::Tick, at(6_000));
    miss(&mut state, Ask::Status, "connection refused", false, at(6_010));
    assert_eq!(state.link.down.as_deref(), Some("connection refused"));
    assert_eq!(state.link.last_answer_unix_ms, Some(at(30).unix_ms));
    assert!(state.update(Event::Tick, at(6_500)).is_empty(), "not before a second");
    let again = state.update(Event::Tick, at(7_100));
    assert!(is_asked(&again, Ask::Status) && again.len() == 1, "{again:?}");
    miss(&mut state, Ask::Status, "connection refused", false, at(7_100));
    assert!(state.update(Event::Tick, at(8_900)).is_empty(), "not before two");
    assert!(is_asked(&state.update(Event::Tick, at(9_200)), Ask::Status));
    // What was known stays on the screen, and all is asked for at once when it is back.
    assert!(state.shown().heap.is_some());
    for ask in [Ask::History, Ask::Tasks, Ask::Verdict] {
        miss(&mut state, ask, "connection refused", false, at(9_200));
    }
    let back = hear(&mut state, Ask::Status, status(7), at(9_300));
    assert!(is_asked(&back, Ask::History) && is_asked(&back, Ask::Tasks), "{back:?}");
    assert!(is_asked(&state.update(Event::Tick, at(14_300)), Ask::Heap), "after the gap");
    assert!(state.message.contains("answers again"));
}

#[test]
fn a_restart_is_recognised_and_everything_begins_anew() {
    let mut state = up();
    hear(&mut state, Ask::Heap, heap(0, &[("keep", 100)]), at(30));
    press(&mut state, "f", at(40));
    state.update(Event::Tick, at(6_000));
    hear(&mut state, Ask::Status, status(8), at(6_010));
    assert_eq!(state.link.restarted.map(|(_, process)| process.pid), Some(7));
    assert!(state.shown().heap.is_none() && state.shown().baseline.is_none());
    assert_eq!(state.frozen_at(), None, "a picture of another process");
    assert!(state.message.contains("restarted"));
}

#[test]
fn growth_counts_from_the_first_profile_and_from_marks() {
    let mut state = up();
    hear(&mut state, Ask::Heap, heap(0, &[("keep", 100)]), at(30));
    assert_eq!(state.shown().growers[0].grown_bytes, None);
    hear(&mut state, Ask::Heap, heap(60, &[("keep", 160)]), at(60_000));
    assert_eq!(state.shown().growers[0].grown_bytes, Some(60));
    assert_eq!(state.shown().growers[0].bytes_a_minute, Some(60.0));
    let orders = press(&mut state, "b", at(61_000));
    assert!(!is_asked(&orders, Ask::Verdict));
    hear(&mut state, Ask::Heap, heap(70, &[("keep", 170)]), at(70_000));
    assert_eq!(state.shown().growers[0].grown_bytes, None, "this is the baseline");
    hear(&mut state, Ask::Heap, heap(80, &[("keep", 171)]), at(80_000));
    assert_eq!(state.shown().growers[0].grown_bytes, Some(1));
}

#[test]
fn frozen_is_the_picture_and_not_the_asking() {
    let mut state = up();
    hear(&mut state, Ask::Heap, heap(0, &[("keep", 100)]), at(30));
    press(&mut state, "f", at(40));
    hear(&mut state, Ask::Heap, heap(10, &[("keep", 999)]), at(10_000));
    assert_eq!(state.shown().growers[0].live_bytes, 100);
    press(&mut state, "b", at(10_100));
    assert!(state.message.contains("frozen"));
    press(&mut state, "f", at(11_000));
    assert_eq!(state.shown().growers[0].live_bytes, 999);
}

#[test]
fn a_capture_is_of_what_is_shown() {
    let mut state = up();
    assert!(press(&mut state, "w", at(20)).iter().all(|o| !matches!(o, Order::Write(..))));
    assert!(state.message.contains("no heap profile yet"));
    hear(&mut state, Ask::Heap, heap(0, &[("keep", 100)]), at(30));
    let orders = press(&mut state, "w", at(40));
    let name = "heap-20261121T130522.000Z-7.5.pb.gz";
    assert_eq!(orders, [Order::Write(name.into(), Arc::from(&b"profile"[..]))]);
    state.update(Event::Wrote(Ok(PathBuf::from("./x.pb.gz"))), at(50));
    assert_eq!((state.message.as_str(), state.written.len()), ("wrote ./x.pb.gz", 1));
    state.update(Event::Wrote(Err("disk\u{1b}full".into())), at(60));
    assert_eq!((state.message.as_str(), state.written.len()), ("disk·full", 1));
}

#[test]
fn cpu_is_recorded_once_at_a_time() {
    let mut state = up();
    hear(&mut state, Ask::Heap, heap(0, &[]), at(30));
    let orders = press(&mut state, "c", at(100));
    assert!(is_asked(&orders, Ask::Cpu), "{orders:?}");
    assert_eq!((state.recording_since, state.look.panel), (Some(at(100)), Panel::Cpu));
    assert!(!is_asked(&press(&mut state, "c", at(200)), Ask::Cpu));
    assert!(state.message.contains("already"));
    let look = CpuLook { taken_unix_ms: 0, seconds: 5.0, total_ns: 1, sites: Vec::new() };
    hear(&mut state, Ask::Cpu, Answer::Cpu(look), at(5_200));
    assert!(state.recording_since.is_none() && state.shown().cpu.is_some());
    let mut state = up();
    miss(&mut state, Ask::Status, "refused", false, at(30));
    press(&mut state, "c", at(40));
    assert!(state.message.contains("does not answer"));
}

#[test]
fn a_refused_recording_is_said() {
    let mut state = up();
    hear(&mut state, Ask::Heap, heap(0, &[]), at(30));
    press(&mut state, "c", at(100));
    miss(&mut state, Ask::Cpu, "429 busy", false, at(200));
    assert!(state.recording_since.is_none());
    assert_eq!(state.misses.get(&Ask::Cpu).map(|m| m.why.as_str()), Some("429 busy"));
}

#[test]
fn keys_are_letters_while_a_filter_is_typed() {
    let mut state = up();
    press(&mut state, "/qfw", at(20));
    assert!(state.look.typing);
    assert_eq!(state.look.list(Panel::Growers).filter, "qfw");
    state.update(Event::Key(Key::Backspace), at(20));
    state.update(Event::Key(Key::Enter), at(20));
    assert!(!state.look.typing);
    assert_eq!(state.look.list(Panel::Growers).filter, "qf");
    state.update(Event::Key(Key::Esc), at(20));
    assert_eq!(state.look.list(Panel::Growers).filter, "");
    assert_eq!(press(&mut state, "/", at(20)), []);
    assert_eq!(state.update(Event::Key(Key::Interrupt), at(20)), [Order::Quit], "Ctrl-C always ends");
}

#[test]
fn panels_sorts_zoom_and_help() {
    let mut state = up();
    press(&mut state, "4", at(20));
    assert_eq!(state.look.panel, Panel::Cpu);
    state.update(Event::Key(Key::Tab), at(20));
    assert_eq!(state.look.panel, Panel::Waterline);
    press(&mut state, "s", at(20));
    assert_eq!(state.look.span_min(), 60);
    state.update(Event::Key(Key::BackTab), at(20));
    state.update(Event::Key(Key::Enter), at(20));
    assert!(state.look.zoomed && state.look.panel == Panel::Cpu);
    press(&mut state, "2s", at(20));
    assert_eq!(state.look.growers, GrowerOrder::Live);
    press(&mut state, "?s", at(20));
    assert!(
        !state.look.help && state.look.growers == GrowerOrder::Live,
        "any key closes it, and does no more"
    );
    assert_eq!(press(&mut state, "?q", at(20)), [Order::Quit]);
}

#[test]
fn tasks_grow_from_the_first_look() {
    let mut state = up();
    let tasks = |live| {
        let site = TaskSite { site: "a.rs:1:1".into(), live, ..TaskSite::default() };
        Answer::Tasks(TasksLook { sites: vec![site], ..TasksLook::default() })
    };
    hear(&mut state, Ask::Tasks, tasks(5), at(30));
    hear(&mut state, Ask::Tasks, tasks(9), at(5_030));
    let before = |state: &State| state.shown().tasks_baseline.values().copied().collect::<Vec<_>>();
    assert_eq!(before(&state), [5]);
    press(&mut state, "b", at(6_000));
    assert_eq!(before(&state), [9]);
}

#[test]
fn what_the_service_has_not_is_asked_rarely() {
    let mut state = up();
    miss(&mut state, Ask::Tasks, "404", true, at(30));
    let asked = (1..60).filter(|s| is_asked(&state.update(Event::Tick, at(s * 1_000)), Ask::Tasks)).count();
    assert_eq!(asked, 0);
    assert!(is_asked(&state.update(Event::Tick, at(61_000)), Ask::Tasks));
}
