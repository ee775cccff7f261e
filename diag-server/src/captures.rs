//! The files of the capture directory: which there are, why, and one of them. Only regular files in the directory itself, by plain
//! names: no way leads out of it.

mod reasons;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::time::UNIX_EPOCH;

use axum::http::StatusCode;
use diag::Config;
use serde::Serialize;

use crate::failure::Failure;
use reasons::Reason;

/// Files listed, the newest.
const MOST_LISTED: usize = 2_000;
/// Directory entries looked at.
const MOST_SEEN: usize = 50_000;
/// Moments whose event is read, the newest: a rule fires a few times an hour.
const MOST_REASONS: usize = 500;
/// A larger file is not read into a service's memory.
const MOST_FILE_BYTES: u64 = 64 << 20;
const MOST_NAME_BYTES: usize = 200;

/// The directory, as `diag.captures/1`.
#[derive(Debug, Serialize)]
pub(crate) struct Listing {
    schema: &'static str,
    /// Where; nothing when no directory is set.
    dir: Option<String>,
    /// Newest first.
    captures: Vec<Capture>,
    /// Files that are not listed, for their number.
    left_out: usize,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Capture {
    name: String,
    /// What stands before the first `-` of the name: `heap`, `memory`, `cpu`.
    kind: String,
    bytes: u64,
    modified_unix_ms: Option<u64>,
    /// Which rule asked for it, and why; nothing for what came by the clock, or from elsewhere.
    reason: Option<Reason>,
}

/// What there is.
pub(crate) fn list(config: &Config) -> Result<Listing, Failure> {
    let Some(dir) = &config.capture_dir else {
        return Ok(Listing { schema: "diag.captures/1", dir: None, captures: Vec::new(), left_out: 0 });
    };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries.flatten().take(MOST_SEEN).filter_map(|entry| capture(&entry)).collect(),
        // Made with the first capture.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(e) => {
            return Err(Failure::internal(format!(
                "cannot list the captures in {}: {e}; check the directory's permissions",
                dir.display()
            )));
        }
    };
    let mut captures: Vec<Capture> = entries;
    captures.sort_by(|a, b| b.modified_unix_ms.cmp(&a.modified_unix_ms).then_with(|| b.name.cmp(&a.name)));
    let left_out = captures.len().saturating_sub(MOST_LISTED);
    captures.truncate(MOST_LISTED);
    tell_reasons(dir, &mut captures);
    Ok(Listing { schema: "diag.captures/1", dir: Some(dir.display().to_string()), captures, left_out })
}

/// One look at each event, whatever the number of files that it explains.
fn tell_reasons(dir: &Path, captures: &mut [Capture]) {
    let mut known: BTreeMap<String, Option<Reason>> = BTreeMap::new();
    for capture in captures {
        let Some(stamp) = reasons::stamp(&capture.name) else { continue };
        if known.len() >= MOST_REASONS && !known.contains_key(stamp) {
            continue;
        }
        let reason = known.entry(stamp.to_owned()).or_insert_with(|| reasons::reason(dir, stamp));
        capture.reason.clone_from(reason);
    }
}

fn capture(entry: &fs::DirEntry) -> Option<Capture> {
    let name = entry.file_name().into_string().ok()?;
    if !is_plain(&name) || !entry.file_type().ok()?.is_file() {
        return None;
    }
    let meta = entry.metadata().ok()?;
    let since = meta.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let kind = name.split(['-', '.']).next().unwrap_or_default().to_owned();
    let modified_unix_ms = since.and_then(|d| u64::try_from(d.as_millis()).ok());
    Some(Capture { kind, bytes: meta.len(), modified_unix_ms, name, reason: None })
}

/// The content of a file of the directory.
pub(crate) fn read(config: &Config, name: &str) -> Result<Vec<u8>, Failure> {
    let Some(dir) = &config.capture_dir else {
        return Err(not_found("no capture directory is set; set DIAG_CAPTURE_DIR".to_owned()));
    };
    if !is_plain(name) {
        return Err(Failure::bad_request(
            "a capture is named by its file name alone, of letters, digits, '.', '_' and '-'",
        ));
    }
    let file = open(dir, name).map_err(|e| {
        not_found(format!(
            "cannot open the capture {name}: {e}; /debug/diag/api/v1/captures lists what there is"
        ))
    })?;
    let mut bytes = Vec::new();
    let read = file.take(MOST_FILE_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|e| Failure::internal(format!("cannot read the capture {name}: {e}; ask again")))?;
    if bytes.len() as u64 > MOST_FILE_BYTES {
        return Err(Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the capture {name} is larger than {MOST_FILE_BYTES} bytes; copy it and use `diag-cli`"),
        ));
    }
    Ok(bytes)
}

/// A regular file; no link is followed, and no other file is waited for.
fn open(dir: &Path, name: &str) -> std::io::Result<File> {
    let path = dir.join(name);
    if !fs::symlink_metadata(&path)?.is_file() {
        return Err(std::io::Error::other("it is no regular file"));
    }
    let file = File::open(&path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        // It may have been replaced by a link in between: then what is open is not what has the name.
        let (named, opened) = (fs::symlink_metadata(&path)?, file.metadata()?);
        if (named.dev(), named.ino()) != (opened.dev(), opened.ino()) {
            return Err(std::io::Error::other("it was replaced meanwhile"));
        }
    }
    Ok(file)
}

fn not_found(text: String) -> Failure {
    Failure::new(StatusCode::NOT_FOUND, text)
}

/// No separators, nothing hidden, nothing that a header or a shell would have to quote.
fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    name.len() <= MOST_NAME_BYTES
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(dir: &Path) -> Config {
        let mut config = Config::default();
        config.capture_dir = Some(dir.to_path_buf());
        config
    }

    #[test]
    fn no_name_leads_out_of_the_directory() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("captures");
        fs::create_dir_all(dir.join("inner-dir")).unwrap();
        fs::write(root.path().join("secret"), b"secret").unwrap();
        fs::write(dir.join("heap-1.pb.gz"), b"heap").unwrap();
        fs::write(dir.join(".heap-2.pb.gz.part"), b"part").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(root.path().join("secret"), dir.join("heap-3.pb.gz")).unwrap();
        let config = config(&dir);
        let listed: Vec<String> = list(&config).unwrap().captures.into_iter().map(|c| c.name).collect();
        assert_eq!(listed, ["heap-1.pb.gz"]);
        assert_eq!(read(&config, "heap-1.pb.gz").unwrap(), b"heap");
        let absolute = root.path().join("secret").display().to_string();
        let bad = [
            "",
            ".",
            "..",
            "../secret",
            "inner-dir/../../secret",
            "..\\secret",
            "heap-3.pb.gz",
            "inner-dir",
            ".heap-2.pb.gz.part",
            "heap-1.pb.gz\0",
            "heap-9.pb.gz",
            absolute.as_str(),
        ];
        for name in bad {
            assert!(read(&config, name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn files_of_a_rule_say_why_they_are_there() {
        let dir = tempfile::tempdir().unwrap();
        let (told, quiet) = ("20261129T173330.120Z-7-near_limit", "20261129T173331.000Z-7-usr2");
        let event =
            r#"{"schema":"diag.event/1","rule":"near_limit","why":"91 %","at_unix_ns":1795973610120000000}"#;
        fs::write(dir.path().join(format!("event-{told}.json")), event).unwrap();
        for name in [
            format!("heap-{told}.pb.gz"),
            format!("cpu-{quiet}.pb.gz"),
            "heap-20261129T173330.120Z-7.pb.gz".into(),
        ] {
            fs::write(dir.path().join(name), b"").unwrap();
        }
        let listing = serde_json::to_value(list(&config(dir.path())).unwrap()).unwrap();
        let reason = |name: &str| {
            let all = listing["captures"].as_array().unwrap();
            all.iter().find(|c| c["name"] == name).unwrap_or_else(|| panic!("{name}: {listing}"))["reason"]
                .clone()
        };
        let expected = serde_json::json!(
            {"rule": "near_limit", "why": "91 %", "fired_unix_ms": 1_795_973_610_120_u64, "problems": []}
        );
        assert_eq!(reason(&format!("heap-{told}.pb.gz")), expected);
        assert_eq!(reason(&format!("event-{told}.json")), expected);
        assert_eq!(reason(&format!("cpu-{quiet}.pb.gz"))["rule"], "usr2");
        assert_eq!(reason("heap-20261129T173330.120Z-7.pb.gz"), serde_json::Value::Null);
    }

    #[test]
    fn a_directory_that_is_not_there_yet_is_empty() {
        let root = tempfile::tempdir().unwrap();
        let listing = list(&config(&root.path().join("later"))).unwrap();
        assert!(listing.captures.is_empty() && listing.dir.is_some());
        assert!(list(&Config::default()).unwrap().dir.is_none());
    }
}
