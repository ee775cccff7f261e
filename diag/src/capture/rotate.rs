//! Which captures stay. By time and by rule each have their own count, so that a capture before a kill is not pushed out by a thousand
//! that came by the clock; where bytes are short, those by the clock go first. The newest capture of each sort always stays.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};
use std::{fs, io};

use super::files::on;
use crate::sys::clock;

const KINDS: [(&str, &str); 8] = [
    ("heap-", ".pb.gz"),
    ("sites-", ".pb.gz"),
    ("cpu-", ".pb.gz"),
    ("memory-", ".json"),
    ("leaks-", ".json"),
    ("tasks-", ".json"),
    ("trace-", ".json"),
    ("event-", ".json"),
];
/// A file that is written takes seconds; one so old was begun by a process that was killed.
const ABANDONED_AFTER: Duration = Duration::from_secs(600);
/// Of the clocks of machines that share a directory.
const MOST_SKEW_NS: u64 = 60_000_000_000;

/// What may stay.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keep {
    /// Captures by time, and as many by rules.
    pub(super) captures: usize,
    /// All together.
    pub(super) bytes: u64,
}

/// The time and process in a file's name, and the rule if there was one.
fn stamp(name: &str) -> Option<&str> {
    KINDS.iter().find_map(|(prefix, suffix)| name.strip_prefix(prefix)?.strip_suffix(suffix))
}

/// Whether this is the beginning of a capture that nobody goes on with.
fn is_abandoned(name: &str, modified: io::Result<SystemTime>) -> bool {
    let is_ours = super::files::unfinished(name).and_then(stamp).is_some();
    is_ours && modified.ok().and_then(|at| at.elapsed().ok()).is_some_and(|age| age > ABANDONED_AFTER)
}

/// A file of the directory.
struct Entry {
    name: String,
    bytes: u64,
}

/// Deletes what is surplus, and what killed processes left unfinished. Files of others are left alone.
pub(super) fn prune(dir: &Path, keep: Keep) -> io::Result<()> {
    let mut abandoned = Vec::new();
    let entries = fs::read_dir(dir).map_err(|e| on(dir, e))?.filter_map(|entry| {
        let entry = entry.ok()?;
        let meta = entry.metadata().ok().filter(fs::Metadata::is_file)?;
        let name = entry.file_name().into_string().ok()?;
        if is_abandoned(&name, meta.modified()) {
            abandoned.push(name);
            return None;
        }
        Some(Entry { name, bytes: meta.len() })
    });
    let latest = super::files::basic_utc(clock::unix_ns().saturating_add(MOST_SKEW_NS));
    let surplus = surplus(entries, keep, &latest);
    for name in surplus.into_iter().chain(abandoned) {
        match fs::remove_file(dir.join(&name)) {
            // Another process of the same service may share the directory.
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(on(&dir.join(&name), e)),
            _ => {}
        }
    }
    Ok(())
}

#[derive(Default)]
struct Capture {
    names: Vec<String>,
    bytes: u64,
}

/// Captures by stamp, which sorts by time. One of the future was made before the clock was set back, and counts as older than all
/// others: else each new capture would go at once until the clock has caught up.
type Sorted = BTreeMap<(bool, String), Capture>;

/// The names to delete. What was made after `latest` is of the future.
fn surplus(entries: impl Iterator<Item = Entry>, keep: Keep, latest: &str) -> Vec<String> {
    let (mut by_time, mut by_rule) = (Sorted::new(), Sorted::new());
    for entry in entries {
        let Some(stamp) = stamp(&entry.name).map(str::to_owned) else { continue };
        // time-pid, or time-pid-rule.
        let sort = if stamp.matches('-').count() >= 2 { &mut by_rule } else { &mut by_time };
        let capture = sort.entry((stamp.split('-').next() <= Some(latest), stamp)).or_default();
        capture.bytes += entry.bytes;
        capture.names.push(entry.name);
    }
    let total = |sort: &Sorted| sort.values().map(|c| c.bytes).sum::<u64>();
    let mut bytes = total(&by_time) + total(&by_rule);
    let mut gone = Vec::new();
    for sort in [&mut by_time, &mut by_rule] {
        while sort.len() > keep.captures || (bytes > keep.bytes && sort.len() > 1) {
            let Some((_, oldest)) = sort.pop_first() else { break };
            bytes -= oldest.bytes;
            gone.extend(oldest.names);
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone(names: &[&str], captures: usize, bytes: u64) -> Vec<String> {
        let entries = names.iter().map(|n| Entry { name: (*n).to_owned(), bytes: 10 });
        let mut gone = surplus(entries, Keep { captures, bytes }, "6");
        gone.sort();
        gone
    }

    const MIXED: [&str; 9] = [
        "heap-1-9.pb.gz",
        "memory-1-9.json",
        "heap-2-9.pb.gz",
        "heap-3-9-near_limit.pb.gz",
        "event-3-9-near_limit.json",
        "heap-4-9-near_limit.pb.gz",
        "heap-5-9.pb.gz",
        "notes.txt",
        ".heap-6-9.pb.gz.part",
    ];

    #[test]
    fn a_capture_goes_as_a_whole_and_each_sort_has_its_count() {
        assert!(gone(&MIXED, 3, u64::MAX).is_empty());
        assert_eq!(gone(&MIXED, 2, u64::MAX), ["heap-1-9.pb.gz", "memory-1-9.json"]);
        let one =
            ["event-3-9-near_limit.json", "heap-1-9.pb.gz", "heap-2-9.pb.gz", "heap-3-9-near_limit.pb.gz"];
        assert_eq!(gone(&MIXED, 1, u64::MAX), [&one[..], &["memory-1-9.json"]].concat());
    }

    #[test]
    fn when_the_clock_was_set_back_those_of_the_future_go_first() {
        let files = ["heap-7-9.pb.gz", "heap-8-9.pb.gz", "heap-4-9.pb.gz", "heap-5-9.pb.gz"];
        assert_eq!(gone(&files, 3, u64::MAX), ["heap-7-9.pb.gz"]);
        assert_eq!(gone(&files, 1, u64::MAX), ["heap-4-9.pb.gz", "heap-7-9.pb.gz", "heap-8-9.pb.gz"]);
    }

    #[test]
    fn bytes_are_taken_from_those_by_time_first() {
        assert_eq!(gone(&MIXED, 99, 50), ["heap-1-9.pb.gz", "memory-1-9.json"]);
        // 70 bytes in all. By time down to the newest leaves 40, then those by rule.
        assert_eq!(gone(&MIXED, 99, 40).len(), 3);
        assert!(gone(&MIXED, 99, 30).contains(&"heap-3-9-near_limit.pb.gz".to_owned()));
        let left = MIXED.len() - 2 - gone(&MIXED, 99, 0).len();
        assert_eq!(left, 2, "the newest of each sort stays");
    }

    /// Kinds that only rules write were not known once, and stayed for ever.
    #[test]
    fn every_kind_that_is_written_goes() {
        let files = [
            "tasks-1-9-r.json",
            "trace-1-9-r.json",
            "leaks-1-9-r.json",
            "cpu-1-9-r.pb.gz",
            "event-2-9-r.json",
        ];
        assert_eq!(
            gone(&files, 1, u64::MAX),
            ["cpu-1-9-r.pb.gz", "leaks-1-9-r.json", "tasks-1-9-r.json", "trace-1-9-r.json"]
        );
    }

    #[test]
    fn what_a_killed_process_began_goes_once_it_is_old() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) =
            (".heap-20261121T130522.123Z-7.pb.gz.part", ".memory-20261121T130522.123Z-7-r.json.part");
        for name in [old, new, ".somebodys.part", "heap-1-9.pb.gz"] {
            fs::write(dir.path().join(name), b"").unwrap();
        }
        let long_ago = SystemTime::now() - 2 * ABANDONED_AFTER;
        for name in [old, ".somebodys.part", "heap-1-9.pb.gz"] {
            fs::File::options()
                .write(true)
                .open(dir.path().join(name))
                .unwrap()
                .set_modified(long_ago)
                .unwrap();
        }
        prune(dir.path(), Keep { captures: 2, bytes: u64::MAX }).unwrap();
        let left = [old, new, ".somebodys.part", "heap-1-9.pb.gz"].map(|name| dir.path().join(name).exists());
        assert_eq!(left, [false, true, true, true]);
    }

    #[test]
    fn what_is_not_ours_stays() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["heap-11-9.pb.gz", "heap-12-9.pb.gz", "heap-13-9.pb.gz", "notes.txt", "memory-11-9.json"]
        {
            fs::write(dir.path().join(name), b"").unwrap();
        }
        prune(dir.path(), Keep { captures: 2, bytes: u64::MAX }).unwrap();
        let mut left: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["heap-12-9.pb.gz", "heap-13-9.pb.gz", "notes.txt"]);
    }
}
