//! The fallback: jemalloc's own dump (`prof.dump`), parsed. In use only; weights are averages of a stack, as the format
//! allows no better. jemalloc holds its locks while it dumps, tens of milliseconds for many stacks.

use super::HeapError;
use crate::profile::{Profile, heap_v2};
use crate::sys::{clock, jemalloc, memory_file::MemoryFile};

/// The heap by way of the dump.
pub(crate) fn take() -> Result<Profile, HeapError> {
    let mut profile = heap_v2::parse(&text()?)?;
    profile.annotate(|meta| {
        meta.time_unix_ns = i64::try_from(clock::unix_ns()).ok();
        meta.comments.push("source: jemalloc prof.dump (no sample hooks); in-use values only".to_owned());
    });
    Ok(profile)
}

/// Dumps to a file in memory and reads it back.
pub(crate) fn text() -> Result<Vec<u8>, HeapError> {
    let failed = |what: &str, e: std::io::Error| HeapError::Failed { why: format!("{what}: {e}") };
    let file = MemoryFile::create().map_err(|e| failed("no file in memory for jemalloc's dump", e))?;
    jemalloc::dump(&file.path()).map_err(|e| super::handle::refused("prof.dump", &e))?;
    file.read().map_err(|e| failed("jemalloc's dump could not be read back", e))
}
