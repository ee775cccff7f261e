//! The ledger: one total and the parts that add up to it. Pure.

use super::{Basis, Part, PartName, SCHEMA, Scope, SizeClass, Survey, Triage, Verdict};
use crate::memory::mappings::Mappings;
use crate::memory::model::{Bin, Cgroup, Jemalloc, Waterline};
use crate::memory::reading::Reading;
use crate::memory::text::mib;

/// Size classes that are named.
const MOST_CLASSES: usize = 5;
/// A cgroup is explained when so much of its anonymous memory is this process's.
const LEAST_OWN_SHARE: f64 = 0.8;
/// With less free room a size class is not worth a line.
const LEAST_WASTE_BYTES: u64 = 1 << 20;

/// One reading, explained.
pub(super) struct Ledger {
    total: Reading<u64>,
    parts: Vec<(PartName, i64, String)>,
    /// Whether anonymous memory was told apart by mapping.
    pub(super) by_mapping: bool,
    missing: Vec<String>,
}

impl Ledger {
    fn add(&mut self, name: PartName, bytes: i64, detail: impl Into<String>) {
        self.parts.push((name, bytes, detail.into()));
    }

    fn reading(&mut self, name: PartName, what: &str, reading: &Reading<u64>) -> Option<i64> {
        match reading.as_result() {
            Ok(&bytes) => {
                self.add(name, signed(bytes), "");
                Some(signed(bytes))
            }
            Err(why) => {
                self.missing.push(format!("{what}: {why}"));
                None
            }
        }
    }

    fn get(&self, name: PartName) -> Option<i64> {
        self.parts.iter().find(|p| p.0 == name).map(|p| p.1)
    }

    fn unexplained(&self) -> Option<i64> {
        let sum = self.parts.iter().fold(0i64, |sum, p| sum.saturating_add(p.1));
        Some(signed(self.total.value()?).saturating_sub(sum))
    }
}

/// What is explained, and why not the cgroup.
pub(super) fn scope(base: &Survey, new: &Survey) -> (Scope, Option<String>) {
    match cgroup_of(base, new) {
        Ok(()) => (Scope::Cgroup, None),
        Err(why) => (Scope::Process, Some(why)),
    }
}

fn cgroup_of(base: &Survey, new: &Survey) -> Result<(), String> {
    let usable = |s: &Survey| -> Result<(String, u64), String> {
        let c = s.waterline.cgroup.as_result().map_err(|why| format!("no cgroup to explain: {why}"))?;
        if !c.note.is_empty() {
            return Err(format!("the cgroup is left out: {}", c.note));
        }
        c.current_bytes.as_result().map_err(|why| format!("the cgroup is left out: {why}"))?;
        c.stat.file_bytes.as_result().map_err(|why| format!("the cgroup is left out: {why}"))?;
        let anon = c.stat.anon_bytes.as_result().map_err(|why| format!("the cgroup is left out: {why}"))?;
        Ok((c.directory.clone(), *anon))
    };
    let ((at, _), (directory, anon)) = (usable(base)?, usable(new)?);
    if at != directory {
        return Err("the cgroup is left out: the process moved to another".to_owned());
    }
    let own = new
        .waterline
        .process
        .anonymous_bytes
        .as_result()
        .map_err(|why| format!("no anonymous memory: {why}"))?;
    // Its page cache and kernel memory are then not this process's either.
    if (*own as f64) < anon as f64 * LEAST_OWN_SHARE {
        return Err(format!(
            "the cgroup {directory} holds other processes too (anonymous memory {}, of this process {}), so only the process is explained",
            mib(anon),
            mib(*own)
        ));
    }
    Ok(())
}

/// Explains one reading.
pub(super) fn ledger(survey: &Survey, scope: Scope) -> Ledger {
    let w = &survey.waterline;
    let mut l =
        Ledger { total: Reading::default(), parts: Vec::new(), by_mapping: false, missing: Vec::new() };
    let anonymous = match survey.mappings.as_result() {
        Ok(m) => {
            l.by_mapping = true;
            Some(by_mapping(&mut l, w, m))
        }
        Err(why) => {
            l.missing.push(format!("stacks, C heaps and other mappings are not told apart: {why}"));
            by_books(&mut l, w)
        }
    };
    match (scope, w.cgroup.known()) {
        (Scope::Cgroup, Some(c)) => cgroup(&mut l, c, anonymous),
        _ => process(&mut l, w, survey.mappings.known()),
    }
    l
}

fn process(l: &mut Ledger, w: &Waterline, mappings: Option<&Mappings>) {
    if let Some(m) = mappings {
        l.total = Reading::Known(m.rss_bytes);
        l.add(PartName::FileMappings, signed(m.file_bytes), "");
        l.add(PartName::SharedMemory, signed(m.shmem_bytes), "");
        return;
    }
    l.total = w.process.rss_bytes.clone();
    l.reading(PartName::FileMappings, "file mappings", &w.process.file_bytes);
    l.reading(PartName::SharedMemory, "shared memory", &w.process.shmem_bytes);
}

fn cgroup(l: &mut Ledger, c: &Cgroup, own_anonymous: Option<i64>) {
    l.total = c.current_bytes.clone();
    let s = &c.stat;
    let shmem = l.reading(PartName::SharedMemory, "shared memory of the cgroup", &s.shmem_bytes).unwrap_or(0);
    if let Some(file) = s.file_bytes.value() {
        let idle = s.inactive_file_bytes.value();
        let detail = idle.map_or_else(String::new, |b| {
            format!("{} not used lately, which the kernel drops first", mib(b))
        });
        l.add(PartName::PageCache, signed(file).saturating_sub(shmem), detail);
    }
    // In v1 socket buffers are counted apart from memory.usage_in_bytes.
    if c.version >= 2 {
        l.reading(PartName::Sockets, "socket buffers", &s.sock_bytes);
    }
    let told = [
        (PartName::KernelSlab, "kernel slab", &s.slab_bytes),
        (PartName::KernelStacks, "kernel stacks", &s.kernel_stack_bytes),
        (PartName::PageTables, "page tables", &s.pagetables_bytes),
    ];
    // v1 has no numbers of its own for these: they are within the kernel memory.
    let told: i64 = if s.slab_bytes.known().is_some() || s.kernel_bytes.known().is_none() {
        told.into_iter().filter_map(|(name, what, reading)| l.reading(name, what, reading)).sum()
    } else {
        told.into_iter().filter_map(|(name, _, reading)| Some((name, reading.value()?))).fold(
            0,
            |sum, (name, b)| {
                l.add(name, signed(b), "");
                sum + signed(b)
            },
        )
    };
    if let Some(kernel) = s.kernel_bytes.value() {
        l.add(PartName::KernelOther, signed(kernel).saturating_sub(told).max(0), "");
    }
    if let (Some(all), Some(own)) = (s.anon_bytes.value(), own_anonymous) {
        l.add(PartName::OtherProcesses, signed(all).saturating_sub(own).max(0), "");
    }
}

/// Anonymous memory by mapping; gives its sum.
fn by_mapping(l: &mut Ledger, w: &Waterline, m: &Mappings) -> i64 {
    // Where jemalloc itself avoids huge pages (opt.thp:never) its mappings look like the collector's.
    let diag = w.diag_bytes.value().unwrap_or(0);
    let believable = diag.saturating_mul(2).max(diag.saturating_add(16 << 20));
    let profiler = if diag > 0 && m.profiler_bytes <= believable {
        m.profiler_bytes
    } else {
        m.profiler_bytes.min(diag)
    };
    let of_jemalloc = m.jemalloc_bytes.saturating_add(m.profiler_bytes - profiler);
    let mut other = m.other_anonymous_bytes;
    match w.jemalloc.as_result() {
        Ok(j) => heap(l, j, Some(m.jemalloc_lazily_freed), of_jemalloc, m.jemalloc_huge, w),
        Err(why) => {
            l.missing.push(format!("jemalloc: {why}"));
            other = other.saturating_add(of_jemalloc);
        }
    }
    l.add(PartName::Profiler, signed(profiler), "tables of the heap collector");
    if !m.c_heaps_missing.is_empty() {
        l.missing.push(format!("the C heap beyond [heap], counted as jemalloc's: {}", m.c_heaps_missing));
    }
    let threads = w.process.threads.value();
    let detail = threads.map_or_else(String::new, |n| format!("{n} threads, {} stacks", m.stacks));
    l.add(PartName::ThreadStacks, signed(m.thread_stacks_bytes), detail);
    l.add(
        PartName::CHeap,
        signed(m.c_heap_bytes),
        format!("glibc's [heap] and {} heaps of its arenas", m.c_heaps),
    );
    let detail = format!("{} mappings, the largest {}", m.other_mappings, mib(m.largest_other));
    l.add(PartName::OtherAnonymous, signed(other), detail);
    l.add(PartName::ProgramData, signed(m.program_data_bytes), "variables of the program and its libraries");
    let sum = [m.thread_stacks_bytes, m.c_heap_bytes, other, m.program_data_bytes, profiler];
    let heap = if w.jemalloc.known().is_some() { of_jemalloc } else { 0 };
    sum.into_iter().map(signed).fold(signed(heap), i64::saturating_add)
}

/// Anonymous memory by jemalloc's own books; what they do not hold is "other anonymous". Gives the sum.
fn by_books(l: &mut Ledger, w: &Waterline) -> Option<i64> {
    let all = match w.process.anonymous_bytes.as_result() {
        Ok(&bytes) => bytes,
        Err(why) => {
            l.missing.push(format!("anonymous memory: {why}"));
            return None;
        }
    };
    let profiler = w.diag_bytes.value().unwrap_or(0).min(all);
    let rest = all - profiler;
    match w.jemalloc.as_result() {
        Ok(j) => {
            let lazy = w.process.lazy_free_bytes.value();
            let muzzy = muzzy(j, lazy);
            let booked = [&j.active_bytes, &j.metadata_bytes, &j.dirty_bytes];
            let booked = booked.into_iter().filter_map(Reading::value).fold(muzzy, u64::saturating_add);
            let huge = w.process.anon_huge_bytes.value().unwrap_or(0);
            // Huge pages fill in retained address space, at most all of it.
            let filled = rest.saturating_sub(booked).min(huge).min(j.retained_bytes.value().unwrap_or(0));
            let of_jemalloc = rest.min(booked.saturating_add(filled));
            heap(l, j, lazy, of_jemalloc, huge, w);
            l.add(PartName::OtherAnonymous, signed(rest - of_jemalloc), "stacks, C heaps, mmap");
        }
        Err(why) => {
            l.missing.push(format!("jemalloc: {why}"));
            l.add(PartName::OtherAnonymous, signed(rest), "heap, stacks, mmap");
        }
    }
    l.add(PartName::Profiler, signed(profiler), "tables of the heap collector");
    Some(signed(all))
}

/// jemalloc's resident bytes by its own books. What is resident beyond them and in huge pages is "huge pages"; what is in the
/// books and not resident is "not in memory".
fn heap(l: &mut Ledger, j: &Jemalloc, lazily_freed: Option<u64>, resident: u64, huge: u64, w: &Waterline) {
    let mut booked = 0i64;
    let mut add = |l: &mut Ledger, name, what: &str, reading: &Reading<u64>| {
        booked = booked.saturating_add(l.reading(name, what, reading).unwrap_or(0));
    };
    add(l, PartName::LiveHeap, "stats.allocated", &j.allocated_bytes);
    let gap = |a: &u64, b: &u64| Reading::Known(a.saturating_sub(*b));
    let fragmentation = match (j.active_bytes.as_result(), j.allocated_bytes.as_result()) {
        (Ok(active), Ok(allocated)) => gap(active, allocated),
        (Err(why), _) | (_, Err(why)) => Reading::missing(why),
    };
    add(l, PartName::Fragmentation, "stats.active", &fragmentation);
    add(l, PartName::Metadata, "stats.metadata", &j.metadata_bytes);
    add(l, PartName::DirtyPages, "dirty pages", &j.dirty_bytes);
    add(l, PartName::MuzzyPages, "muzzy pages", &Reading::Known(muzzy(j, lazily_freed)));
    if let Some(dirty) = l.parts.iter_mut().find(|p| p.0 == PartName::DirtyPages) {
        dirty.2 = decay(j);
    }
    let gap = signed(resident).saturating_sub(booked);
    let filled = gap.clamp(0, signed(huge));
    let mode =
        w.machine.huge_pages.known().map_or_else(String::new, |m| format!("transparent huge pages: {m}"));
    l.add(PartName::HugePages, filled, mode);
    l.add(PartName::NotInMemory, gap.min(0), "allocated but never written, or swapped out");
}

fn muzzy(j: &Jemalloc, lazily_freed: Option<u64>) -> u64 {
    let muzzy = j.muzzy_bytes.value().unwrap_or(0);
    lazily_freed.map_or(muzzy, |lazy| muzzy.min(lazy))
}

fn decay(j: &Jemalloc) -> String {
    let Some(ms) = j.dirty_decay_ms.value() else { return String::new() };
    let kept = match ms {
        ..0 => "never given back by themselves".to_owned(),
        _ => format!("given back after {} s", ms as f64 / 1000.0),
    };
    match j.background_thread.value() {
        Some(false) if ms >= 0 => {
            format!("{kept}, but only while the program allocates (no background thread)")
        }
        _ => kept,
    }
}

/// Second against first, without a verdict yet.
pub(super) fn compare(
    before: &Ledger,
    after: &Ledger,
    (scope, note): (Scope, Option<String>),
    base: &Survey,
    new: &Survey,
) -> Triage {
    let ns = new.waterline.taken_at_unix_ns.saturating_sub(base.waterline.taken_at_unix_ns);
    let mut parts: Vec<Part> = after
        .parts
        .iter()
        .map(|(name, bytes, detail)| Part {
            name: *name,
            bytes: *bytes,
            growth_bytes: before.get(*name).map(|was| bytes.saturating_sub(was)),
            detail: detail.clone(),
        })
        .filter(|p| p.bytes != 0 || p.growth_bytes.is_some_and(|g| g != 0))
        .collect();
    parts.sort_by_key(|p| std::cmp::Reverse(p.bytes));
    let growth = |new: Option<i64>, old: Option<i64>| Some(new?.saturating_sub(old?));
    let total = |l: &Ledger| l.total.value().map(signed);
    let mut missing = after.missing.clone();
    if let Some(why) = after.total.why_missing() {
        missing.push(format!("the total: {why}"));
    }
    Triage {
        schema: SCHEMA.to_owned(),
        verdict: Verdict::NotEnoughEvidence,
        basis: Basis::Nothing,
        evidence: String::new(),
        watched_s: ns as f64 / 1e9,
        pid: None,
        scope,
        total_bytes: after.total.clone(),
        total_growth_bytes: growth(total(after), total(before)),
        parts,
        unexplained_bytes: after.unexplained().unwrap_or(0),
        unexplained_growth_bytes: growth(after.unexplained(), before.unexplained()),
        size_classes: size_classes(base, new),
        holders: Vec::new(),
        sampled: None,
        sampled_agrees: None,
        purge: None,
        missing,
        notes: note.into_iter().collect(),
        next: Vec::new(),
    }
}

/// The size classes with the most free room in the second reading.
pub fn size_classes(base: &Survey, new: &Survey) -> Vec<SizeClass> {
    let bins = |s: &Survey| s.waterline.jemalloc.known().map(|j| j.bins.clone());
    let (before, after) = (bins(base), bins(new).unwrap_or_default());
    let waste = |b: &Bin| b.capacity.saturating_sub(b.objects).saturating_mul(b.size_bytes);
    let mut classes: Vec<SizeClass> = after
        .iter()
        .filter(|b| waste(b) >= LEAST_WASTE_BYTES)
        .map(|b| {
            let was = before
                .as_ref()
                .map(|bins| bins.iter().find(|o| o.size_bytes == b.size_bytes).map_or(0, waste));
            SizeClass {
                size_bytes: b.size_bytes,
                wasted_bytes: waste(b),
                utilization: b.objects as f64 / b.capacity.max(1) as f64,
                growth_bytes: was.map(|was| signed(waste(b)).saturating_sub(signed(was))),
            }
        })
        .collect();
    classes.sort_by_key(|c| (std::cmp::Reverse(c.wasted_bytes), c.size_bytes));
    classes.truncate(MOST_CLASSES);
    classes
}

pub(super) fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
