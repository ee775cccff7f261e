//! Names for addresses, from object files: DWARF with lines and inlined functions, else symbol tables.
//!
//! [`Resolver`] is a [`SymbolSource`]: pass it to [`symbolize`](crate::profile::symbolize::symbolize). It finds the files
//! of a module, checks that they are the right ones (`locate`), reads what is needed for the addresses asked for
//! (`dwarf`, `symtab`), forgets the files, and keeps the answers within bounds (`cache`, `disk`). It holds no open file between
//! calls and is `Send`, so that a server keeps one behind a lock. What happened to each module is in
//! [`Resolver::reports`].
//!
//! ELF only. Not read: stabs, debuginfod, MiniDebugInfo (`.gnu_debugdata`).

mod cache;
mod demangle;
mod disk;
mod dwarf;
mod image;
mod locate;
mod lookup;
mod options;
mod qualify;
mod report;
mod resident;
mod resolver;
mod symtab;
mod table;
#[cfg(test)]
mod tests;

use std::path::Path;

#[cfg(diag_fuzz)]
pub(crate) use demangle::demangle;
pub use options::Options;
pub use report::{Detail, ModuleReport, Refused};
pub use resolver::{CacheStats, Resolver};

#[cfg(doc)]
use crate::profile::symbolize::SymbolSource;

/// The build id of an object file, in lower-case hex; empty when it has none.
///
/// # Errors
/// A sentence: not there, not a regular file, not ELF.
pub fn build_id_of_file(path: &Path) -> Result<String, String> {
    // Read, not mapped: this runs in host processes, on any file.
    let image = image::Image::open(path, image::Access::Read)?;
    let elf = image.elf()?;
    Ok(image::build_id(&elf))
}
