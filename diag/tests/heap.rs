//! The heap collector on the real allocator.
//!
//! One test function a process would be cleanest; cargo runs the functions of a file as threads of one process, so they
//! share one collector, started once with a period of 4 KiB, and each looks only at stacks of its own functions.
#![allow(clippy::vec_box)] // blocks of their own are the point
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests

use std::hint::black_box;
use std::sync::{Mutex, MutexGuard, PoisonError};

use diag::heap::{Heap, SnapshotOptions};
use diag::profile::{LabelValue, Profile};

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

const PERIOD: u64 = 4096;

fn heap() -> (Heap, MutexGuard<'static, ()>) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    static DIAG: Mutex<Option<diag::Diag>> = Mutex::new(None);
    let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut diag = DIAG.lock().unwrap_or_else(PoisonError::into_inner);
    let diag = diag.get_or_insert_with(|| diag::Diag::builder().sample_bytes(PERIOD).start().unwrap());
    // A thread that ran before the start still has a gap of some 512 KiB to go.
    drop(black_box(Vec::<u8>::with_capacity(16 << 20)));
    (*diag.heap().unwrap(), guard)
}

/// Sums of the four columns over the stacks that go through the function of this name. Names, not address ranges: nobody
/// says where the code of a function ends.
fn through(profile: &Profile, function: &str) -> [i64; 4] {
    let profile = diag::Diag::running().unwrap().symbolize(profile).unwrap();
    let is_it = |name: &str| name.strip_prefix("heap::") == Some(function);
    let mut sums = [0; 4];
    for sample in profile.samples() {
        let mut lines = profile.stack(sample.stack).iter().flat_map(|l| profile.location(*l).lines);
        if lines.any(|line| is_it(profile.str(profile.function(line.function).name))) {
            for (sum, v) in sums.iter_mut().zip(sample.values) {
                *sum += v;
            }
        }
    }
    sums
}

fn snapshot(heap: &Heap) -> Profile {
    heap.snapshot(&SnapshotOptions::default()).unwrap()
}

#[inline(never)]
fn keep_boxes(count: usize) -> Vec<Box<[u8; 1000]>> {
    let mut kept = Vec::with_capacity(count);
    for i in 0..count {
        kept.push(black_box(Box::new([i as u8; 1000])));
    }
    kept
}

#[test]
fn sees_what_is_kept_and_what_is_freed() {
    let (heap, _guard) = heap();
    let before = through(&snapshot(&heap), "keep_boxes");
    let kept = keep_boxes(20_000);
    let during = through(&snapshot(&heap), "keep_boxes");
    drop(kept);
    let after = through(&snapshot(&heap), "keep_boxes");
    println!("{before:?} {during:?} {after:?}");
    // 20,000 blocks of the class 1,024 bytes; standard error 1/sqrt(20,000 * 0.22) = 1.5 %.
    let truth = 20_000.0 * 1024.0;
    let estimate = (during[3] - before[3]) as f64;
    assert!((estimate / truth - 1.0).abs() < 0.1, "in use {estimate} of {truth}");
    assert!(((during[2] - before[2]) as f64 / 20_000.0 - 1.0).abs() < 0.1);
    assert!(after[3] <= before[3] + 64 * 1024, "freed again: {after:?}");
    assert_eq!(after[1], during[1], "what was allocated stays counted");
}

#[test]
fn stacks_start_at_the_code_that_allocates() {
    let (heap, _guard) = heap();
    let kept = keep_boxes(2_000);
    let profile = snapshot(&heap);
    let range = keep_boxes as *const () as u64..keep_boxes as *const () as u64 + 600;
    let mut depths = std::collections::BTreeMap::<usize, i64>::new();
    for sample in profile.samples() {
        if let Some(depth) =
            profile.stack(sample.stack).iter().position(|l| range.contains(&profile.location(*l).address))
        {
            *depths.entry(depth).or_default() += sample.values[3];
        }
    }
    println!("{depths:?} {:?}", heap.stats());
    // Unoptimised code has a few frames of Box::new and the alloc crate between.
    let deepest = depths.iter().max_by_key(|(_, bytes)| **bytes).unwrap().0;
    assert!(*deepest <= 5, "allocator frames are left: {depths:?}");
    drop(kept);
}

#[inline(never)]
fn grow_one(bytes: usize) -> Vec<u8> {
    let mut v = Vec::new();
    while v.len() < bytes {
        v.extend_from_slice(&[7; 4096]);
        black_box(&mut v);
    }
    v
}

#[test]
fn a_growing_vec_keeps_its_birth_and_counts_its_chain() {
    let (heap, _guard) = heap();
    let started_ns =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64;
    let grown = grow_one(8 << 20);
    let profile = heap.snapshot(&SnapshotOptions::default().with_ages(true)).unwrap();
    let profile = diag::Diag::running().unwrap().symbolize(&profile).unwrap();
    let is_it =
        |line: &diag::profile::Line| profile.str(profile.function(line.function).name) == "heap::grow_one";
    let rows: Vec<_> = profile
        .samples()
        .filter(|s| s.values[3] > 0)
        .filter(|s| profile.stack(s.stack).iter().any(|l| profile.location(*l).lines.iter().any(is_it)))
        .collect();
    assert_eq!(rows.len(), 1, "one live block");
    let label = |key: &str| {
        profile.label_set(rows[0].labels).iter().find(|l| profile.str(l.key) == key).map(|l| l.value)
    };
    let Some(LabelValue::Num(chain, _)) = label("realloc_chain") else { panic!("no chain") };
    assert!(chain >= 5, "chain of {chain}");
    let Some(LabelValue::Num(born_at, unit)) = label("born_at") else { panic!("no birth") };
    assert_eq!(profile.str(unit), "nanoseconds");
    assert!((born_at - started_ns).abs() < 60_000_000_000, "born {born_at}, test began {started_ns}");
    let Some(LabelValue::Str(age)) = label("age") else { panic!("no age") };
    assert!(["0-10s", "10-60s"].contains(&profile.str(age)));
    drop(grown);
}

#[inline(never)]
fn off_and_on(n: usize) -> Vec<Box<[u8; 2000]>> {
    (0..n).map(|i| black_box(Box::new([i as u8; 2000]))).collect()
}

#[test]
fn switching_off_forgets_nothing_and_follows_frees() {
    let (heap, _guard) = heap();
    let here = "off_and_on";
    let kept = off_and_on(5_000);
    let on = through(&snapshot(&heap), here);
    heap.set_active(false).unwrap();
    let unseen = off_and_on(5_000);
    let off = through(&snapshot(&heap), here);
    assert_eq!(on, off, "nothing new, nothing lost");
    drop(kept);
    let freed = through(&snapshot(&heap), here);
    assert!(freed[3] < on[3] / 10, "frees are followed while off: {freed:?} of {on:?}");
    heap.set_active(true).unwrap();
    drop(unseen);
    assert_eq!(heap.set_sample_period_bytes(65_536).unwrap(), 65_536);
    let rest = through(&snapshot(&heap), here);
    assert_eq!(rest, freed, "a change of rate keeps the samples there are");
    heap.set_sample_period_bytes(PERIOD).unwrap();
}

#[test]
fn records_nothing_of_itself() {
    let (heap, _guard) = heap();
    let kept = keep_boxes(30_000);
    let before = heap.stats().samples_total;
    for _ in 0..20 {
        black_box(heap.snapshot(&SnapshotOptions::default().with_ages(true)).unwrap());
    }
    let during = heap.stats().samples_total - before;
    // Other threads of the test harness may allocate a little.
    assert!(during < 50, "{during} samples while only the collector worked");
    drop(kept);
}
