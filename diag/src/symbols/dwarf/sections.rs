//! The sections that names and lines come from.

use std::borrow::Cow;
use std::convert::Infallible;

use gimli::{DwarfPackageSections, DwarfSections, SectionId};

use crate::symbols::image::{self, Elf, Image};

const NEEDED: [SectionId; 9] = [
    SectionId::DebugAbbrev,
    SectionId::DebugAddr,
    SectionId::DebugInfo,
    SectionId::DebugLine,
    SectionId::DebugLineStr,
    SectionId::DebugRanges,
    SectionId::DebugRngLists,
    SectionId::DebugStr,
    SectionId::DebugStrOffsets,
];

/// Needed of packages besides: their index, and whatever it speaks of.
const IN_PACKAGES: [SectionId; 7] = [
    SectionId::DebugCuIndex,
    SectionId::DebugTuIndex,
    SectionId::DebugLoc,
    SectionId::DebugLocLists,
    SectionId::DebugMacinfo,
    SectionId::DebugMacro,
    SectionId::DebugTypes,
];

/// Contents of a section: in place, or copied.
type Bytes<'d> = Cow<'d, [u8]>;

/// Bytes on the heap that using a file costs.
pub(in crate::symbols) fn cost(image: &Image, elf: &Elf<'_>) -> u64 {
    let linked = NEEDED.iter().map(|id| id.name());
    let split = NEEDED.iter().chain(&IN_PACKAGES).filter_map(|id| id.dwo_name());
    linked.chain(split).map(|name| image.section_cost(elf, name)).fold(0, u64::saturating_add)
}

/// The sections of a linked file.
pub(in crate::symbols) fn linked<'d>(elf: &Elf<'d>) -> DwarfSections<Bytes<'d>> {
    let load = |id: SectionId| Ok::<_, Infallible>(contents(elf, Some(id.name()), NEEDED.contains(&id)));
    let Ok(sections) = DwarfSections::load(load);
    sections
}

/// The sections of a `.dwo` file.
pub(super) fn split<'d>(elf: &Elf<'d>) -> DwarfSections<Bytes<'d>> {
    let load = |id: SectionId| Ok::<_, Infallible>(contents(elf, id.dwo_name(), NEEDED.contains(&id)));
    let Ok(sections) = DwarfSections::load(load);
    sections
}

/// The sections of a `.dwp` file.
pub(super) fn package<'d>(elf: &Elf<'d>) -> gimli::Result<DwarfPackageSections<Bytes<'d>>> {
    DwarfPackageSections::load(|id| {
        Ok(contents(elf, id.dwo_name(), NEEDED.contains(&id) || IN_PACKAGES.contains(&id)))
    })
}

fn contents<'d>(elf: &Elf<'d>, name: Option<&str>, is_needed: bool) -> Bytes<'d> {
    name.filter(|_| is_needed).map_or(Cow::Borrowed(&[]), |name| image::section(elf, name))
}
