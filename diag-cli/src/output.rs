//! Where results go: standard output, or a file that appears whole or not at all.
//!
//! A regular file is written beside its destination under a temporary name, synced, and renamed over it. A device or
//! a pipe (`/dev/null`, `/dev/stdout`) is written in place: renaming would replace it.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// Standard output.
    Stdout,
    /// A file.
    File(PathBuf),
}

impl Sink {
    /// `-` is standard output.
    pub fn parse(path: &Path) -> Self {
        if path.as_os_str() == "-" { Self::Stdout } else { Self::File(path.to_path_buf()) }
    }

    /// Fails early on what can only fail: called before the work is done.
    ///
    /// # Errors
    /// A directory that is missing, or is given in place of a file.
    pub fn check(&self) -> Result<()> {
        let Self::File(path) = self else { return Ok(()) };
        if path.is_dir() {
            return Err(Error::usage(
                format!("cannot write {}: it is a directory", path.display()),
                "name a file in it",
            ));
        }
        let dir = directory_of(path);
        if !dir.is_dir() {
            return Err(Error::failed(
                format!("cannot write {}: there is no directory {}", path.display(), dir.display()),
                format!("mkdir -p {}", dir.display()),
            ));
        }
        Ok(())
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// A message with the path and the cause. The destination is then as it was before.
    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Stdout => print_bytes(bytes),
            Self::File(path) => {
                self.check()?;
                write_file(path, bytes).map_err(|e| write_error(path, &e))
            }
        }
    }
}

/// Writes text to standard output.
///
/// # Errors
/// [`Error::BrokenPipe`] when nobody reads any more.
pub fn print(text: &str) -> Result<()> {
    print_bytes(text.as_bytes())
}

/// Refuses to send binary data to a terminal.
///
/// # Errors
/// Usage, naming the flag.
pub fn refuse_terminal(what: &str) -> Result<()> {
    if io::stdout().is_terminal() {
        return Err(Error::usage(
            format!("{what} is binary and stdout is a terminal"),
            "give -o FILE, or pipe it",
        ));
    }
    Ok(())
}

fn print_bytes(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Err(Error::BrokenPipe),
        Err(e) => Err(Error::failed(format!("cannot write to stdout: {e}"), disk_advice(&e))),
    }
}

fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Through a symbolic link, so that the link stays one.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let old = fs::metadata(&path).ok();
    if old.as_ref().is_some_and(|m| !m.is_file()) {
        let mut device = OpenOptions::new().write(true).open(&path)?;
        return device.write_all(bytes).and_then(|()| device.flush());
    }
    let (temporary, mut file) = create_beside(&path)?;
    let result = file
        .write_all(bytes)
        .and_then(|()| match &old {
            Some(m) => file.set_permissions(m.permissions()),
            None => Ok(()),
        })
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, &path));
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    } else if let Ok(dir) = File::open(directory_of(&path)) {
        // The name itself survives a power cut only when the directory is synced; some file systems cannot.
        let _ = dir.sync_all();
    }
    result
}

/// A new file `.<name>.<pid>-<n>.part` in the directory of `path`.
fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let name = path.file_name().ok_or_else(|| io::Error::from(ErrorKind::InvalidInput))?;
    for n in 0..100 {
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}-{n}.part", std::process::id()));
        let temporary = path.with_file_name(hidden);
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            Ok(file) => return Ok((temporary, file)),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Err(io::Error::from(ErrorKind::AlreadyExists))
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

/// The message for a failed write.
pub fn write_error(path: &Path, e: &io::Error) -> Error {
    Error::failed(format!("cannot write {}: {}", path.display(), reason(e)), disk_advice(e))
}

/// The cause without Rust's `(os error 28)`.
pub fn reason(e: &io::Error) -> String {
    let text = e.to_string();
    match text.find(" (os error") {
        Some(at) => text.get(..at).unwrap_or(&text).to_owned(),
        None => text,
    }
}

fn disk_advice(e: &io::Error) -> &'static str {
    match e.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free some space, or write elsewhere with -o",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "check the permissions, or write elsewhere with -o"
        }
        _ => "write elsewhere with -o",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_whole_and_keeps_its_mode() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.svg");
        Sink::File(path.clone()).write(b"one").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        Sink::File(path.clone()).write(b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(entries(dir.path()), ["out.svg"]);
    }

    #[test]
    fn links_stay_links_and_devices_stay_devices() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path().join("real"), &link).unwrap();
        fs::write(dir.path().join("real"), "old").unwrap();
        Sink::File(link.clone()).write(b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(dir.path().join("real")).unwrap(), b"new");
        Sink::File("/dev/null".into()).write(b"gone").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        let full = Sink::File("/dev/full".into()).write(b"x").unwrap_err();
        assert!(full.line().contains("space"), "{full}");
    }

    #[test]
    fn wrong_places_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let e = Sink::File(dir.path().into()).write(b"x").unwrap_err();
        assert!(e.exit_code() == 2 && e.line().contains("is a directory"), "{e}");
        let e = Sink::File(dir.path().join("no/x")).write(b"x").unwrap_err();
        assert!(e.exit_code() == 3 && e.line().contains("there is no directory"), "{e}");
        assert!(entries(dir.path()).is_empty());
    }
}
