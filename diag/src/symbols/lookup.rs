//! Answers a batch of addresses of one module from its files, and lets go of them.

use std::path::{Path, PathBuf};

use gimli::{EndianSlice, RunTimeEndian};
use object::Object;

use super::dwarf::split::{SplitFiles, SplitUnit};
use super::dwarf::{self, sections};
use super::image::{self, Access, Elf, Image, Layout};
use super::locate::{self, Files};
use super::options::Options;
use super::report::{Detail, ModuleReport};
use super::resident::Resident;
use super::symtab::{self, Symtab};
use super::table::{Answers, Known};
use crate::profile::symbolize::Module;

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
        && from_dwarf(module, open, &files, &addresses, &mut answers, options, report)
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
    let (named, lined) = answers.counts();
    if detail == Detail::Lines && lined * 2 < named {
        // A Rust program without debug information still has that of the standard library.
        detail = Detail::Functions;
        report.note(
            "most of it was built without debug information; `debug = \"limited\"` in its Cargo profile gives lines and \
             inlined functions"
                .to_owned(),
        );
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
    module: &Module<'_>,
    open: &Open<'_>,
    files: &Files,
    addresses: &[u64],
    answers: &mut Answers,
    options: &Options,
    report: &mut ModuleReport,
) -> bool {
    let supplementary = open_elf(&files.supplementary);
    let cost = [Some(open), supplementary.as_ref()]
        .into_iter()
        .flatten()
        .map(|o| sections::cost(o.image, &o.elf))
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
    let own = sections::linked(&open.elf);
    let shared = supplementary.as_ref().map(|o| sections::linked(&o.elf));
    let mut dwarf = own.borrow_with_sup(shared.as_ref(), |s| EndianSlice::new(s, endian));
    let images = [Some(open), supplementary.as_ref()].into_iter().flatten().map(|o| o.image);
    // A tool may take what it takes.
    let resident = if options.in_process { Resident::of(images) } else { Resident::default() };
    let mut split =
        Split { beside: vec![&open.image.path, Path::new(module.file)], options, report, package: None };
    dwarf::resolve(&mut dwarf, addresses, &mut split, &resident, answers);
    resident.give_back();
    true
}

/// Finds what a module's debug information was split into.
struct Split<'a> {
    /// Files that may have a package beside them.
    beside: Vec<&'a Path>,
    options: &'a Options,
    report: &'a mut ModuleReport,
    /// Looked for at the first question.
    package: Option<Option<Image>>,
}

impl Split<'_> {
    fn open(&mut self, path: &Path) -> Option<Image> {
        if !path.exists() {
            self.report.missing(path);
            return None;
        }
        let limit = self.options.max_copied_bytes;
        let opened = Image::open(path, self.options.access()).and_then(|image| {
            let cost = sections::cost(&image, &image.elf()?);
            if cost > limit {
                return Err(format!(
                    "it would take {} MiB of memory, {} MiB are allowed",
                    cost >> 20,
                    limit >> 20
                ));
            }
            Ok(image)
        });
        match opened {
            Ok(image) => {
                if !self.report.used.contains(&image.path) && self.report.used.len() < MAX_USED {
                    self.report.used.push(image.path.clone());
                }
                Some(image)
            }
            Err(why) => {
                self.report.refuse(path, why);
                None
            }
        }
    }
}

/// Most files listed as used: a program can be split into thousands.
const MAX_USED: usize = 8;

impl SplitFiles for Split<'_> {
    fn package(&mut self) -> Option<&Image> {
        if self.package.is_none() {
            let mut candidates: Vec<PathBuf> = Vec::new();
            for file in &self.beside {
                let mut package = file.as_os_str().to_owned();
                package.push(".dwp");
                let package = PathBuf::from(package);
                let in_symbol_path = package
                    .file_name()
                    .map(|name| self.options.symbol_path.iter().map(move |d| d.join(name)));
                candidates.extend(in_symbol_path.into_iter().flatten());
                candidates.push(package);
            }
            self.package = Some(candidates.iter().find_map(|path| self.open(path)));
        }
        self.package.as_ref().and_then(Option::as_ref)
    }

    fn single(&mut self, unit: &SplitUnit) -> Option<Image> {
        let path = Path::new(&unit.comp_dir).join(&unit.name);
        let in_symbol_path =
            path.file_name().map(|name| self.options.symbol_path.iter().map(move |d| d.join(name)));
        let candidates: Vec<PathBuf> =
            std::iter::once(path.clone()).chain(in_symbol_path.into_iter().flatten()).collect();
        candidates.iter().find_map(|path| self.open(path))
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
    let cost = if open.image.access() == Access::Read { symtab::size_bytes(&open.elf, which) } else { 0 };
    if cost > options.max_copied_bytes {
        report.note(format!("{name} of {} is not used: {} MiB", open.image.path.display(), cost >> 20));
        return false;
    }
    symtab::resolve(&open.elf, which, addresses, answers) > 0
}
