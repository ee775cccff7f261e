//! Where to look for symbols, and how much to spend.

use std::path::PathBuf;

use super::image::Access;

/// Settings of a [`Resolver`](super::Resolver).
#[derive(Clone, Debug)]
pub struct Options {
    /// The program itself, in place of the path that the profile states. Its build id must fit if the profile has one.
    pub binary: Option<PathBuf>,
    /// Directories with binaries and debug files, by build id (`.build-id/ab/cdef.debug`, `abcdef.debug`) or by name.
    pub symbol_path: Vec<PathBuf>,
    /// Directories laid out as /usr/lib/debug, which is the default.
    pub debug_dirs: Vec<PathBuf>,
    /// Where to keep what was resolved, by build id. `None`: nowhere.
    pub cache_dir: Option<PathBuf>,
    /// Most bytes kept there.
    pub cache_dir_bytes: u64,
    /// Most bytes of debug information copied to the heap for one module (compressed sections; in a host process also
    /// those of other files than its executable). Beyond it only the symbol table is used, and the report says so.
    pub max_copied_bytes: u64,
    /// Most addresses kept in memory.
    pub cache_addresses: usize,
    /// Most bytes of memory for them.
    pub cache_bytes: usize,
    /// Whether the profiles are of this very process: its executable is found by the kernel's name for it and mapped,
    /// every other file is read, for a host must not die when somebody truncates one.
    pub in_process: bool,
}

impl Default for Options {
    /// For a tool that looks at profiles of other processes.
    fn default() -> Self {
        Self {
            binary: None,
            symbol_path: Vec::new(),
            debug_dirs: vec!["/usr/lib/debug".into()],
            cache_dir: None,
            cache_dir_bytes: 1 << 30,
            max_copied_bytes: 4 << 30,
            cache_addresses: 4_000_000,
            cache_bytes: 1 << 30,
            in_process: false,
        }
    }
}

impl Options {
    /// For a service that names its own addresses. Its own executable is mapped, other files are read; little is
    /// copied, and little is kept.
    pub fn in_process() -> Self {
        Self {
            // A container of 128 MiB should survive the question; the CLI can answer it elsewhere.
            max_copied_bytes: 32 << 20,
            cache_addresses: 50_000,
            cache_bytes: 16 << 20,
            in_process: true,
            ..Self::default()
        }
    }

    /// How files other than the own executable are reached.
    pub(super) fn access(&self) -> Access {
        if self.in_process { Access::Read } else { Access::Map }
    }
}
