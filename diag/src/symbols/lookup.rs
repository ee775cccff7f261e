//! Answers a batch of addresses of one module from its files, and lets go of them.

use std::borrow::Cow;
use std::convert::Infallible;

use gimli::{DwarfSections, EndianSlice, RunTimeEndian, SectionId};
use object::Object;

use super::dwarf;
use super::image::{self, Access, Elf, Image, Layout};
use super::locate::{self, Files};
use super::options::Options;
use super::report::{Detail, ModuleReport};
use super::symtab::{self, Symtab};
use super::table::{Answers, Known};
use crate::profile::symbolize::Module;

/// The sections that names and lines come from.
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

/// A file being used.
struct Open<'f> {
    image: &'f Image,
    elf: Elf<'f>,
}

/// Finds the files of a module and reads the answers from them, by position in `offsets`; and how good they are.
pub(super) fn look_up(
    module: &Module<'_>,
    offsets: &[u64],
    options: &Options,
    report: &mut ModuleReport,
) -> (Answers, Detail) {
    let files = locate::locate(module, options, report);
    let image = open_elf(&files.image);
    let debug = open_elf(&files.debug);
    report.used = [&image, &debug].into_iter().flatten().map(|o| o.image.path.clone()).collect();
    report.verified = !module.build_id.is_empty() && !report.used.is_empty();
    let (order, addresses) = addresses(module, offsets, image.as_ref(), debug.as_ref());
    let mut answers = Answers::new(addresses.len());
    let mut detail = Detail::None;
    let with_dwarf = [&image, &debug].into_iter().flatten().find(|o| image::has_dwarf(&o.elf));
    if let Some(open) = with_dwarf
        && from_dwarf(open, &files, &addresses, &mut answers, options, report)
    {
        detail = Detail::Lines;
    }
    let tables = [(&image, Symtab::Full), (&debug, Symtab::Full), (&image, Symtab::Dynamic)];
    for (open, which) in tables {
        let Some(open) = open else { continue };
        let left = (0..addresses.len()).any(|i| answers.known(i) < Known::Function);
        if left && from_symtab(open, which, &addresses, &mut answers, options, report) {
            detail = detail.max(match which {
                Symtab::Full => Detail::Functions,
                Symtab::Dynamic => Detail::Exported,
            });
        }
    }
    (answers.reordered(&order, offsets.len()), detail)
}

fn open_elf(image: &Option<Image>) -> Option<Open<'_>> {
    let image = image.as_ref()?;
    Some(Open { image, elf: image.elf().ok()? })
}

/// Addresses as stated in the files, ascending, and for each one its position in `offsets`.
fn addresses(
    module: &Module<'_>,
    offsets: &[u64],
    image: Option<&Open<'_>>,
    debug: Option<&Open<'_>>,
) -> (Vec<usize>, Vec<u64>) {
    let layout = image.or(debug).map(|o| Layout::of(&o.elf)).unwrap_or_default();
    let address = |offset: u64| {
        let by_mapping = || layout.address_by_mapping(offset, module.file_offset, module.size_bytes);
        // Only a file with debug information alone needs the second way.
        layout.address_of(offset).or_else(|| if image.is_none() { by_mapping() } else { None })
    };
    let mut sorted: Vec<(u64, usize)> =
        offsets.iter().enumerate().filter_map(|(i, &o)| Some((address(o)?, i))).collect();
    sorted.sort_unstable();
    let (addresses, order): (Vec<u64>, Vec<usize>) = sorted.into_iter().unzip();
    (order, addresses)
}

/// Whether debug information was used.
fn from_dwarf(
    open: &Open<'_>,
    files: &Files,
    addresses: &[u64],
    answers: &mut Answers,
    options: &Options,
    report: &mut ModuleReport,
) -> bool {
    let supplementary = open_elf(&files.supplementary);
    let cost: u64 = [Some(open), supplementary.as_ref()]
        .into_iter()
        .flatten()
        .flat_map(|o| NEEDED.iter().map(|id| image::section_cost(&o.elf, id.name(), o.image.access())))
        .fold(0, u64::saturating_add);
    if cost > options.max_copied_bytes {
        report.note(format!(
            "the debug information of {} is not used: it would take {} MiB of memory, {} MiB are allowed",
            open.image.path.display(),
            cost >> 20,
            options.max_copied_bytes >> 20
        ));
        return false;
    }
    let endian = if open.elf.is_little_endian() { RunTimeEndian::Little } else { RunTimeEndian::Big };
    let own = sections(&open.elf);
    let shared = supplementary.as_ref().map(|o| sections(&o.elf));
    let dwarf = own.borrow_with_sup(shared.as_ref(), |s| EndianSlice::new(s, endian));
    dwarf::resolve(&dwarf, addresses, answers);
    true
}

fn sections<'d>(elf: &Elf<'d>) -> DwarfSections<Cow<'d, [u8]>> {
    let load = |id: SectionId| -> Result<Cow<'d, [u8]>, Infallible> {
        Ok(if NEEDED.contains(&id) { image::section(elf, id.name()) } else { Cow::Borrowed(&[]) })
    };
    match DwarfSections::load(load) {
        Ok(sections) => sections,
    }
}

/// Whether the table named an address.
fn from_symtab(
    open: &Open<'_>,
    which: Symtab,
    addresses: &[u64],
    answers: &mut Answers,
    options: &Options,
    report: &mut ModuleReport,
) -> bool {
    let name = match which {
        Symtab::Full => ".symtab",
        Symtab::Dynamic => ".dynsym",
    };
    let cost = if open.image.access() == Access::Read { image::section_size(&open.elf, name) } else { 0 };
    if cost > options.max_copied_bytes {
        report.note(format!("{name} of {} is not used: {} MiB", open.image.path.display(), cost >> 20));
        return false;
    }
    symtab::resolve(&open.elf, which, addresses, answers) > 0
}
