//! Frames as text. `UPDATE_GOLDEN=1 cargo test -p diag-cli --lib watch` rewrites `tests/golden/watch-*.txt`; look at what changed.

use std::path::PathBuf;

use diag::leak::Verdict;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::super::answer::Answer;
use super::super::data::{CpuLook, Reading, Site, TaskSite, TasksLook, VerdictLook};
use super::super::keys::Key;
use super::super::once::text;
use super::super::plan::Ask;
use super::super::state::tests::{START_MS, at, heap, hear, miss, press, state, status};
use super::super::state::{At, Event, State};
use super::{Theme, draw, within};

const MIB: i64 = 1 << 20;

/// A service that has been watched for two minutes.
fn watched() -> State {
    let mut state = state();
    state.update(Event::Tick, at(0));
    hear(&mut state, Ask::Status, status(4_711), at(10));
    let readings = (0..120).map(|n: u64| Reading {
        at_unix_ms: START_MS + 120_000 - 5_000 * (119 - i64::try_from(n).unwrap()),
        allocated_bytes: Some((20 << 20) + n * (256 << 10)),
        rss_bytes: Some((60 << 20) + n * (300 << 10)),
        limit_bytes: Some(128 << 20),
        cpu_ns: Some(n * 1_500_000_000 + if n % 12 < 3 { 700_000_000 } else { 0 }),
        diag_cpu_ns: Some(n * 10_000_000),
        threads: Some(9),
    });
    hear(&mut state, Ask::History, Answer::History(readings.collect()), at(20));
    let keep = "orders::replies::IdempotencyKeys::remember_reply";
    let base = [(keep, 4 * MIB), ("orders::catalogue::load", 30 * MIB), ("orders::cache::put", 8 * MIB)];
    let grown = [(keep, 12 * MIB), ("orders::catalogue::load", 30 * MIB), ("orders::cache::put", 7 * MIB)];
    hear(&mut state, Ask::Heap, heap(0, &base), at(30));
    hear(&mut state, Ask::Heap, heap(120, &grown), at(120_000));
    let verdict = VerdictLook {
        verdict: Verdict::Leak,
        watched_s: 7_100.0,
        suspects: vec![(keep.into(), 240.0 * MIB as f64)],
        reason: String::new(),
        heard_unix_ms: START_MS + 120_000,
        took_ms: 41,
    };
    hear(&mut state, Ask::Verdict, Answer::Verdict(verdict), at(120_010));
    let site = |site: &str, future: &str, live, verdict: &str, reason: &str| TaskSite {
        site: site.into(),
        future: future.into(),
        name: String::new(),
        live,
        running: 1,
        scheduled: 0,
        idle: live - 1,
        oldest_s: 3_700.0,
        idle_s: 60.0,
        longest_poll_s: 0.0123,
        busy_s: 4.5,
        verdict: verdict.into(),
        reason: reason.into(),
    };
    let tasks = TasksLook {
        live: 1_015,
        spawned: 20_000,
        coverage: Some(0.8),
        sites: vec![
            site("src/http.rs:90:5", "orders::http::serve", 1_000, "ok", ""),
            site(
                "src/feed.rs:41:9",
                "orders::feed::push_prices",
                12,
                "stuck",
                "nobody is left who could wake it",
            ),
        ],
        more: 0,
        losses: String::new(),
    };
    hear(&mut state, Ask::Tasks, Answer::Tasks(tasks), at(120_020));
    hear(&mut state, Ask::Status, status(4_711), at(120_030));
    state
}

fn now() -> At {
    at(121_000)
}

fn frame(state: &State, width: u16, height: u16) -> String {
    text(state, now(), width, height).unwrap()
}

fn golden(name: &str, text: &str) {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden")).join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert!(expected == text, "{name} differs; UPDATE_GOLDEN=1 rewrites it. Now it is:\n{text}");
}

#[test]
fn the_dashboard() {
    golden("watch-100x40.txt", &frame(&watched(), 100, 40));
    golden("watch-160x50.txt", &frame(&watched(), 160, 50));
}

#[test]
fn a_small_screen_has_the_current_panel() {
    let mut state = watched();
    golden("watch-60x12-growers.txt", &frame(&state, 60, 12));
    press(&mut state, "3", now());
    golden("watch-80x12-tasks.txt", &frame(&state, 80, 12));
}

#[test]
fn a_cpu_profile() {
    let mut state = watched();
    let site = |function: &str, value, cumulated| Site {
        function: function.into(),
        place: "src/price.rs:7".into(),
        value,
        cumulated,
    };
    let look = CpuLook {
        taken_unix_ms: START_MS,
        seconds: 5.0,
        total_ns: 1_700_000_000,
        sites: vec![
            site("orders::price", 1_200_000_000, 1_300_000_000),
            site("orders::answer", 500_000_000, 1_700_000_000),
        ],
    };
    hear(&mut state, Ask::Cpu, Answer::Cpu(look), at(120_500));
    press(&mut state, "4", now());
    state.update(Event::Key(Key::Enter), now());
    golden("watch-80x24-cpu.txt", &frame(&state, 80, 24));
}

#[test]
fn a_service_that_has_gone_says_since_when() {
    let mut state = watched();
    miss(&mut state, Ask::Status, "http://h:1: connection refused", false, at(120_500));
    let text = text(&state, at(127_000), 100, 40).unwrap();
    let mut lines = text.lines();
    let first = lines.next().unwrap();
    assert!(first.ends_with("NO ANSWER for 7 s"), "{first}");
    let second = lines.next().unwrap();
    assert!(
        second.starts_with("last answer 13:07:22 UTC; next try in 0 s; http://h:1: connection"),
        "{second}"
    );
    assert!(text.contains("remember_reply"), "what was known stays");
}

#[test]
fn a_restart_stays_in_sight() {
    let mut state = watched();
    hear(&mut state, Ask::Status, status(5_000), at(120_500));
    let text = frame(&state, 120, 40);
    assert!(
        text.lines().next().unwrap().contains("pid 5000  up 2.0 h  RESTARTED 13:07:22 UTC (was pid 4711)"),
        "{text}"
    );
    assert!(!text.contains("remember_reply"));
}

#[test]
fn what_is_missing_is_said_in_its_panel() {
    let mut state = state();
    state.update(Event::Tick, at(0));
    hear(&mut state, Ask::Status, status(1), at(10));
    miss(&mut state, Ask::Tasks, "404", true, at(20));
    miss(&mut state, Ask::History, "404", true, at(20));
    miss(&mut state, Ask::Verdict, "503: no ages here", false, at(20));
    miss(&mut state, Ask::Heap, "503: heap profiling is off", false, at(20));
    let text = text(&state, at(1_000), 100, 40).unwrap();
    for says in [
        "tasks: not in this build",
        "waterline: not in this build",
        "leaks: 503: no ages",
        "profiling is off",
    ] {
        assert!(text.contains(says), "{says}:\n{text}");
    }
}

#[test]
fn no_size_is_too_small_or_odd() {
    let mut state = watched();
    let all = |state: &State| {
        for width in [1, 2, 3, 5, 10, 23, 24, 25, 39, 70, 71, 300] {
            for height in 1..30 {
                let text = text(state, now(), width, height).unwrap();
                assert_eq!(text.lines().count(), usize::from(height));
            }
        }
    };
    for key in ["1", "2", "3", "4"] {
        press(&mut state, key, now());
        all(&state);
    }
    press(&mut state, "/x", now());
    all(&state);
    state.update(Event::Key(Key::Esc), now());
    press(&mut state, "?", now());
    all(&state);
    all(&super::super::state::tests::state());
    let mut nothing = Terminal::new(TestBackend::new(0, 0)).unwrap();
    nothing.draw(|frame| draw(frame, &state, now(), Theme::new(true))).unwrap();
}

#[test]
fn hostile_numbers_do_no_harm() {
    let mut state = watched();
    let reading = |at_unix_ms, n| Reading {
        at_unix_ms,
        allocated_bytes: Some(n),
        rss_bytes: Some(n),
        limit_bytes: Some(n),
        cpu_ns: Some(n),
        diag_cpu_ns: Some(n),
        threads: Some(n),
    };
    let readings = vec![reading(i64::MIN, 0), reading(0, u64::MAX), reading(i64::MAX, u64::MAX)];
    hear(&mut state, Ask::History, Answer::History(readings), now());
    hear(&mut state, Ask::Heap, heap(1 << 40, &[("a", i64::MAX), ("b", i64::MIN)]), now());
    let site = TaskSite {
        live: u64::MAX,
        oldest_s: f64::MAX,
        idle_s: f64::INFINITY,
        longest_poll_s: f64::NAN,
        busy_s: -1.0,
        ..TaskSite::default()
    };
    let tasks =
        TasksLook { live: u64::MAX, coverage: Some(f64::NAN), sites: vec![site], ..TasksLook::default() };
    hear(&mut state, Ask::Tasks, Answer::Tasks(tasks), now());
    for (width, height) in [(100, 40), (160, 50), (30, 10)] {
        frame(&state, width, height);
    }
}

#[test]
fn without_colour_there_is_none() {
    let colours = |theme| {
        let mut terminal = Terminal::new(TestBackend::new(100, 40)).unwrap();
        terminal.draw(|frame| draw(frame, &watched(), now(), theme)).unwrap();
        let cells = terminal.backend().buffer().content().to_vec();
        cells
            .iter()
            .any(|cell| cell.fg != ratatui::style::Color::Reset || cell.bg != ratatui::style::Color::Reset)
    };
    assert!(colours(Theme::new(true)));
    assert!(!colours(Theme::plain()));
}

#[test]
fn the_end_of_a_name_says_most() {
    assert_eq!(within("a::b", "x.rs:1", 20), "a::b  x.rs:1");
    assert_eq!(within("a::b", "x.rs:1", 11), "a::b");
    assert_eq!(within("orders::cache::put", "", 10), "…ache::put");
    assert_eq!(within("漢字::f", "", 5), "…::f");
    assert_eq!(within("abc", "", 1), "…");
    assert_eq!(within("abc", "", 0), "");
}
