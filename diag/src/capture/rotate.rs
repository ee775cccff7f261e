//! Which captures stay. By time and by rule each have their own count, so that a capture before a kill is not pushed out by a thousand
//! that came by the clock; where bytes are short, those by the clock go first. The newest capture of each sort always stays.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use super::files::on;

const KINDS: [(&str, &str); 6] = [
    ("heap-", ".pb.gz"),
    ("sites-", ".pb.gz"),
    ("cpu-", ".pb.gz"),
    ("memory-", ".json"),
    ("leaks-", ".json"),
    ("event-", ".json"),
];

/// What may stay.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keep {
    /// Captures by time, and as many by rules.
    pub(super) captures: usize,
    /// All together.
    pub(super) bytes: u64,
}

/// A file of the directory.
struct Entry {
    name: String,
    bytes: u64,
}

/// Deletes what is surplus. Files of others are left alone.
pub(super) fn prune(dir: &Path, keep: Keep) -> io::Result<()> {
    let entries = fs::read_dir(dir).map_err(|e| on(dir, e))?.filter_map(|entry| {
        let entry = entry.ok()?;
        let bytes = entry.metadata().ok().filter(fs::Metadata::is_file)?.len();
        Some(Entry { name: entry.file_name().into_string().ok()?, bytes })
    });
    for name in surplus(entries, keep) {
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

/// The names to delete.
fn surplus(entries: impl Iterator<Item = Entry>, keep: Keep) -> Vec<String> {
    // By stamp, which sorts by time.
    let (mut by_time, mut by_rule) = (BTreeMap::<String, Capture>::new(), BTreeMap::<String, Capture>::new());
    for entry in entries {
        let Some(stamp) = KINDS.iter().find_map(|(prefix, suffix)| {
            entry.name.strip_prefix(prefix)?.strip_suffix(suffix).map(str::to_owned)
        }) else {
            continue;
        };
        // time-pid, or time-pid-rule.
        let sort = if stamp.matches('-').count() >= 2 { &mut by_rule } else { &mut by_time };
        let capture = sort.entry(stamp).or_default();
        capture.bytes += entry.bytes;
        capture.names.push(entry.name);
    }
    let total = |sort: &BTreeMap<String, Capture>| sort.values().map(|c| c.bytes).sum::<u64>();
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
        let mut gone = surplus(entries, Keep { captures, bytes });
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
    fn bytes_are_taken_from_those_by_time_first() {
        assert_eq!(gone(&MIXED, 99, 50), ["heap-1-9.pb.gz", "memory-1-9.json"]);
        // 70 bytes in all. By time down to the newest leaves 40, then those by rule.
        assert_eq!(gone(&MIXED, 99, 40).len(), 3);
        assert!(gone(&MIXED, 99, 30).contains(&"heap-3-9-near_limit.pb.gz".to_owned()));
        let left = MIXED.len() - 2 - gone(&MIXED, 99, 0).len();
        assert_eq!(left, 2, "the newest of each sort stays");
    }

    #[test]
    fn what_is_not_ours_stays() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["heap-1-9.pb.gz", "heap-2-9.pb.gz", "heap-3-9.pb.gz", "notes.txt", "memory-1-9.json"] {
            fs::write(dir.path().join(name), b"").unwrap();
        }
        prune(dir.path(), Keep { captures: 2, bytes: u64::MAX }).unwrap();
        let mut left: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["heap-2-9.pb.gz", "heap-3-9.pb.gz", "notes.txt"]);
    }
}
