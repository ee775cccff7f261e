//! Drawing, JSON and profiles from records that are made by hand.

use std::collections::HashMap;

use serde_json::Value as Json;

use super::draw::{Log, Window};
use super::fields::Value;
use super::record::{Head, Kind};
use super::trace::{Site, Trace};

/// The records of one thread, as it would write them.
struct Script {
    words: Vec<u64>,
    thread: u64,
    piece: u32,
    slots: u32,
    task: u32,
}

impl Script {
    fn of(thread: u64, at: u64) -> Self {
        let mut script = Self { words: Vec::new(), thread, piece: 0, slots: 0, task: 0 };
        script.begin(at, 0);
        script
    }

    /// The next piece begins, `missing` slots later.
    fn begin(&mut self, at: u64, missing: u32) {
        self.slots = self.words.len() as u32 / 4 + missing;
        let id = (1_000 + self.thread) << 32 | self.thread;
        let (callsite, aux) = (self.slots, self.piece);
        self.piece += 1;
        // There it is a count of what was dropped.
        let task = std::mem::take(&mut self.task);
        self.push(at, Kind::Thread, id, callsite, aux, &[u64::from_le_bytes(*b"worker-0")], 8);
        self.task = task;
    }

    #[allow(clippy::too_many_arguments, reason = "all that is in a record")]
    fn push(
        &mut self,
        ticks: u64,
        kind: Kind,
        id: u64,
        callsite: u32,
        aux: u32,
        text: &[u64],
        text_bytes: u16,
    ) {
        let head = Head { ticks, id, callsite, kind, text_bytes, task: self.task, aux };
        self.words.extend(head.words());
        self.words.extend(text);
        self.words.resize(self.words.len().next_multiple_of(4), 0);
    }

    fn put(&mut self, at: u64, kind: Kind, id: u64) -> &mut Self {
        self.push(at, kind, id, 0, 0, &[], 0);
        self
    }

    fn new_span(&mut self, at: u64, id: u64, callsite: u32) -> &mut Self {
        self.push(at, Kind::New, id, callsite, 0, &[], 0);
        self
    }
}

fn site(name: &'static str) -> Site {
    Site {
        name,
        target: "shop::orders",
        file: "src/a.rs",
        line: 7,
        level: "INFO",
        fields: vec!["message", "a"],
    }
}

fn draw(scripts: &[Script], from_ticks: u64, to_ticks: u64) -> Trace {
    let copies: Vec<Vec<u64>> = scripts.iter().map(|script| script.words.clone()).collect();
    let window = Window { from_ticks, to_ticks, ns: &|ticks| ticks };
    Log::of(&copies, to_ticks).draw(
        &window,
        vec![site("request"), site("query"), site("parse")],
        HashMap::new(),
    )
}

/// Name, begin, end and depth of each slice; `<` and `>` mark ends that are not its own, `~` a rest.
fn slices(trace: &Trace) -> Vec<String> {
    let of = |s: &super::trace::Slice| {
        let name = trace.span_name(&trace.spans[s.span as usize]);
        let (before, after) =
            (if s.ends.began_before { "<" } else { "" }, if s.ends.end_unknown { ">" } else { "" });
        let rest = if s.ends.continued { "~" } else { "" };
        format!("{}{before}{rest}{name} {}..{}{after}", " ".repeat(s.depth as usize), s.begin_ns, s.end_ns)
    };
    trace.slices.iter().map(of).collect()
}

#[test]
fn spans_are_nested_slices() {
    let mut script = Script::of(1, 100);
    script.new_span(100, 1, 1).new_span(101, 2, 2);
    script.put(110, Kind::Enter, 1).put(120, Kind::Enter, 2).put(130, Kind::Exit, 2).put(140, Kind::Enter, 2);
    script.put(150, Kind::Exit, 2).put(160, Kind::Exit, 1).put(170, Kind::Enter, 1);
    let trace = draw(&[script], 100, 200);
    assert_eq!(slices(&trace), ["request 10..60", " query 20..30", " query 40..50", "request 70..100>"]);
    assert_eq!(trace.missing_ns, 0);
    let folded = trace.to_folded().unwrap();
    assert_eq!(folded, "shop::orders::request 60\nshop::orders::request;shop::orders::query 20\n");
    let profile = trace.to_profile().unwrap();
    assert_eq!((profile.total(0), profile.total(1)), (4, 80));
}

#[test]
fn spans_left_in_another_order_go_on_in_slices_of_their_own() {
    let mut script = Script::of(1, 0);
    script.new_span(0, 1, 1).new_span(0, 2, 2).new_span(0, 3, 3);
    script.put(10, Kind::Enter, 1).put(20, Kind::Enter, 2).put(30, Kind::Enter, 3);
    script.put(40, Kind::Exit, 1).put(50, Kind::Exit, 3).put(60, Kind::Exit, 2).put(70, Kind::Exit, 9);
    let trace = draw(&[script], 0, 100);
    let expected = ["request 10..40", " query 20..40", "  parse 30..40", "~query 40..60", " ~parse 40..50"];
    assert_eq!(slices(&trace), expected);
    assert_eq!(trace.losses, [("recorder_unmatched_exits", 1)]);
    assert_eq!(trace.to_profile().unwrap().total(0), 3, "a rest is not entered again");
}

#[test]
fn what_is_open_when_a_piece_begins_goes_on_or_begins_with_it() {
    // The pieces follow each other.
    let mut script = Script::of(1, 0);
    script.new_span(0, 1, 1).put(10, Kind::Enter, 1);
    script.begin(20, 0);
    script.put(20, Kind::Open, 1).put(30, Kind::Exit, 1);
    assert_eq!(slices(&draw(&[script], 0, 100)), ["request 10..30"]);
    // Something is missing between them.
    let mut script = Script::of(1, 0);
    script.new_span(0, 1, 1).new_span(0, 2, 2).put(10, Kind::Enter, 1);
    script.begin(50, 9);
    script.put(50, Kind::Open, 1).put(50, Kind::Open, 2).put(60, Kind::Exit, 2).put(70, Kind::Exit, 1);
    let trace = draw(&[script], 0, 100);
    assert_eq!(slices(&trace), ["request 10..10>", "<request 50..70", " <query 50..60"]);
    assert_eq!(trace.missing_ns, 50);
    // The first is missing; the window begins where all is there.
    let mut script = Script::of(1, 0);
    script.words.clear();
    script.begin(40, 5);
    script.put(40, Kind::Open, 7).put(60, Kind::Exit, 7).put(65, Kind::ThreadEnd, 0);
    let copies = [script.words.clone()];
    let log = Log::of(&copies, 100);
    assert_eq!((log.whole_from(), log.unknown_spans()), (40, vec![7]));
    let window = Window { from_ticks: 40, to_ticks: 100, ns: &|ticks| ticks };
    let trace = log.draw(&window, vec![site("request")], HashMap::from([(7, 1)]));
    assert_eq!(slices(&trace), ["<request 0..20"]);
    assert_eq!(trace.missing_ns, 0);
}

#[test]
fn the_window_clips_and_threads_end() {
    let mut script = Script::of(1, 0);
    script.new_span(0, 1, 1).put(10, Kind::Enter, 1).put(20, Kind::Exit, 1).put(30, Kind::Enter, 1);
    script.put(60, Kind::ThreadEnd, 0);
    // Another thread continues the chunk; its clock is behind for a moment.
    let mut other = Script::of(2, 55);
    other.put(70, Kind::Enter, 1).put(69, Kind::Exit, 1);
    script.words.extend(other.words);
    let trace = draw(&[script], 50, 100);
    assert_eq!(slices(&trace), ["<request 0..10", "request 20..20"]);
    assert_eq!(trace.threads.iter().map(|t| t.id).collect::<Vec<_>>(), [1001, 1002]);
}

#[test]
fn ids_that_are_given_again_are_other_spans() {
    let mut script = Script::of(1, 0);
    script.new_span(0, 1, 1).put(10, Kind::Enter, 1).put(20, Kind::Exit, 1);
    script.push(25, Kind::Close, 1, 1, 0, &[], 0);
    script.new_span(30, 1, 2).put(40, Kind::Enter, 1).put(50, Kind::Exit, 1).put(60, Kind::Enter, 5);
    // Of this one only the end is there.
    script.put(70, Kind::Exit, 5).push(80, Kind::Close, 5, 3, 0, &[], 0);
    assert_eq!(slices(&draw(&[script], 0, 100)), ["request 10..20", "query 40..50", "parse 60..70"]);
}

#[test]
fn polls_have_tracks_of_their_own() {
    let mut script = Script::of(1, 0);
    script.new_span(0, 1, 1);
    script.push(10, Kind::PollBegin, 4, 0, 2, &[], 0);
    script.task = 4;
    script.put(20, Kind::Enter, 1).put(25, Kind::PollBegin, 5);
    script.task = 5;
    script.put(26, Kind::PollEnd, 5);
    script.task = 4;
    script.begin(28, 0);
    script.put(28, Kind::Open, 1).put(28, Kind::PollBegin, 4);
    script.put(30, Kind::Exit, 1).put(40, Kind::PollEnd, 4);
    let trace = draw(&[script], 0, 100).with_task_sites(vec![
        ("other".to_owned(), "src/a.rs:1".to_owned()),
        ("fetch".to_owned(), "src/a.rs:2".to_owned()),
    ]);
    let polls: Vec<_> = trace.polls.iter().map(|p| (p.task, p.begin_ns, p.end_ns, p.depth)).collect();
    assert_eq!(polls, [(4, 10, 40, 0), (5, 25, 26, 1)]);
    assert_eq!(trace.slices[0].task, 4);
    let json: Json = serde_json::from_slice(&trace.to_chrome_json()).unwrap();
    let names: Vec<_> = json["traceEvents"].as_array().unwrap().iter().map(|e| e["name"].clone()).collect();
    assert!(names.contains(&"fetch".into()) && names.contains(&"task 5".into()), "{names:?}");
}

#[test]
fn hostile_texts_stay_texts() {
    let evil = "\"},{\"ph\":\"X\\\u{0}\u{1b}\n\u{2028}</script>{}[]🦀";
    let name: &'static str = Box::leak(evil.to_owned().into_boxed_str());
    let site = Site { name, target: name, file: name, line: 1, level: "INFO", fields: vec!["message", name] };
    let mut trace = Trace {
        length_ns: 1_000,
        sites: vec![site],
        service_name: evil.to_owned(),
        threads: vec![super::trace::Thread { id: 7, name: evil.to_owned() }],
        spans: vec![super::trace::Span {
            id: 1,
            site: Some(0),
            fields: vec![(name, Value::Text(evil.into()))],
        }],
        ..Trace::default()
    };
    trace.slices.push(super::trace::Slice {
        thread: 0,
        begin_ns: 1,
        end_ns: 1_002,
        depth: 0,
        span: 0,
        task: 0,
        ends: Default::default(),
    });
    let fields = vec![("message", Value::Text(evil.into())), (name, Value::F64(f64::NAN))];
    trace.events.push(super::trace::Told { thread: 0, at_ns: 5, site: Some(0), in_span: 1, task: 0, fields });
    let json: Json = serde_json::from_slice(&trace.to_chrome_json()).unwrap();
    let events = json["traceEvents"].as_array().unwrap();
    assert_eq!(events.len(), 5, "{events:?}");
    let slice = events.iter().find(|e| e["ph"] == "X").unwrap();
    assert_eq!(
        (&slice["name"], &slice["args"][evil], &slice["cat"]),
        (&evil.into(), &evil.into(), &evil.into())
    );
    assert_eq!((slice["ts"].as_f64(), slice["dur"].as_f64()), (Some(0.001), Some(1.001)));
    let instant = events.iter().find(|e| e["ph"] == "i").unwrap();
    assert_eq!((&instant["name"], &instant["args"][evil]), (&evil.into(), &"NaN".into()));
    assert_eq!(json["otherData"]["service"], evil);
    assert_eq!(json["otherData"]["began_at"], "1970-01-01T00:00:00.000000000Z");
    assert!(!trace.to_folded().unwrap().trim_end().contains('\n'));
}

#[test]
fn a_bound_leaves_out_what_happened_first() {
    let mut script = Script::of(1, 0);
    script.new_span(0, 1, 1);
    for at in 0..1_000 {
        script.put(10 * at, Kind::Enter, 1).put(10 * at + 5, Kind::Exit, 1);
    }
    let trace = draw(&[script], 0, 10_000);
    let whole = trace.to_chrome_json();
    for most in [2_000, 20_000, 100_000] {
        let bounded = trace.to_chrome_json_at_most(most);
        assert!(bounded.len() <= most + 1_000 && bounded.len() > most / 3, "{} of {most}", bounded.len());
        let json: Json = serde_json::from_slice(&bounded).unwrap();
        let slices: Vec<_> =
            json["traceEvents"].as_array().unwrap().iter().filter(|e| e["ph"] == "X").collect();
        assert_eq!(slices.last().unwrap()["ts"].as_f64(), Some(9.99), "the last is there");
        let from = json["otherData"]["whole_from_seconds"].as_f64().unwrap();
        assert!(from > 0.0 && slices[0]["ts"].as_f64().unwrap() >= from * 1e6 - 0.005, "{from}");
    }
    assert_eq!(trace.to_chrome_json_at_most(whole.len() * 2), whole);
}
