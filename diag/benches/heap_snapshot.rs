//! A snapshot of 50,000 live stacks: how long until the gzipped pprof bytes are there, the worst stall of allocations on
//! another thread meanwhile, and the collector's memory. The fastest round is the work; medians have the waiting for a
//! busy processor in them, which differs from run to run. Beside it: jemalloc's own `prof.dump` of the same stacks.
//!
//! `cargo bench -p diag --bench heap_snapshot`. The stall without any snapshot is printed as well: on a busy machine it
//! is the scheduler's.
#![allow(clippy::vec_box)] // blocks of their own are the point
#![allow(clippy::unwrap_used)] // a benchmark that cannot set up has nothing to say

#[path = "stall/mod.rs"]
mod stall;

use std::hint::black_box;
use std::time::{Duration, Instant};

use diag::heap::{Heap, Hooked, SnapshotOptions};
use diag::profile::pprof;
use stall::worst_stall;

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

const STACKS: u32 = 50_000;
const DEPTH: u32 = 40;

type Blocks = Vec<Box<[u8; 100]>>;

/// Two functions that call each other as the bits of `path` say: 2^16 distinct stacks of `DEPTH` frames.
#[inline(never)]
fn left(path: u32, depth: u32, out: &mut Blocks) {
    next(path, depth, out);
    black_box(1);
}

#[inline(never)]
fn right(path: u32, depth: u32, out: &mut Blocks) {
    next(path, depth, out);
    black_box(2);
}

#[inline(always)]
fn next(path: u32, depth: u32, out: &mut Blocks) {
    if depth == 0 {
        out.push(black_box(Box::new([1; 100])));
    } else if path >> (depth % 16) & 1 == 0 {
        left(path, depth - 1, out);
    } else {
        right(path, depth - 1, out);
    }
}

fn fill() -> Blocks {
    let mut blocks = Vec::with_capacity(STACKS as usize);
    for path in 0..STACKS {
        left(path, DEPTH, &mut blocks);
    }
    blocks
}

fn median(mut values: Vec<Duration>) -> Duration {
    values.sort();
    values[values.len() / 2]
}

fn capture(heap: &Heap) -> (Duration, Duration, usize) {
    let start = Instant::now();
    let profile = heap.snapshot(&SnapshotOptions::default()).unwrap();
    let snapshot = start.elapsed();
    let bytes = pprof::encode_gz(&profile);
    (snapshot, start.elapsed(), bytes.len())
}

fn main() {
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    let diag = diag::Diag::builder().sample_bytes(1).start().unwrap();
    let heap = *diag.heap().unwrap();
    let blocks = fill();
    heap.set_sample_period_bytes(512 << 10).unwrap();
    let stats = heap.stats();
    println!("{} stacks, {} live samples, {DEPTH} calls deep", stats.stacks, stats.live_samples);
    println!("memory of the collector: {:.1} MiB", stats.memory_bytes as f64 / f64::from(1 << 20));

    let rounds: Vec<_> = (0..15).map(|_| capture(&heap)).collect();
    println!(
        "diag: snapshot {:?}, with gzipped pprof of {} KiB {:?} (medians of 15), fastest {:?}",
        median(rounds.iter().map(|r| r.0).collect()),
        rounds[0].2 >> 10,
        median(rounds.iter().map(|r| r.1).collect()),
        rounds.iter().map(|r| r.1).min().unwrap_or_default(),
    );
    let quiet: Vec<_> =
        (0..15).map(|_| worst_stall(|| std::thread::sleep(Duration::from_millis(40))).1).collect();
    let stalls: Vec<_> =
        (0..15).map(|_| worst_stall(|| heap.snapshot(&SnapshotOptions::default())).1).collect();
    println!(
        "worst allocation on another thread, median of 15 rounds: quiet {:?}, during a snapshot {:?}",
        median(quiet),
        median(stalls)
    );
    // What leak verdicts cost: a census a second in the first two minutes of a process, more rarely later.
    let mut watch = diag.watch_leaks(Duration::from_secs(3600), None).unwrap();
    let censuses: Vec<_> = (0..15)
        .map(|_| {
            let (elapsed, stall) = worst_stall(|| {
                let start = Instant::now();
                watch.census();
                start.elapsed()
            });
            (elapsed, stall)
        })
        .collect();
    let each = median(censuses.iter().map(|c| c.0).collect());
    println!(
        "a census for leak verdicts {each:?}: {:.2} % of one core at one a second; worst allocation on another thread {:?}; \
         with its cohorts the collector holds {:.1} MiB",
        each.as_secs_f64() * 100.0,
        median(censuses.iter().map(|c| c.1).collect()),
        diag.status().heap.map_or(0.0, |h| h.memory_bytes as f64) / f64::from(1 << 20),
    );
    let start = Instant::now();
    let report = diag.leaks(&Default::default()).unwrap();
    println!("a verdict {:?}, of {} groups of stacks", start.elapsed(), report.tested);
    drop(blocks);

    heap.hook_up(Hooked::Jemalloc).unwrap();
    heap.set_sample_period_bytes(1).unwrap();
    let blocks = fill();
    // Off, not another period: a change of period would make jemalloc forget its samples.
    heap.set_active(false).unwrap();
    let rounds: Vec<_> = (0..5)
        .map(|_| {
            let (elapsed, stall) = worst_stall(|| {
                let start = Instant::now();
                let bytes = heap.jemalloc_dump().unwrap().len();
                (start.elapsed(), bytes)
            });
            (elapsed.0, stall, elapsed.1)
        })
        .collect();
    println!(
        "jemalloc: prof.dump of {} KiB text {:?}, worst allocation on another thread {:?} (medians of 5)",
        rounds[0].2 >> 10,
        median(rounds.iter().map(|r| r.0).collect()),
        median(rounds.iter().map(|r| r.1).collect()),
    );
    drop(blocks);
}
