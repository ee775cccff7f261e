//! Directories of captures: how files are named, and how a directory is read.
//!
//! A kind is heap, cpu, wall, memory or tasks. A capture is `<kind>-<UTC time>-<pid>.<start>.<extension>`: `heap-20261121T130522.123Z-4711.1795266000.pb.gz`. Names
//! sort by time. `pid.start` tells processes apart, also in containers where the pid is always 1; it is left out when
//! the target does not say. Captures that a service writes itself (`DIAG_CAPTURE_DIR`) have its pid alone, and behind it the name of
//! the rule that asked for them, if one did. Other profile files in the directory are taken too, by the time in their name or else by
//! their modification time. Hidden files and unfinished ones are not looked at.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::clock;
use crate::error::{Error, Result};
use crate::output::reason;

/// A process, as far as files and comments need to tell it from its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Process {
    /// Process id, in its own namespace.
    pub pid: u32,
    /// When its diagnostics started, whole unix seconds; 0 when not known.
    pub started_unix_s: u64,
}

/// A profile file of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// Where it is.
    pub path: PathBuf,
    /// `heap`, or the first word of the name.
    pub kind: String,
    /// When it was taken.
    pub taken_unix_ns: i64,
    /// Whose it is, when the name says so.
    pub process: Option<Process>,
    /// The rule that asked for it, when the name says so.
    pub rule: Option<String>,
    /// Size of the file.
    pub size_bytes: u64,
}

const EXTENSIONS: [&str; 8] = [".pb.gz", ".pb", ".pprof", ".prof", ".heap", ".folded", ".collapsed", ".gz"];

/// The name of a capture. `extension` without its dot.
pub fn file_name(kind: &str, taken_unix_ns: i64, process: Option<Process>, extension: &str) -> String {
    let stamp = clock::stamp(taken_unix_ns);
    match process {
        Some(p) => format!("{kind}-{stamp}-{}.{}.{extension}", p.pid, p.started_unix_s),
        None => format!("{kind}-{stamp}.{extension}"),
    }
}

/// The profiles in a directory, oldest first.
///
/// # Errors
/// The directory cannot be read, or holds no profile.
pub fn list(dir: &Path) -> Result<Vec<Capture>> {
    let captures = list_as(dir, &EXTENSIONS)?;
    if captures.is_empty() {
        return Err(Error::failed(
            format!("{}: no captures in this directory", dir.display()),
            format!("`diag-cli capture TARGET -o {}` writes some", dir.display()),
        ));
    }
    Ok(captures)
}

/// The waterlines in a directory (`memory-*.json`), oldest first; there may be none.
///
/// # Errors
/// The directory cannot be read.
pub fn list_waterlines(dir: &Path) -> Result<Vec<Capture>> {
    let mut files = list_as(dir, &[".json"])?;
    files.retain(|c| c.kind == "memory");
    Ok(files)
}

/// The reports of tasks in a directory (`tasks-*.json`), oldest first; there may be none.
///
/// # Errors
/// The directory cannot be read.
pub fn list_tasks(dir: &Path) -> Result<Vec<Capture>> {
    let mut files = list_as(dir, &[".json"])?;
    files.retain(|c| c.kind == "tasks");
    Ok(files)
}

/// All files of captures, of every kind, oldest first; there may be none.
///
/// # Errors
/// The directory cannot be read.
pub fn list_files(dir: &Path) -> Result<Vec<Capture>> {
    list_as(dir, &[".pb.gz", ".json"])
}

/// Whose capture a file is, by its name.
pub fn process_of(path: &Path) -> Option<Process> {
    parse_stem(path.file_name()?.to_str()?.strip_suffix(".json")?).process
}

fn list_as(dir: &Path, extensions: &[&str]) -> Result<Vec<Capture>> {
    let fail = |e: &std::io::Error| {
        Error::failed(
            format!("cannot read the directory {}: {}", dir.display(), reason(e)),
            "check its permissions",
        )
    };
    let mut captures = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|e| fail(&e))? {
        let entry = entry.map_err(|e| fail(&e))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.starts_with('.') {
            continue;
        }
        let Some(stem) = extensions.iter().find_map(|x| name.strip_suffix(x)) else { continue };
        let Ok(meta) = std::fs::metadata(entry.path()) else { continue };
        if !meta.is_file() {
            continue;
        }
        let modified_ns = meta
            .modified()
            .ok()
            .and_then(|t| t.duration_since(UNIX_EPOCH).ok())
            .and_then(|d| i64::try_from(d.as_nanos()).ok())
            .unwrap_or(0);
        let stem = parse_stem(stem);
        captures.push(Capture {
            path: entry.path(),
            kind: stem.kind.to_owned(),
            taken_unix_ns: stem.taken_unix_ns.unwrap_or(modified_ns),
            process: stem.process,
            rule: stem.rule.map(str::to_owned),
            size_bytes: meta.len(),
        });
    }
    captures.sort_by(|a, b| (a.taken_unix_ns, &a.path).cmp(&(b.taken_unix_ns, &b.path)));
    Ok(captures)
}

/// The captures to compare: one kind (`heap` when there is any), and of one process, the last one.
///
/// Gives also how many captures of earlier processes were left out.
pub fn comparable(captures: Vec<Capture>) -> (Vec<Capture>, usize) {
    match captures.iter().rev().find(|c| c.kind == "heap").or(captures.last()).cloned() {
        Some(last) => like(captures, &last),
        None => (captures, 0),
    }
}

/// The captures in a directory to compare: of this kind and the last process; `None` for the [`comparable`] ones.
///
/// # Errors
/// The directory cannot be read, or holds none.
pub fn list_comparable(dir: &Path, kind: Option<&str>) -> Result<(Vec<Capture>, usize)> {
    let captures = list(dir)?;
    let Some(kind) = kind else { return Ok(comparable(captures)) };
    match captures.iter().rev().find(|c| c.kind == kind).cloned() {
        Some(last) => Ok(like(captures, &last)),
        None => {
            let flags = if kind == "wall" { "cpu --mode wall" } else { kind };
            Err(Error::failed(
                format!("{}: no {kind} captures in this directory", dir.display()),
                format!("`diag-cli capture TARGET --kind {flags} -o {}` writes some", dir.display()),
            ))
        }
    }
}

fn like(captures: Vec<Capture>, last: &Capture) -> (Vec<Capture>, usize) {
    let (kind, process) = (last.kind.clone(), last.process);
    let of_kind: Vec<Capture> = captures.into_iter().filter(|c| c.kind == kind).collect();
    let all = of_kind.len();
    let kept: Vec<Capture> =
        of_kind.into_iter().filter(|c| process.is_none() || c.process == process).collect();
    let left_out = all - kept.len();
    (kept, left_out)
}

/// A name without its extension, taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Stem<'a> {
    kind: &'a str,
    taken_unix_ns: Option<i64>,
    process: Option<Process>,
    rule: Option<&'a str>,
}

fn parse_stem(stem: &str) -> Stem<'_> {
    let mut parts = stem.split('-');
    let kind = parts.next().unwrap_or(stem);
    let taken_unix_ns = parts.find_map(clock::parse_stamp);
    let number = |text: &str| text.parse::<u64>().ok();
    let process = parts.next().filter(|_| taken_unix_ns.is_some()).and_then(|p| {
        // The service itself writes its pid alone (DIAG_CAPTURE_DIR).
        let (pid, start) = p.split_once('.').unwrap_or((p, "0"));
        Some(Process { pid: u32::try_from(number(pid)?).ok()?, started_unix_s: number(start)? })
    });
    let rule = parts.next().filter(|_| process.is_some());
    Stem { kind, taken_unix_ns, process, rule }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_795_266_322_123_000_000;

    #[test]
    fn names_are_read_back_and_sort_by_time() {
        let p = Process { pid: 4711, started_unix_s: 1_795_266_000 };
        let name = file_name("heap", T, Some(p), "pb.gz");
        assert_eq!(name, "heap-20261121T130522.123Z-4711.1795266000.pb.gz");
        let parsed = |stem| {
            let Stem { kind, taken_unix_ns, process, rule } = parse_stem(stem);
            (kind, taken_unix_ns, process, rule)
        };
        assert_eq!(parsed(name.strip_suffix(".pb.gz").unwrap()), ("heap", Some(T), Some(p), None));
        assert_eq!(parsed("heap-20261121T130522.123Z"), ("heap", Some(T), None, None));
        let by_service = Some(Process { pid: 4711, started_unix_s: 0 });
        assert_eq!(parsed("heap-20261121T130522.123Z-4711"), ("heap", Some(T), by_service, None));
        let by_rule = "event-20261121T130522.123Z-4711-near_limit";
        assert_eq!(parsed(by_rule), ("event", Some(T), by_service, Some("near_limit")));
        assert_eq!(parsed("before"), ("before", None, None, None));
        assert_eq!(parsed("before-2"), ("before", None, None, None));
        assert!(file_name("heap", T, Some(p), "pb.gz") < file_name("heap", T + 1_000_000, None, "pb.gz"));
    }

    #[test]
    fn a_directory_is_listed_by_time_and_without_debris() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (Process { pid: 1, started_unix_s: 10 }, Process { pid: 1, started_unix_s: 20 });
        let names = [
            file_name("heap", T, Some(a), "pb.gz"),
            file_name("heap", T + 2_000_000_000, Some(b), "pb.gz"),
            file_name("heap", T + 3_000_000_000, Some(b), "pb.gz"),
            file_name("memory", T, Some(a), "json"),
            ".heap-x.pb.gz.1-0.part".into(),
            "captures.jsonl".into(),
        ];
        for name in &names {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let found = list(dir.path()).unwrap();
        let listed: Vec<_> = found.iter().map(|c| c.path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(listed, names[..3]);
        let (kept, left_out) = comparable(found);
        assert_eq!((kept.len(), left_out), (2, 1));
        assert_eq!(kept[0].process, Some(b));
    }

    #[test]
    fn an_empty_directory_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let e = list(dir.path()).unwrap_err();
        assert!(e.line().contains("diag-cli capture"), "{e}");
    }
}
