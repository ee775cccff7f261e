//! A file mapped read-only.
//!
//! Reading a page that lies behind the end of the file kills the process (SIGBUS). So a file that somebody may truncate
//! is mapped only by programs that can afford it; a host service maps nothing but its own executable, which the kernel
//! keeps from being written while it runs (ETXTBSY).

use std::fs::File;
use std::io;

/// The bytes of a file.
#[derive(Debug)]
pub(crate) struct MappedFile(memmap2::Mmap);

impl MappedFile {
    /// Maps the whole of a regular file.
    pub(crate) fn new(file: &File) -> io::Result<Self> {
        // SAFETY: the map is private and read-only, and handed out as bytes only, for which every content is valid. What
        // remains is truncation or change of the file by others: see above; parsers of these bytes check every offset
        // they take from them.
        let map = unsafe { memmap2::Mmap::map(file) }?;
        Ok(Self(map))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
