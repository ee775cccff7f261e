//! Files that appear whole, and the time in their names.

use std::path::Path;
use std::{fs, io};

use crate::sys::clock::{Utc, utc};

pub(super) fn on(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// What ends the name of a file that is being written; a dot begins it.
const UNFINISHED: &str = ".part";

/// The name that an unfinished file was to have.
pub(super) fn unfinished(name: &str) -> Option<&str> {
    name.strip_prefix('.')?.strip_suffix(UNFINISHED)
}

/// Writes under a name that no reader takes for a capture, then renames.
pub(super) fn write_whole(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let part = dir.join(format!(".{name}{UNFINISHED}"));
    let written = fs::write(&part, bytes).and_then(|()| fs::rename(&part, dir.join(name)));
    written.map_err(|e| {
        let _ = fs::remove_file(&part);
        on(&dir.join(name), e)
    })
}

/// Makes a file and deletes it.
pub(super) fn try_write(dir: &Path) -> io::Result<()> {
    let probe = dir.join(format!(".probe-{}.part", std::process::id()));
    fs::write(&probe, b"probe").and_then(|()| fs::remove_file(&probe)).map_err(|e| on(&probe, e))
}

/// `20261121T132500.123Z`: sorts by time.
pub(super) fn basic_utc(unix_ns: u64) -> String {
    let Utc { year, month, day, hour, minute, second } = utc(unix_ns);
    let ms = unix_ns / 1_000_000 % 1_000;
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_utc_and_sort() {
        assert_eq!(basic_utc(0), "19700101T000000.000Z");
        assert_eq!(basic_utc(1_709_164_799_999_000_000), "20240228T235959.999Z");
        assert_eq!(basic_utc(1_709_251_199_000_000_000), "20240229T235959.000Z");
        assert_eq!(basic_utc(1_709_251_200_000_000_000), "20240301T000000.000Z");
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(write_whole(&dir.path().join("missing"), "heap-x.pb.gz", b"x").is_err());
        fs::create_dir(dir.path().join("heap-y.pb.gz")).unwrap();
        assert!(write_whole(dir.path(), "heap-y.pb.gz", b"x").is_err());
        try_write(dir.path()).unwrap();
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["heap-y.pb.gz"]);
        assert!(try_write(&dir.path().join("missing")).is_err());
    }
}
