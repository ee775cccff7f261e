//! Whose each mapping is. Pure.

use std::collections::BTreeSet;

use super::Mappings;
use super::parse::{Name, Region};

/// A larger mapping around a stack pointer has merged with something that is no stack.
const MOST_STACK_BYTES: u64 = 64 << 20;
/// glibc's guards are a page, Rust's too.
const MOST_GUARD_BYTES: u64 = 1 << 20;

enum Owner {
    Jemalloc,
    Profiler,
    Stack,
    CHeap,
    Other,
}

/// The sums, or why the mappings cannot be told apart.
pub(super) fn classify(regions: &[Region], pointers: &BTreeSet<u64>) -> Result<Mappings, String> {
    if regions.is_empty() {
        return Err(format!("{} is empty", super::SMAPS));
    }
    if !regions.iter().any(|r| r.has_flags) {
        return Err(format!("{} has no VmFlags, which tell mappings apart", super::SMAPS));
    }
    let sizes = stack_sizes(regions, pointers);
    let mut sums = Mappings { mappings: regions.len() as u64, ..Mappings::default() };
    for (i, region) in regions.iter().enumerate() {
        grow(&mut sums.rss_bytes, region.rss);
        if region.shared || region.name == Name::Shmem {
            // A file mapped as shared has pages of the file; there are no private copies.
            let of_file = region.name == Name::File;
            grow(if of_file { &mut sums.file_bytes } else { &mut sums.shmem_bytes }, region.rss);
            continue;
        }
        if region.name == Name::File {
            grow(&mut sums.program_data_bytes, region.anonymous.min(region.rss));
            grow(&mut sums.file_bytes, region.rss.saturating_sub(region.anonymous));
            continue;
        }
        let before = i.checked_sub(1).and_then(|b| regions.get(b));
        sums.add(&owner(before, region, pointers, &sizes), region);
    }
    Ok(sums)
}

/// A kernel's numbers are small enough; a file that only looks like its own must not end the process.
fn grow(sum: &mut u64, by: u64) {
    *sum = sum.saturating_add(by);
}

impl Mappings {
    fn add(&mut self, owner: &Owner, region: &Region) {
        match owner {
            Owner::Jemalloc => {
                grow(&mut self.c_heap_bytes, region.c_heap_bytes);
                self.c_heaps += region.c_heaps;
                grow(&mut self.jemalloc_bytes, region.rss.saturating_sub(region.c_heap_bytes));
                grow(&mut self.jemalloc_huge, region.huge);
                grow(&mut self.jemalloc_lazily_freed, region.lazily_freed);
            }
            Owner::Profiler => grow(&mut self.profiler_bytes, region.rss),
            Owner::Stack => {
                grow(&mut self.thread_stacks_bytes, region.rss);
                self.stacks += 1;
            }
            Owner::CHeap => grow(&mut self.c_heap_bytes, region.rss),
            Owner::Other => {
                grow(&mut self.other_anonymous_bytes, region.rss);
                self.other_mappings += u64::from(region.rss > 0);
                self.largest_other = self.largest_other.max(region.rss);
            }
        }
    }
}

fn owner(
    before: Option<&Region>,
    region: &Region,
    pointers: &BTreeSet<u64>,
    stack_sizes: &BTreeSet<u64>,
) -> Owner {
    match region.name {
        Name::CHeap => return Owner::CHeap,
        Name::Stack => return Owner::Stack,
        Name::Jemalloc => return Owner::Jemalloc,
        Name::None => {}
        _ => return Owner::Other,
    }
    let guard = guard_below(before, region);
    match (region.no_reserve, region.no_huge) {
        (true, true) => Owner::Profiler,
        (true, false) => Owner::Jemalloc,
        _ if is_stack_of_a_thread(region, pointers) => Owner::Stack,
        (false, true) if guard => Owner::Stack,
        (false, no_huge) if (guard || no_huge) && stack_sizes.contains(&region.size()) => Owner::Stack,
        _ => Owner::Other,
    }
}

/// Sizes of the stacks of threads whose stack pointers are known.
fn stack_sizes(regions: &[Region], pointers: &BTreeSet<u64>) -> BTreeSet<u64> {
    let stacks = regions.iter().filter(|r| r.name == Name::None && !r.no_reserve);
    stacks.filter(|r| is_stack_of_a_thread(r, pointers)).map(Region::size).collect()
}

/// Holds a stack pointer, and nothing but a stack: since Linux 6.7 MAP_STACK sets `nh`, which keeps others from merging.
fn is_stack_of_a_thread(region: &Region, pointers: &BTreeSet<u64>) -> bool {
    region.writable
        && pointers.range(region.at.clone()).next().is_some()
        && (region.no_huge || region.size() <= MOST_STACK_BYTES)
}

/// Whether a guard ends where the mapping begins.
fn guard_below(before: Option<&Region>, region: &Region) -> bool {
    before.is_some_and(|b| b.at.end == region.at.start && !b.accessible && b.size() <= MOST_GUARD_BYTES)
}
