//! Why a capture is there: the rule that asked for it. Files of one moment share a stamp, `<kind>-<stamp>.<extension>`: time and process, and
//! the rule's name behind them when it was one. Its `event-<stamp>.json` (`diag.event/1`, which `diag::rules::Firing` writes) has the rest.
//!
//! What the files say is somebody's text: cut, and without what controls a terminal. A file that is no event leaves the rule's name.

use std::io::Read as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

const SCHEMA: &str = "diag.event/1";
/// Far more than an event has; a larger file is not read.
const MOST_EVENT_BYTES: u64 = 256 << 10;
const MOST_PROBLEMS: usize = 8;
const MOST_CHARS: usize = 500;
/// `20261121T132500.123Z`
const TIME_CHARS: usize = 20;

/// Why files of one moment are there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Reason {
    /// Name of the rule.
    rule: String,
    /// Why it fired, in a sentence; nothing when its event cannot be read.
    why: Option<String>,
    fired_unix_ms: Option<u64>,
    /// What it could not do.
    problems: Vec<String>,
}

/// Of `diag.event/1` what is shown.
#[derive(Deserialize)]
struct Event {
    schema: String,
    rule: String,
    why: String,
    at_unix_ns: u64,
    #[serde(default)]
    problems: Vec<String>,
}

/// What the files of one moment share, in a name that a rule's capture has.
pub(super) fn stamp(name: &str) -> Option<&str> {
    let (_, rest) = name.split_once('-')?;
    let stamp = rest.strip_suffix(".pb.gz").or_else(|| rest.strip_suffix(".json"))?;
    rule(stamp).map(|_| stamp)
}

fn rule(stamp: &str) -> Option<&str> {
    let mut parts = stamp.splitn(3, '-');
    let (time, process, rule) = (parts.next()?, parts.next()?, parts.next()?);
    let is_time = time.len() == TIME_CHARS && time.as_bytes().get(8) == Some(&b'T') && time.ends_with('Z');
    // The service writes its pid, `diag-cli capture` pid and start.
    let is_process = process.chars().all(|c| c.is_ascii_digit() || c == '.');
    (is_time && is_process && !process.is_empty() && !rule.is_empty()).then_some(rule)
}

/// The reason that goes with a stamp.
pub(super) fn reason(dir: &Path, stamp: &str) -> Option<Reason> {
    let by_name = rule(stamp)?;
    let event = read(dir, &format!("event-{stamp}.json"));
    Some(event.unwrap_or_else(|| Reason {
        rule: plain(by_name),
        why: None,
        fired_unix_ms: None,
        problems: Vec::new(),
    }))
}

fn read(dir: &Path, name: &str) -> Option<Reason> {
    let file = super::open(dir, name).ok()?;
    let mut bytes = Vec::new();
    file.take(MOST_EVENT_BYTES + 1).read_to_end(&mut bytes).ok()?;
    let event: Event = serde_json::from_slice(&bytes).ok()?;
    (event.schema == SCHEMA).then(|| Reason {
        rule: plain(&event.rule),
        why: Some(plain(&event.why)),
        fired_unix_ms: Some(event.at_unix_ns / 1_000_000),
        problems: event.problems.iter().take(MOST_PROBLEMS).map(|text| plain(text)).collect(),
    })
}

fn plain(text: &str) -> String {
    text.chars().take(MOST_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: &str = "20261129T173330.120Z-9484-near_limit";

    #[test]
    fn only_names_of_rules_have_a_stamp() {
        assert_eq!(stamp(&format!("heap-{STAMP}.pb.gz")), Some(STAMP));
        assert_eq!(stamp(&format!("event-{STAMP}.json")), Some(STAMP));
        assert_eq!(
            stamp("cpu-20261129T173330.120Z-1.1795266000-x.pb.gz"),
            Some("20261129T173330.120Z-1.1795266000-x")
        );
        for other in [
            "heap-20261129T173330.120Z-9484.pb.gz",
            "heap-20261129T173330.120Z-9484-.pb.gz",
            "heap-20261129T173330.120Z-me-near_limit.pb.gz",
            "heap-before-the-change.pb.gz",
            "heap-20261129T173330.120Z-9484-near_limit.pb.gz.1",
            "heap-100k.pb.gz",
            "notes",
        ] {
            assert_eq!(stamp(other), None, "{other}");
        }
    }

    #[test]
    fn an_event_is_read_and_what_is_none_leaves_the_name() {
        let dir = tempfile::tempdir().unwrap();
        let write =
            |text: &str| std::fs::write(dir.path().join(format!("event-{STAMP}.json")), text).unwrap();
        let named = Reason { rule: "near_limit".into(), why: None, fired_unix_ms: None, problems: vec![] };
        assert_eq!(reason(dir.path(), STAMP), Some(named.clone()), "not there");
        // As diag::rules::Firing serializes.
        write(
            r#"{"schema":"diag.event/1","rule":"near_limit","why":"181.2 MiB of \u001b[31m200 MiB","at_unix_ns":1795973610120000000,
                "service_name":"orders","pid":9484,"limit_bytes":209715200,"working_set_bytes":190000000,"rss_bytes":null,
                "dir":"/captures","files":["heap-x.pb.gz"],"problems":["a webhook: refused"]}"#,
        );
        let read = reason(dir.path(), STAMP).unwrap();
        assert_eq!(read.why.as_deref(), Some("181.2 MiB of  [31m200 MiB"));
        assert_eq!(
            (read.fired_unix_ms, &read.problems[..]),
            (Some(1_795_973_610_120), &["a webhook: refused".to_owned()][..])
        );
        let long = "x".repeat(10_000);
        write(&format!(r#"{{"schema":"diag.event/1","rule":"near_limit","why":"{long}","at_unix_ns":0}}"#));
        assert_eq!(reason(dir.path(), STAMP).unwrap().why.unwrap().len(), MOST_CHARS);
        let huge = "x".repeat(MOST_EVENT_BYTES as usize);
        for no_event in [
            "",
            "{}",
            "[1]",
            r#"{"schema":"diag.event/2","rule":"near_limit","why":"x","at_unix_ns":0}"#,
            r#"{"schema":"diag.event/1","rule":7,"why":"x","at_unix_ns":0}"#,
            &format!(r#"{{"schema":"diag.event/1","rule":"near_limit","why":"{huge}","at_unix_ns":0}}"#),
        ] {
            write(no_event);
            assert_eq!(reason(dir.path(), STAMP), Some(named.clone()), "{:.60}", no_event);
        }
        #[cfg(unix)]
        {
            let event = dir.path().join(format!("event-{STAMP}.json"));
            std::fs::remove_file(&event).unwrap();
            let outside = dir.path().join("outside");
            std::fs::write(&outside, r#"{"schema":"diag.event/1","rule":"x","why":"secret","at_unix_ns":0}"#)
                .unwrap();
            std::os::unix::fs::symlink(&outside, &event).unwrap();
            assert_eq!(reason(dir.path(), STAMP), Some(named), "no link is followed");
        }
    }
}
