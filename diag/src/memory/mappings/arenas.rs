//! glibc's further arenas, by their headers.
//!
//! A heap of an arena begins at a multiple of 64 MiB with `heap_info { ar_ptr, prev, size, mprotect_size }` (glibc's
//! malloc/arena.c); the first heap of an arena has the arena itself right behind. The kernel merges heaps with each other and with
//! jemalloc's mappings, which have the same flags, so the flags alone do not tell. Headers are read from `/proc/self/mem`, what is
//! resident of a heap that shares its mapping from `/proc/self/pagemap`: 8 bytes a page.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::parse::{Name, Region};
use crate::memory::source::Source;

/// glibc's HEAP_MAX_SIZE on 64-bit machines.
pub(super) const HEAP_BYTES: u64 = 64 << 20;
const PAGE: u64 = 4096;
/// `/proc/self/pagemap`: the page is in memory.
const PRESENT: u64 = 1 << 63;
/// More than a machine has: 256 TiB of address space in 64 MiB steps of one mapping would take long.
const MOST_PROBES: u64 = 1 << 16;

/// Where headers and pages are looked up.
pub(super) struct Probe {
    mem: File,
    pagemap: Option<File>,
}

impl Probe {
    /// `None` where the process may not read itself.
    pub(super) fn new(source: &Source) -> Option<Self> {
        Some(Self {
            mem: source.open("/proc/self/mem").ok()?,
            pagemap: source.open("/proc/self/pagemap").ok(),
        })
    }

    /// Notes in each mapping how many heaps of glibc it holds, and what of it is theirs.
    pub(super) fn mark(&self, regions: &mut [Region]) {
        for region in regions {
            let may_hold =
                region.name == Name::None && region.writable && region.no_reserve && !region.shared;
            if !may_hold || region.no_huge {
                continue;
            }
            let first = region.at.start.next_multiple_of(HEAP_BYTES);
            let heaps = (0..MOST_PROBES).map(|i| first.saturating_add(i.saturating_mul(HEAP_BYTES)));
            for at in heaps.take_while(|at| *at < region.at.end) {
                let mut header = [0; 32];
                if self.mem.read_exact_at(&mut header, at).is_err() {
                    continue;
                }
                let Some(size) = heap_bytes(&header, at) else { continue };
                let end = at.saturating_add(size).min(region.at.end);
                let whole = at == region.at.start && end == region.at.end;
                let resident =
                    if whole { Some(region.rss) } else { self.resident(at, end, region.page_bytes) };
                region.c_heaps += 1;
                region.c_heap_bytes += resident.unwrap_or(end - at);
            }
            region.c_heap_bytes = region.c_heap_bytes.min(region.rss);
        }
    }

    fn resident(&self, start: u64, end: u64, page_bytes: u64) -> Option<u64> {
        let page_bytes = page_bytes.max(PAGE);
        let pages = (end - start).div_ceil(page_bytes);
        // At most 64 MiB, so at most 128 KiB of entries.
        let mut entries = vec![0; usize::try_from(pages * 8).ok()?];
        self.pagemap.as_ref()?.read_exact_at(&mut entries, start / page_bytes * 8).ok()?;
        let (entries, _) = entries.as_chunks::<8>();
        let present = entries.iter().filter(|e| u64::from_ne_bytes(**e) & PRESENT != 0).count() as u64;
        Some(present * page_bytes)
    }
}

/// The accessible bytes of a heap, if this is the header of one at `at`.
fn heap_bytes(header: &[u8; 32], at: u64) -> Option<u64> {
    let (words, _) = header.as_chunks::<8>();
    let [arena, previous, size, accessible] = words else { return None };
    let word = |w: &[u8; 8]| u64::from_ne_bytes(*w);
    let (arena, previous, size, accessible) = (word(arena), word(previous), word(size), word(accessible));
    // The arena is right behind the header of its first heap, which has 32 to 64 bytes in glibc 2.12 to 2.42.
    let behind_a_header = matches!(arena % HEAP_BYTES, 0x20..=0x60);
    let chained = match previous {
        0 => arena.checked_sub(arena % HEAP_BYTES) == Some(at),
        _ => previous.is_multiple_of(HEAP_BYTES) && previous != at,
    };
    let sized = |bytes: u64| bytes > 0 && bytes <= HEAP_BYTES && bytes.is_multiple_of(PAGE);
    (behind_a_header && chained && sized(size) && sized(accessible) && size <= accessible)
        .then_some(accessible)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(words: [u64; 4]) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (to, word) in bytes.chunks_mut(8).zip(words) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    #[test]
    fn headers_are_told_from_data() {
        const AT: u64 = 0x7f26_5c00_0000;
        assert_eq!(heap_bytes(&header([AT + 0x30, 0, 0x21000, 0x21000]), AT), Some(0x21000));
        let second = [AT - HEAP_BYTES + 0x20, AT - HEAP_BYTES, HEAP_BYTES, HEAP_BYTES];
        assert_eq!(heap_bytes(&header(second), AT), Some(HEAP_BYTES));
        for data in [
            [0; 4],
            [AT + 0x30, 0, 0, 0x21000],
            [AT + 0x30, 0, 0x21000, 0x20000],
            [AT + 0x30, 0, 0x21000, HEAP_BYTES + PAGE],
            [AT + 0x31_000, 0, 0x21000, 0x21000],
            [AT + HEAP_BYTES + 0x30, 0, 0x21000, 0x21000],
            [AT + 0x30, 0x1000, 0x21000, 0x21000],
            [u64::MAX; 4],
        ] {
            assert_eq!(heap_bytes(&header(data), AT), None, "{data:x?}");
        }
    }
}
