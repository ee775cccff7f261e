//! The waterline of a process that allocates with a jemalloc of its own choosing.

#![cfg(all(feature = "heap", feature = "memory"))]

use diag::memory::{Reading, read};

#[global_allocator]
static ALLOC: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const BLOCK_BYTES: usize = 64 << 20;

#[test]
fn jemallocs_books_follow_what_is_allocated() {
    let before = read();
    let block = std::hint::black_box(vec![1u8; BLOCK_BYTES]);
    let after = read();
    drop(block);

    let of = |w: &diag::memory::Waterline| w.jemalloc.as_result().expect("jemalloc is there").clone();
    let (b, a) = (of(&before), of(&after));
    let value = |r: &Reading<u64>| r.value().expect("jemalloc tells");
    let grown = value(&a.allocated_bytes) - value(&b.allocated_bytes);
    assert!((BLOCK_BYTES as u64..BLOCK_BYTES as u64 + (1 << 20)).contains(&grown), "{grown}");
    assert!(value(&a.allocated_bytes) <= value(&a.active_bytes));
    assert!(value(&a.active_bytes) <= value(&a.resident_bytes));
    assert!(value(&a.active_bytes) <= value(&a.mapped_bytes));
    assert!(value(&a.metadata_bytes) > 0);
    assert!(a.narenas.value().is_some_and(|n| n as usize >= a.arenas.len()));
    let active: u64 = a.arenas.iter().map(|arena| arena.active_bytes).sum();
    assert_eq!(active, value(&a.active_bytes), "the arenas add up");
    let dirty: u64 = a.arenas.iter().map(|arena| arena.dirty_bytes).sum();
    assert_eq!(a.dirty_bytes, Reading::Known(dirty));
    assert!(a.dirty_decay_ms.value().is_some_and(|ms| ms >= -1));
    assert!(!a.bins.is_empty() && a.bins.iter().all(|bin| bin.objects <= bin.capacity && bin.size_bytes > 0));

    let rss = |w: &diag::memory::Waterline| w.process.rss_bytes.value();
    if let (Some(b), Some(a)) = (rss(&before), rss(&after)) {
        assert!(a - b >= BLOCK_BYTES as u64 * 9 / 10, "rss went from {b} to {a}");
    }
    println!("{after}");
}
