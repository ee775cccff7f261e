//! Gives names to the addresses of a profile. Pure: who knows the names is passed in as a [`SymbolSource`].
//!
//! What [`symbolize`] does, in order:
//! 1. every location with an address, a mapping and no lines is looked up, all addresses of a mapping at once, sorted
//!    and without repetition;
//! 2. inlined functions become lines of their location, innermost first;
//! 3. in heap profiles the allocator's own frames are taken off the leaf, in profiles of contention those of the locks. Where they
//!    were inlined into the caller, the location keeps the caller's lines only. A stack that is nothing else stays as it is;
//! 4. samples that became equal are added up.
//!
//! A location nobody knows keeps its empty lines, so that viewers show module and address ([`address_name`]).
//! Addresses stay distinct within a mapping: viewers and delta computation identify locations by address.

mod rewrite;
#[cfg(test)]
mod tests;

use super::error::ProfileError;
use super::ids::LocationId;
use super::model::Profile;

/// A mapped object file, as a [`SymbolSource`] sees it.
#[derive(Clone, Copy, Debug)]
pub struct Module<'a> {
    /// Path of the file as the profiled process saw it.
    pub file: &'a str,
    /// Build id in lower-case hex, or empty when not known.
    pub build_id: &'a str,
    /// Whether this is the program itself: the first mapping of a profile.
    pub is_main: bool,
    /// Offset in the file of the first mapped byte.
    pub file_offset: u64,
    /// Bytes mapped; 0 when not known.
    pub size_bytes: u64,
}

/// A function at an address, possibly inlined. Empty texts and zeros mean "not known".
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Frame<'a> {
    /// Demangled name.
    pub name: &'a str,
    /// The name the linker uses, when it differs from `name`; else empty.
    pub system_name: &'a str,
    /// Source file.
    pub file: &'a str,
    /// Line in that file.
    pub line: u32,
    /// Line at which the function starts.
    pub start_line: u32,
}

/// Knows the functions at addresses.
pub trait SymbolSource {
    /// Looks up `offsets` of a module: bytes from the start of the file, ascending, distinct, already inside the
    /// call instruction for callers. For each one that is known, calls `found` with its position in `offsets` and its
    /// frames, innermost inlined function first and never empty. The order of calls is free.
    fn resolve(&mut self, module: &Module<'_>, offsets: &[u64], found: &mut dyn FnMut(usize, &[Frame<'_>]));
}

/// Asks several sources in turn: each is asked for what those before it did not know.
#[derive(Debug, Default)]
pub struct Chain<T>(pub Vec<T>);

impl<T: SymbolSource> SymbolSource for Chain<T> {
    fn resolve(&mut self, module: &Module<'_>, offsets: &[u64], found: &mut dyn FnMut(usize, &[Frame<'_>])) {
        let mut missing: Vec<usize> = (0..offsets.len()).collect();
        for source in &mut self.0 {
            let asked: Vec<u64> = missing.iter().filter_map(|&i| offsets.get(i).copied()).collect();
            let mut known = vec![false; asked.len()];
            source.resolve(module, &asked, &mut |at, frames| {
                if let (Some(known), Some(&position)) = (known.get_mut(at), missing.get(at)) {
                    *known = true;
                    found(position, frames);
                }
            });
            let mut known = known.into_iter();
            missing.retain(|_| !known.next().unwrap_or(false));
            if missing.is_empty() {
                return;
            }
        }
    }
}

/// A profile with names, from one with addresses. See the module for what happens.
///
/// # Errors
/// [`ProfileError::Invalid`] when a table outgrows its ids.
pub fn symbolize(profile: &Profile, source: &mut dyn SymbolSource) -> Result<Profile, ProfileError> {
    rewrite::rewrite(profile, source)
}

/// `libfoo.so+0x1234`, the offset being that in the file; `0x1234` when the mapping is not known. For locations
/// without names.
pub fn address_name(profile: &Profile, location: LocationId) -> String {
    let location = profile.location(location);
    let Some(mapping) = location.mapping.map(|m| profile.mapping(m)) else {
        return format!("{:#x}", location.address);
    };
    let file = profile.str(mapping.file);
    let base = file.rsplit('/').next().unwrap_or(file);
    if base.is_empty() {
        return format!("{:#x}", location.address);
    }
    let offset = location.address.wrapping_sub(mapping.start).wrapping_add(mapping.file_offset);
    format!("{base}+{offset:#x}")
}
