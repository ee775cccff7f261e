//! A file in memory with a path, for interfaces that only write to paths.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsRawFd, FromRawFd};

/// Gone when dropped.
pub(crate) struct MemoryFile(File);

impl MemoryFile {
    pub(crate) fn create() -> io::Result<Self> {
        // SAFETY: a constant, zero-terminated name.
        let fd = unsafe { libc::memfd_create(c"diag-heap".as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just opened, owned by nobody else.
        Ok(Self(unsafe { File::from_raw_fd(fd) }))
    }

    /// Valid while this lives.
    pub(crate) fn path(&self) -> CString {
        CString::new(format!("/proc/self/fd/{}", self.0.as_raw_fd())).unwrap_or_default()
    }

    /// What was written through [`path`](Self::path).
    pub(crate) fn read(mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.0.rewind()?;
        self.0.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}
