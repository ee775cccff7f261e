//! Finds the files that know the names of a module, and refuses those that only look like it.
//!
//! A file counts as the module's when its build id is the mapping's. Without a build id in the profile the path has to
//! do, and the report says so. Separate debug information is looked for by build id and by `.gnu_debuglink`, as gdb does
//! (GDB manual, "Separate Debug Files"), the link's CRC-32 being checked where build ids do not decide.

use std::path::{Path, PathBuf};

use super::image::{self, Access, Elf, Image};
use super::options::Options;
use super::report::ModuleReport;
use crate::profile::symbolize::Module;

/// The files of a module.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// What was mapped, or an equal copy: knows the layout.
    pub(super) image: Option<Image>,
    /// A file with more symbols.
    pub(super) debug: Option<Image>,
    /// What `debug`, or else `image`, shares with other files (made by dwz).
    pub(super) supplementary: Option<Image>,
}

const OWN_EXECUTABLE: &str = "/proc/self/exe";

/// Looks for the files of a module; what was refused goes to the report.
pub(super) fn locate(module: &Module<'_>, options: &Options, report: &mut ModuleReport) -> Files {
    let mut files = Files::default();
    for (path, access) in image_candidates(module, options) {
        if let Some(image) = accept(&path, access, module.build_id, report) {
            files.image = Some(image);
            break;
        }
    }
    let (mut build_id, mut link, mut complete) = (module.build_id.to_owned(), None, false);
    let mut image_dir = Path::new(module.file).parent().map(Path::to_owned);
    if let Some(image) = &files.image
        && let Ok(elf) = image.elf()
    {
        if build_id.is_empty() {
            build_id = image::build_id(&elf);
        }
        if image.path != Path::new(OWN_EXECUTABLE) {
            image_dir = image.path.parent().map(Path::to_owned);
        }
        link = elf.gnu_debuglink_name();
        complete = image::has_dwarf(&elf);
    }
    if !complete {
        let candidates = debug_candidates(module, &build_id, options);
        files.debug = candidates.iter().find_map(|path| {
            if files.image.as_ref().is_some_and(|i| i.path == *path) || build_id.is_empty() {
                return None;
            }
            accept(path, options.access(), &build_id, report).filter(adds_symbols)
        });
        if files.debug.is_none()
            && let Some((name, crc)) = link
        {
            files.debug = by_link(&name, crc, image_dir.as_deref(), &build_id, options, report);
        }
    }
    let with_dwarf = files.debug.as_ref().or(files.image.as_ref());
    files.supplementary = with_dwarf.and_then(|image| supplementary(image, options, report));
    report.build_id = build_id;
    files
}

/// Files that may be the module itself, best first.
fn image_candidates(module: &Module<'_>, options: &Options) -> Vec<(PathBuf, Access)> {
    let mut candidates = Vec::new();
    let path = module.file.strip_suffix(" (deleted)").unwrap_or(module.file);
    if module.is_main
        && let Some(binary) = &options.binary
    {
        candidates.push((binary.clone(), options.access()));
    }
    if options.in_process && is_own_executable(module, path) {
        // Still there when the path is not any more. Cannot be truncated while it runs.
        candidates.push((OWN_EXECUTABLE.into(), Access::Map));
    }
    if path.starts_with('/') && path == module.file {
        candidates.push((path.into(), options.access()));
    }
    let name = Path::new(path).file_name();
    for dir in &options.symbol_path {
        candidates.extend(name.map(|n| (dir.join(n), options.access())));
        candidates.push((dir.join(path.trim_start_matches('/')), options.access()));
        candidates.extend(by_id(module.build_id).map(|p| (dir.join(".build-id").join(p), options.access())));
    }
    candidates
}

fn is_own_executable(module: &Module<'_>, path: &str) -> bool {
    let Ok(own) = std::fs::read_link(OWN_EXECUTABLE) else { return false };
    let own = own.to_string_lossy();
    let own = own.strip_suffix(" (deleted)").unwrap_or(&own);
    // With a build id the check of the file decides.
    own == path || (module.is_main && !module.build_id.is_empty())
}

/// `ab/cdef` of the build id `abcdef`; `None` for what is no build id (it becomes part of a path).
fn by_id(build_id: &str) -> Option<PathBuf> {
    if build_id.len() < 4 || !build_id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let (first, rest) = build_id.split_at_checked(2)?;
    Some(Path::new(first).join(rest))
}

/// Files that may hold the debug information of a build id.
fn debug_candidates(module: &Module<'_>, build_id: &str, options: &Options) -> Vec<PathBuf> {
    let mut candidates = Vec::new();
    if module.is_main {
        candidates.extend(options.binary.clone());
    }
    let name = Path::new(module.file.strip_suffix(" (deleted)").unwrap_or(module.file)).file_name();
    let id = by_id(build_id).map(|p| {
        let mut p = p.into_os_string();
        p.push(".debug");
        PathBuf::from(p)
    });
    for dir in options.symbol_path.iter() {
        if let Some(id) = &id {
            candidates.push(dir.join(".build-id").join(id));
            candidates.push(dir.join(id));
            candidates.push(dir.join(format!("{build_id}.debug")));
            candidates.push(dir.join(build_id));
        }
        if let Some(name) = name {
            candidates.push(dir.join(name));
            let mut with_suffix = name.to_owned();
            with_suffix.push(".debug");
            candidates.push(dir.join(with_suffix));
        }
    }
    for dir in &options.debug_dirs {
        candidates.extend(id.as_ref().map(|id| dir.join(".build-id").join(id)));
    }
    candidates
}

/// Opens a file if it is there and has the build id. What is there and does not fit is reported.
fn accept(path: &Path, access: Access, build_id: &str, report: &mut ModuleReport) -> Option<Image> {
    if !path.exists() {
        report.missing(path);
        return None;
    }
    let opened = Image::open(path, access).and_then(|image| {
        let found = image::build_id(&image.elf()?);
        match (build_id, found.as_str()) {
            ("", _) => Ok(image),
            (_, "") => Err(format!("it has no build id, {build_id} is wanted")),
            (wanted, found) if wanted == found => Ok(image),
            (wanted, found) => Err(format!("its build id is {found}, {wanted} is wanted: another build")),
        }
    });
    match opened {
        Ok(image) => Some(image),
        Err(why) => {
            report.refuse(path, why);
            None
        }
    }
}

fn adds_symbols(image: &Image) -> bool {
    image.elf().is_ok_and(|elf| {
        image::has_dwarf(&elf) || super::symtab::has_functions(&elf, super::symtab::Symtab::Full)
    })
}

fn by_link(
    name: &str,
    crc: u32,
    image_dir: Option<&Path>,
    build_id: &str,
    options: &Options,
    report: &mut ModuleReport,
) -> Option<Image> {
    let mut candidates = Vec::new();
    if let Some(dir) = image_dir {
        candidates.push(dir.join(name));
        candidates.push(dir.join(".debug").join(name));
        let under_root = dir.strip_prefix("/").unwrap_or(dir);
        candidates.extend(options.debug_dirs.iter().map(|d| d.join(under_root).join(name)));
    }
    candidates.extend(options.symbol_path.iter().map(|d| d.join(name)));
    candidates.into_iter().find_map(|path| {
        if !path.exists() {
            return None;
        }
        match linked(&path, crc, build_id, options) {
            Ok(image) => Some(image).filter(adds_symbols),
            Err(why) => {
                report.refuse(&path, why);
                None
            }
        }
    })
}

/// The file that a debug link names, if it is the right one. Build ids decide; where one is missing, the CRC does, which takes a
/// reading of the whole file.
fn linked(path: &Path, crc: u32, build_id: &str, options: &Options) -> Result<Image, String> {
    let image = Image::open(path, options.access())?;
    let found = image::build_id(&image.elf()?);
    if !found.is_empty() && !build_id.is_empty() {
        return match found == build_id {
            true => Ok(image),
            false => Err(format!("its build id is {found}, {build_id} is wanted: another build")),
        };
    }
    match image::crc32(path)? {
        found if found == crc => Ok(image),
        found => Err(format!("its CRC is {found:08x}, the debug link says {crc:08x}: another build")),
    }
}

fn supplementary(image: &Image, options: &Options, report: &mut ModuleReport) -> Option<Image> {
    let elf = image.elf().ok()?;
    let (path, build_id) = object::Object::gnu_debugaltlink(&elf).ok()??;
    let path = PathBuf::from(String::from_utf8_lossy(path).into_owned());
    let build_id = image::hex(build_id);
    let mut candidates = vec![image.path.parent().unwrap_or(Path::new("/")).join(&path)];
    if let (Some(id), Some(name)) = (by_id(&build_id), path.file_name()) {
        let mut id = id.into_os_string();
        id.push(".debug");
        for dir in options.symbol_path.iter().chain(&options.debug_dirs) {
            candidates.push(dir.join(".build-id").join(&id));
            candidates.push(dir.join(".dwz").join(name));
        }
    }
    let found = candidates.iter().find_map(|path| accept(path, options.access(), &build_id, report));
    if found.is_none() {
        report.note(format!(
            "{} shares debug information with {} (build id {build_id}), which was not found: some names are missing",
            image.path.display(),
            path.display()
        ));
    }
    found
}

trait DebugLink {
    /// File name and CRC-32 of the separate debug file. A name with a directory in it is not followed.
    fn gnu_debuglink_name(&self) -> Option<(String, u32)>;
}

impl DebugLink for Elf<'_> {
    fn gnu_debuglink_name(&self) -> Option<(String, u32)> {
        let (name, crc) = object::Object::gnu_debuglink(self).ok()??;
        let name = std::str::from_utf8(name).ok()?;
        (!name.is_empty() && !name.contains('/') && name != "..").then(|| (name.to_owned(), crc))
    }
}
