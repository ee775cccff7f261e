//! What the process's mappings hold: resident bytes by owner, from `/proc/self/smaps`.
//!
//! Linux does not say whose an anonymous mapping is. What tells them apart (proc(5), mmap(2), glibc's malloc/arena.c,
//! jemalloc's src/pages.c, `sys/region.rs`):
//! - jemalloc maps with MAP_NORESERVE (`nr` in VmFlags) as long as vm.overcommit_memory is not 2; thread stacks, glibc's
//!   large blocks and a plain mmap have not got it. Another allocator or runtime that asks for it is counted as jemalloc.
//! - the heap collector's tables have `nr` and MADV_NOHUGEPAGE (`nh`).
//! - glibc's heap is `[heap]`; the heaps of its further arenas, which have `nr` too and merge with jemalloc's mappings, are known by
//!   their headers (`arenas.rs`).
//! - a thread's stack is the mapping that holds its stack pointer, as `/proc/self/task/*/syscall` shows it while the thread
//!   waits. Threads that run, and stacks of ended threads that glibc keeps: what lies above a guard and has `nh`, which MAP_STACK
//!   sets since Linux 6.7; on older ones what lies above a guard and is as large as a stack that was found. A mapping too large
//!   for a stack has merged with something else there and is not counted. A stack in the heap counts as heap.
//!
//! What fits nothing is "other anonymous": blocks of 128 KiB and more from a C malloc, and whoever calls mmap.
//!
//! Cost: the page tables are walked (30 ms a GiB of 4 KiB pages, see `process.rs`) and some 700 bytes of text a mapping are
//! read, line by line: only when asked for.

mod arenas;
mod classify;
mod parse;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::reading::Reading;
use super::source::Source;

const SMAPS: &str = "/proc/self/smaps";
const TASKS: &str = "/proc/self/task";
/// The default of vm.max_map_count, 65,530 mappings, has 46 MiB of text.
const MOST_BYTES: u64 = 64 << 20;
/// Beyond these the stacks are found by their size alone.
const MOST_THREADS: usize = 4096;

/// Resident bytes of this process's mappings, by owner. The fields that end in `_bytes` up to `shmem_bytes` add up to
/// `rss_bytes`.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Mappings {
    /// All of them.
    pub rss_bytes: u64,
    /// Mappings as jemalloc makes them.
    pub jemalloc_bytes: u64,
    /// Tables of the heap collector.
    pub profiler_bytes: u64,
    /// Stacks of threads, the main one's included.
    pub thread_stacks_bytes: u64,
    /// glibc's heap: `[heap]`, and the heaps of its further arenas.
    pub c_heap_bytes: u64,
    /// Anonymous memory of none of these.
    pub other_anonymous_bytes: u64,
    /// Private copies of pages of files: the variables of programs and libraries.
    pub program_data_bytes: u64,
    /// Pages of files as they are on disk: code, memory-mapped data.
    pub file_bytes: u64,
    /// Shared memory: tmpfs, memfd, SysV.
    pub shmem_bytes: u64,
    /// Part of `jemalloc_bytes` in transparent huge pages.
    pub jemalloc_huge: u64,
    /// Part of `jemalloc_bytes` that was freed lazily (MADV_FREE) and is still there.
    pub jemalloc_lazily_freed: u64,
    /// How many mappings there are.
    pub mappings: u64,
    /// How many stacks were found.
    pub stacks: u64,
    /// How many heaps of glibc besides `[heap]`, 64 MiB of address space each.
    pub c_heaps: u64,
    /// Why these could not be looked for, or empty; they are then counted as jemalloc's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub c_heaps_missing: String,
    /// How many mappings are "other anonymous".
    pub other_mappings: u64,
    /// The largest of these, resident bytes.
    pub largest_other: u64,
}

/// Reads the mappings of this process now.
pub fn read_mappings() -> Reading<Mappings> {
    let here = 0u8;
    read_below(&Source::new(Path::new("/")), &raw const here as usize as u64)
}

/// `here` is an address on the stack of the calling thread, which is running and so does not show its own.
pub(super) fn read_below(source: &Source, here: u64) -> Reading<Mappings> {
    let mut pointers = stack_pointers(source);
    pointers.insert(here);
    let read = || {
        let mut regions = regions(source)?;
        let probe = arenas::Probe::new(source);
        if let Some(probe) = &probe {
            probe.mark(&mut regions);
        }
        let mut mappings = classify::classify(&regions, &pointers)?;
        if probe.is_none() {
            mappings.c_heaps_missing = "no /proc/self/mem to find the heaps of glibc in".to_owned();
        }
        Ok::<_, String>(mappings)
    };
    read().into()
}

fn regions(source: &Source) -> Result<Vec<parse::Region>, String> {
    let failed = |e: &std::io::Error| super::source::reason(SMAPS, e);
    let mut text = BufReader::new(source.open(SMAPS)?.take(MOST_BYTES));
    let mut regions: Vec<parse::Region> = Vec::new();
    let mut line = Vec::new();
    while text.read_until(b'\n', &mut line).map_err(|e| failed(&e))? > 0 {
        let words = String::from_utf8_lossy(&line);
        match parse::header(words.trim_end()) {
            Some(region) => regions.push(region),
            None => {
                if let Some(last) = regions.last_mut() {
                    last.field(words.trim_end());
                }
            }
        }
        line.clear();
    }
    if text.get_ref().limit() == 0 {
        return Err(format!("{SMAPS} is longer than {} MiB", MOST_BYTES >> 20));
    }
    Ok(regions)
}

/// Where the threads that wait have their stack pointers. Empty where the kernel does not tell.
fn stack_pointers(source: &Source) -> BTreeSet<u64> {
    let tasks = source.names(TASKS, MOST_THREADS).unwrap_or_default();
    tasks
        .iter()
        .filter_map(|task| parse::stack_pointer(&source.read(&format!("{TASKS}/{task}/syscall")).ok()?))
        .collect()
}

#[cfg(test)]
mod tests;
