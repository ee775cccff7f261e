//! Split debug information (DWARF 5, 7.3.2): the linked file keeps addresses and lines, a `.dwo` file or a `.dwp` package
//! holds the functions.

use gimli::{DebugInfoOffset, Dwarf, DwoId, EndianSlice, Reader, Section};

use super::{Slice, Target, sections};
use crate::symbols::image::Image;

/// A unit whose functions are elsewhere.
#[derive(Debug)]
pub(in crate::symbols) struct SplitUnit {
    /// Path of the `.dwo` file as the compiler wrote it, relative to `comp_dir`.
    pub(in crate::symbols) name: String,
    pub(in crate::symbols) comp_dir: String,
}

/// Opens the files that units were split into.
pub(in crate::symbols) trait SplitFiles {
    /// The package with all units of the file, if there is one.
    fn package(&mut self) -> Option<&Image>;
    /// The file of one unit.
    fn single(&mut self, unit: &SplitUnit) -> Option<Image>;
}

/// Answers from the split part of the unit at `head`. `None`: it was not found.
pub(super) fn resolve<'d>(
    dwarf: &Dwarf<Slice<'d>>,
    head: DebugInfoOffset,
    id: DwoId,
    files: &mut dyn SplitFiles,
    target: &mut Target<'_>,
) -> Option<()> {
    let endian = dwarf.debug_info.reader().endian();
    if let Some(image) = files.package()
        && let Ok(elf) = image.elf()
        && let Ok(sections) = sections::package(&elf)
    {
        let package = sections.borrow(|s| EndianSlice::new(s, endian), EndianSlice::new(&[], endian)).ok();
        if let Some(split) = package.and_then(|p| p.find_cu(id, dwarf).ok().flatten()) {
            return in_unit(dwarf, head, id, &split, target);
        }
    }
    let unit = dwarf.unit(dwarf.unit_header(head).ok()?).ok()?;
    let name = unit.dwo_name().ok()??;
    let name = dwarf.attr_string(&unit, name).ok()?.to_string_lossy().into_owned();
    let comp_dir = unit.comp_dir.map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let image = files.single(&SplitUnit { name, comp_dir })?;
    let elf = image.elf().ok()?;
    let sections = sections::split(&elf);
    let mut split = sections.borrow(|s| EndianSlice::new(s, endian));
    split.make_dwo(dwarf);
    in_unit(dwarf, head, id, &split, target)
}

fn in_unit<'d>(
    dwarf: &Dwarf<Slice<'d>>,
    head: DebugInfoOffset,
    id: DwoId,
    split: &Dwarf<Slice<'d>>,
    target: &mut Target<'_>,
) -> Option<()> {
    let skeleton = dwarf.unit(dwarf.unit_header(head).ok()?).ok()?;
    let header = split.units().next().ok()??;
    let mut unit = split.unit(header).ok()?;
    if unit.dwo_id != Some(id) {
        return None;
    }
    unit.copy_relocated_attributes(&skeleton);
    target.answer(unit.unit_ref(split), skeleton.unit_ref(dwarf));
    Some(())
}
