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

    /// Takes its pages out of resident memory. What is looked at again comes back from the file.
    pub(crate) fn give_back(&self) {
        // SAFETY: nothing is ever written to the mapping, so a page that is dropped comes back with the bytes of the file, as
        // it would have come the first time. A refusal leaves the pages where they are.
        let _ = unsafe { self.0.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
    }
}
