//! What a capture allocates, against the bound that memory is set aside by.

#![allow(clippy::unwrap_used, reason = "part of tests")]

use std::hint::black_box;

use super::{Heap, SnapshotOptions};
use crate::profile::pprof;
use crate::sys::jemalloc;

/// Another stack for each path: at each depth one of two callers.
#[inline(never)]
fn left(path: u32, depth: u32, kept: &mut Vec<Vec<u8>>, bytes: usize) {
    walk(path, depth, kept, bytes);
    black_box(());
}

#[inline(never)]
fn right(path: u32, depth: u32, kept: &mut Vec<Vec<u8>>, bytes: usize) {
    walk(path, depth, kept, bytes);
    black_box(());
}

#[inline(never)]
fn walk(path: u32, depth: u32, kept: &mut Vec<Vec<u8>>, bytes: usize) {
    if depth == 0 {
        kept.push(black_box(vec![1; bytes]));
    } else if path & 1 == 0 {
        left(path >> 1, depth - 1, kept, bytes);
    } else {
        right(path >> 1, depth - 1, kept, bytes);
    }
    black_box(&kept);
}

/// Bytes that this thread allocates for a capture, and the bound before it.
fn capture(heap: &Heap, ages: bool) -> (u64, u64) {
    let bound = heap.snapshot_bound_bytes(ages);
    let before = jemalloc::thread_allocated().unwrap();
    let profile = heap.snapshot(&SnapshotOptions::default().with_ages(ages)).unwrap();
    let bytes = pprof::encode_gz(&profile);
    drop((profile, bytes));
    (jemalloc::thread_allocated().unwrap() - before, bound)
}

#[test]
fn a_capture_allocates_no_more_than_its_bound() {
    let (heap, collector, _turn) = super::tests::collector();
    heap.set_active(true).unwrap();
    let before = heap.set_sample_period_bytes(1 << 13).unwrap();
    let mut kept = Vec::new();
    for (stacks, objects) in [(0, 0), (1, 1_000), (4_096, 4_096), (256, 20_000)] {
        for object in 0..objects {
            walk(object % stacks, 12, &mut kept, 16 << 10);
        }
        for ages in [true, false] {
            let (allocated, bound) = capture(&heap, ages);
            eprintln!(
                "ages {ages}: {} live, {} sites, {} frames: {allocated} bytes allocated, bound {bound}",
                collector.live.len(),
                collector.sites.len(),
                collector.sites.stack_frame_count()
            );
            assert!(allocated <= bound, "{allocated} of {bound}");
            assert!(bound <= (3 << 20) + 4 * allocated, "{bound} for {allocated} is no use");
        }
    }
    heap.set_sample_period_bytes(before.max(1 << 19)).unwrap();
}
