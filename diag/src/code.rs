//! The object files of the process as mappings of a profile.

use std::ops::Range;

use crate::profile::{Mapping, MappingId, MappingSymbols, ProfileBuilder};
use crate::sys::modules::Module;

/// Adds a mapping for each executable segment; `out` tells which addresses are whose.
pub(crate) fn add_mappings(
    builder: &mut ProfileBuilder,
    module: &Module,
    out: &mut Vec<(Range<u64>, MappingId)>,
) {
    let (file, build_id) = (builder.str(&module.path), builder.str(&module.build_id));
    for segment in &module.code {
        // Page-aligned, as /proc/self/maps shows it: pprof finds a file's base by it.
        let excess = segment.range.start % 4096;
        let id = builder.mapping(Mapping {
            start: segment.range.start - excess,
            limit: segment.range.end.next_multiple_of(4096),
            file_offset: segment.file_offset.saturating_sub(excess),
            file,
            build_id,
            symbols: MappingSymbols::default(),
        });
        out.push((segment.range.clone(), id));
    }
}
