//! The trace-event format as a reader sees it: every requirement is checked, and what is in the file comes out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

/// An event of the file.
pub(crate) struct Event {
    pub(crate) phase: String,
    pub(crate) name: String,
    pub(crate) thread: u64,
    /// Nanoseconds.
    pub(crate) at_ns: u64,
    pub(crate) length_ns: u64,
    pub(crate) args: Json,
}

pub(crate) struct File {
    pub(crate) about: Json,
    pub(crate) threads: BTreeMap<u64, String>,
    pub(crate) events: Vec<Event>,
}

/// Microseconds with three digits behind the point.
fn ns(value: &Json) -> u64 {
    (value.as_f64().expect("a number") * 1e3).round() as u64
}

pub(crate) fn parse(text: &[u8]) -> File {
    let json: Json = serde_json::from_slice(text).expect("JSON");
    let about = json["otherData"].clone();
    let mut threads = BTreeMap::new();
    let mut events = Vec::new();
    let mut pids = BTreeSet::new();
    for event in json["traceEvents"].as_array().expect("an array of events") {
        let text = |key: &str| event[key].as_str().unwrap_or_else(|| panic!("{key} of {event}")).to_owned();
        let number = |key: &str| event[key].as_u64().unwrap_or_else(|| panic!("{key} of {event}"));
        pids.insert(number("pid"));
        assert!(event["args"].is_object(), "{event}");
        let (phase, name) = (text("ph"), text("name"));
        match phase.as_str() {
            "M" => {
                if name == "thread_name" {
                    let name = event["args"]["name"].as_str().expect("a name").to_owned();
                    assert!(threads.insert(number("tid"), name).is_none(), "two names: {event}");
                }
                continue;
            }
            "X" => assert!(event["dur"].is_number(), "{event}"),
            "i" => assert_eq!(event["s"], "t", "{event}"),
            "C" => assert!(event["args"].as_object().expect("args").values().all(Json::is_number), "{event}"),
            other => panic!("a phase that is never written: {other}"),
        }
        assert!(event["cat"].is_string(), "{event}");
        let length_ns = if phase == "X" { ns(&event["dur"]) } else { 0 };
        events.push(Event {
            phase,
            name,
            thread: number("tid"),
            at_ns: ns(&event["ts"]),
            length_ns,
            args: event["args"].clone(),
        });
    }
    assert_eq!(pids.len(), 1, "one process");
    let file = File { about, threads, events };
    file.check_order();
    file
}

impl File {
    pub(crate) fn of_phase(&self, phase: &'static str) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.phase == phase)
    }

    /// By thread: time goes on, and slices lie within each other or apart. Every thread has a name.
    fn check_order(&self) {
        for phase in ["X", "i", "C"] {
            let mut last = BTreeMap::new();
            for event in self.of_phase(phase) {
                let before = last.insert(event.thread, event.at_ns).unwrap_or(0);
                assert!(before <= event.at_ns, "time goes back: {} at {}", event.name, event.at_ns);
                assert!(phase == "C" || self.threads.contains_key(&event.thread), "a thread without a name");
            }
        }
        let mut open: BTreeMap<u64, Vec<(u64, &str)>> = BTreeMap::new();
        for slice in self.of_phase("X") {
            let end = slice.at_ns + slice.length_ns;
            let open = open.entry(slice.thread).or_default();
            while open.last().is_some_and(|(until, _)| *until <= slice.at_ns && *until < end) {
                open.pop();
            }
            if let Some((until, around)) = open.last() {
                assert!(end <= *until, "{} ends at {end}, behind {around} at {until}", slice.name);
            }
            open.push((end, &slice.name));
        }
    }
}
