//! `captures.jsonl`: what happened, a JSON object a line, appended in one write each.
//!
//! A line that was cut by a crash stays alone on its line; readers skip it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::clock;
use crate::error::Result;
use crate::output::write_error;

/// The name of the file.
pub(super) const NAME: &str = "captures.jsonl";

/// An open journal.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Opens or makes the journal of a directory.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(NAME);
        let open = || -> std::io::Result<File> {
            let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
            let length = file.seek(SeekFrom::End(0))?;
            let mut last = [b'\n'];
            if length > 0 {
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
            }
            if last != *b"\n" {
                file.write_all(b"\n")?;
            }
            Ok(file)
        };
        let file = open().map_err(|e| write_error(&path, &e))?;
        Ok(Self { path, file })
    }

    /// Appends an event; `details` is an object.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn write(&mut self, event: &str, details: Value) -> Result<()> {
        let mut line = json!({
            "schema": "diag.captures/1", "event": event, "at": clock::rfc3339(clock::now_unix_ns()),
        });
        if let (Some(line), Value::Object(details)) = (line.as_object_mut(), details) {
            line.extend(details);
        }
        let text = format!("{line}\n");
        self.file.write_all(text.as_bytes()).map_err(|e| write_error(&self.path, &e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_stays_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(NAME), "{\"event\":\"st").unwrap();
        Journal::open(dir.path()).unwrap().write("start", json!({"target": "t"})).unwrap();
        Journal::open(dir.path()).unwrap().write("end", json!({})).unwrap();
        let text = std::fs::read_to_string(dir.path().join(NAME)).unwrap();
        let lines: Vec<_> = text.lines().map(serde_json::from_str::<Value>).collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].is_err());
        assert_eq!(lines[1].as_ref().unwrap()["target"], "t");
        assert_eq!(lines[2].as_ref().unwrap()["event"], "end");
    }
}
