//! Bounded reading below a root directory, so that tests can bring their own `/proc` and `/sys`.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

/// More than any file read here has on a sane machine, except mountinfo on hosts with very many containers; what
/// lies beyond is left out, from the last whole line on.
const MOST_BYTES: u64 = 1 << 20;

/// A directory that stands for `/`.
#[derive(Clone, Debug)]
pub(super) struct Source {
    root: PathBuf,
}

impl Source {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    /// The text of the file at an absolute path, at most [`MOST_BYTES`]; what is not UTF-8 is replaced.
    /// The error says why not, and names the path.
    pub(super) fn read(&self, path: &str) -> Result<String, String> {
        let mut bytes = Vec::new();
        File::open(self.at(path))
            .and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes))
            .map_err(|e| reason(path, &e))?;
        if bytes.len() as u64 == MOST_BYTES {
            let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
            bytes.truncate(whole);
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The file at an absolute path, to be read line by line. The error names the path.
    pub(super) fn open(&self, path: &str) -> Result<File, String> {
        File::open(self.at(path)).map_err(|e| reason(path, &e))
    }

    /// The names in the directory at an absolute path, at most `most`. The error names the path.
    pub(super) fn names(&self, path: &str, most: usize) -> Result<Vec<String>, String> {
        let entries = std::fs::read_dir(self.at(path)).map_err(|e| reason(path, &e))?;
        Ok(entries.flatten().take(most).filter_map(|e| e.file_name().into_string().ok()).collect())
    }

    pub(super) fn is_dir(&self, path: &str) -> bool {
        self.at(path).is_dir()
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
}

pub(super) fn reason(path: &str, error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => format!("no {path}"),
        ErrorKind::PermissionDenied => format!("no permission to read {path}"),
        _ => format!("{path}: {error}"),
    }
}
