//! [`Resolver`].

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use hashbrown::HashMap;

use super::cache::Cache;
use super::disk;
use super::lookup::look_up;
use super::options::Options;
use super::report::{Detail, ModuleReport};
use crate::profile::symbolize::{Frame, Module, SymbolSource};

/// Resolves addresses from object files, with a bounded memory of its answers.
#[derive(Debug)]
pub struct Resolver {
    options: Options,
    /// Numbers of modules, by build id, else by path and identity of the file.
    modules: HashMap<String, u32>,
    cache: Cache,
    reports: Vec<ModuleReport>,
}

/// What a resolver holds in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct CacheStats {
    /// Addresses held.
    pub addresses: usize,
    /// Most that may be held.
    pub max_addresses: usize,
    /// Bytes held.
    pub bytes: usize,
    /// Most that may be held.
    pub max_bytes: usize,
}

impl Default for Resolver {
    fn default() -> Self {
        Self::new(Options::default())
    }
}

impl Resolver {
    /// A resolver with these settings. Nothing is opened before it is asked.
    pub fn new(options: Options) -> Self {
        let cache = Cache::new(options.cache_addresses, options.cache_bytes);
        Self { options, modules: HashMap::new(), cache, reports: Vec::new() }
    }

    /// A resolver for the addresses of this very process: [`Options::in_process`].
    pub fn in_process() -> Self {
        Self::new(Options::in_process())
    }

    /// What became of each module asked for so far, in the order of the first question.
    pub fn reports(&self) -> &[ModuleReport] {
        &self.reports
    }

    /// What is held in memory.
    pub fn cache_stats(&self) -> CacheStats {
        CacheStats {
            addresses: self.cache.addresses(),
            max_addresses: self.options.cache_addresses,
            bytes: self.cache.bytes(),
            max_bytes: self.options.cache_bytes,
        }
    }

    /// Forgets all answers, to see files that came since.
    pub fn clear(&mut self) {
        self.cache = Cache::new(self.options.cache_addresses, self.options.cache_bytes);
        self.reports.clear();
    }

    /// Whether there can be a file: not for `[vdso]`, `//anon` and the like.
    fn has_file(&self, module: &Module<'_>) -> bool {
        let name = module.file.rsplit('/').next().unwrap_or_default();
        let is_pseudo = module.file.starts_with('[')
            || module.file.starts_with("//")
            || name.starts_with("linux-vdso.")
            || name.starts_with("linux-gate.");
        let is_given = module.is_main && self.options.binary.is_some();
        !is_pseudo && (module.file.starts_with('/') || !module.build_id.is_empty() || is_given)
    }

    fn module_number(&mut self, module: &Module<'_>) -> u32 {
        let key = if module.build_id.is_empty() {
            let identity = std::fs::metadata(module.file)
                .map(|m| (m.dev(), m.ino(), m.size(), m.mtime(), m.mtime_nsec()))
                .unwrap_or_default();
            format!("{}|{}|{identity:?}", module.file, module.is_main)
        } else {
            module.build_id.to_owned()
        };
        let next = self.modules.len() as u32;
        *self.modules.entry(key).or_insert(next)
    }

    /// The report of a module, taken out; give it back with `put_report`.
    fn take_report(&mut self, module: &Module<'_>) -> (usize, ModuleReport) {
        let same = |r: &ModuleReport| {
            r.module == module.file && (module.build_id.is_empty() || r.build_id == module.build_id)
        };
        match self.reports.iter_mut().enumerate().find(|(_, r)| same(r)) {
            Some((at, report)) => (at, std::mem::take(report)),
            None => {
                let (file, build_id) = (module.file.to_owned(), module.build_id.to_owned());
                (self.reports.len(), ModuleReport { module: file, build_id, ..ModuleReport::default() })
            }
        }
    }

    fn put_report(&mut self, at: usize, report: ModuleReport) {
        match self.reports.get_mut(at) {
            Some(slot) => *slot = report,
            None => self.reports.push(report),
        }
    }
}

impl SymbolSource for Resolver {
    fn resolve(&mut self, module: &Module<'_>, offsets: &[u64], found: &mut dyn FnMut(usize, &[Frame<'_>])) {
        if !self.has_file(module) {
            return;
        }
        let number = self.module_number(module);
        let mut missing = Vec::new();
        let (mut named, mut with_lines) = (0, 0);
        let mut count = |frames: &[Frame<'_>]| {
            named += 1;
            with_lines += u64::from(frames.iter().any(|f| f.line != 0));
        };
        for (position, &offset) in offsets.iter().enumerate() {
            let hit = self.cache.get((number, offset), &mut |frames| {
                if !frames.is_empty() {
                    count(frames);
                    found(position, frames);
                }
            });
            if !hit {
                missing.push((position, offset));
            }
        }
        let (report_at, mut report) = self.take_report(module);
        if !missing.is_empty() {
            let mut keep = |position: usize, offset: u64, frames: &[Frame<'_>]| {
                if !frames.is_empty() {
                    count(frames);
                    found(position, frames);
                }
                self.cache.insert((number, offset), frames);
            };
            let kept = self.options.cache_dir.as_deref().and_then(|dir| disk::path_of(dir, module.build_id));
            match kept {
                Some(path) => through_disk(module, missing, &path, &self.options, &mut report, &mut keep),
                None => {
                    from_files(module, &missing, &self.options, &mut report, &mut keep);
                }
            }
        }
        report.count(offsets.len(), named, with_lines);
        self.put_report(report_at, report);
    }
}

/// Takes a position, its offset, and its frames.
type Keep<'k> = dyn FnMut(usize, u64, &[Frame<'_>]) + 'k;

/// Answers from the files of a module; how good they are. Without a file nothing is kept: there may be one next time.
fn from_files(
    module: &Module<'_>,
    missing: &[(usize, u64)],
    options: &Options,
    report: &mut ModuleReport,
    keep: &mut Keep<'_>,
) -> Detail {
    let offsets: Vec<u64> = missing.iter().map(|m| m.1).collect();
    let (answers, detail) = look_up(module, &offsets, options, report);
    report.detail = report.detail.max(detail);
    if report.used.is_empty() {
        return detail;
    }
    let mut frames = Vec::new();
    for (at, &(position, offset)) in missing.iter().enumerate() {
        frames.clear();
        frames.extend(answers.frames(at));
        keep(position, offset, &frames);
    }
    detail
}

/// Answers from the cache on disk, the rest from the files, and keeps the rest there.
fn through_disk(
    module: &Module<'_>,
    mut missing: Vec<(usize, u64)>,
    path: &Path,
    options: &Options,
    report: &mut ModuleReport,
    keep: &mut Keep<'_>,
) {
    let mut table = disk::load(path, module.build_id);
    missing.retain(|&(position, offset)| match table.get(offset) {
        Some(frames) => {
            keep(position, offset, &frames.collect::<Vec<_>>());
            false
        }
        None => true,
    });
    if missing.is_empty() {
        (report.detail, report.verified) = (Detail::Lines, true);
        report.used = vec![path.to_owned()];
        return;
    }
    let detail = from_files(module, &missing, options, report, &mut |position, offset, frames| {
        keep(position, offset, frames);
        table.insert(offset, frames.iter().copied());
    });
    if detail == Detail::Lines
        && let Err(e) = disk::save(path, module.build_id, &table, options.cache_dir_bytes)
    {
        report.note(format!("the names are not kept in {}: {e}", path.display()));
    }
}
