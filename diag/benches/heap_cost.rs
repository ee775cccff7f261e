//! What the heap collector costs, beside jemalloc's own profiler, in one process and one run.
//!
//! `cargo bench -p diag --bench heap_cost` prints:
//! - how much a process with profiling compiled in but inactive pays against one with `prof:false`: jemalloc's own price;
//! - what this library's code adds to that: `diag::Allocator` against jemalloc called directly, in one such process;
//! - the cost of one sample at 40 frames, from tight alloc+free at a period of 4 KiB;
//! - alloc+free churn at the default period of 512 KiB: not profiling (compiled in, inactive), jemalloc's own profiler,
//!   this library with its live table, and jemalloc's sampling with nobody at work (`bare`: the part that no hook can save).
//!   Mixes draw sizes evenly on a logarithmic scale; single sizes follow.
//!
//! 16,384 other blocks stay alive meanwhile, as in a service. The variants take turns every few milliseconds, and each figure is a
//! median of differences within such a round, so that a drift of the machine cancels.
#![allow(clippy::unwrap_used)] // a benchmark that cannot set up has nothing to say

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::time::Instant;

use diag::heap::{Heap, Hooked};
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

const FRAMES: u32 = 40;
const SIZES: [usize; 6] = [16, 128, 1024, 4096, 8192, 16384];
const ROUNDS: usize = 151;
const SMALL: [usize; 7] = [16, 32, 64, 128, 256, 512, 1024];
const LARGE: [usize; 3] = [4096, 8192, 16384];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Variant {
    Inactive,
    Active(Hooked),
}

fn set(heap: &Heap, variant: Variant) {
    let hooked = match variant {
        Variant::Inactive => Hooked::Jemalloc,
        Variant::Active(hooked) => hooked,
    };
    heap.hook_up(hooked).unwrap();
    heap.set_active(variant != Variant::Inactive).unwrap();
}

/// ns for one alloc+free at the bottom of a stack of 40 frames.
#[inline(never)]
fn churn(depth: u32, sizes: &[usize], pairs: u32) -> f64 {
    if depth > 0 {
        let ns = churn(depth - 1, sizes, pairs);
        return black_box(ns);
    }
    let start = Instant::now();
    let mut size = sizes.iter().cycle();
    for _ in 0..pairs {
        black_box(Vec::<u8>::with_capacity(black_box(size.next().copied().unwrap_or(16))));
    }
    start.elapsed().as_nanos() as f64 / f64::from(pairs)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Made after the period is set: a change of period makes jemalloc forget its samples.
fn others_alive() -> Vec<Vec<u8>> {
    (0..16_384).map(|i| Vec::with_capacity(64 + i % 8192)).collect()
}

/// Medians over rounds: ns a pair while inactive; and of jemalloc's own profiler, nobody, this library, what is above that in ns, and
/// in shares of it. A round takes some milliseconds, and its figures are compared among themselves: machines change their pace by seconds.
struct Compared {
    off: f64,
    over: [f64; 3],
    share: [f64; 3],
}

fn compare(heap: &Heap, sizes: &[usize], pairs: u32) -> Compared {
    let [jemalloc, nobody, diag] = [Hooked::Jemalloc, Hooked::Nobody, Hooked::Diag].map(Variant::Active);
    let variants = [Variant::Inactive, jemalloc, nobody, diag];
    let mut offs = Vec::new();
    let [mut over, mut share]: [[Vec<f64>; 3]; 2] = Default::default();
    for round in 0..ROUNDS {
        let mut ns = [0.0; 4];
        for i in 0..variants.len() {
            let at = (i + round) % variants.len();
            set(heap, variants[at]);
            churn(FRAMES, sizes, pairs / 10);
            ns[at] = churn(FRAMES, sizes, pairs);
        }
        let [off, active @ ..] = ns;
        offs.push(off);
        for (i, ns) in active.into_iter().enumerate() {
            over[i].push(ns - off);
            share[i].push(ns / off - 1.0);
        }
    }
    set(heap, diag);
    Compared { off: median(offs), over: over.map(median), share: share.map(median) }
}

fn output_of_child(what: &str, conf: &str) -> String {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--bench", what])
        .env("_RJEM_MALLOC_CONF", conf)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// ns a pair of both mixes, in a process that was told `conf` and samples nothing.
fn in_child(conf: &str) -> [f64; 2] {
    let text = output_of_child(CHILD, conf);
    let mut values = text.split_whitespace().map(|v| v.parse().unwrap());
    [values.next().unwrap(), values.next().unwrap()]
}

fn inactive_against_off() {
    let mut ratios: [Vec<f64>; 2] = Default::default();
    for _ in 0..11 {
        let off = in_child("prof:false");
        let inactive = in_child("prof:true,prof_active:false");
        for i in 0..2 {
            ratios[i].push(inactive[i] / off[i]);
        }
    }
    let [small, large] = ratios.map(median);
    println!("compiled in but inactive against prof:false, median ratio of 11 pairs of processes:");
    println!("  16 B to 1 KiB {small:.3}, 4 to 16 KiB {large:.3}\n");
}

/// ns for one alloc+free, or one alloc, two reallocs and a free.
#[inline(never)]
#[allow(unsafe_code)] // only so can two allocators be called side by side
fn churn_through<A: GlobalAlloc>(allocator: &A, sizes: &[usize], grow: bool, pairs: u32) -> f64 {
    let layout = |size| Layout::from_size_align(size, 1).unwrap();
    let start = Instant::now();
    let mut size = sizes.iter().cycle();
    for _ in 0..pairs {
        let mut layout = layout(black_box(size.next().copied().unwrap_or(16)));
        // SAFETY: sizes are not zero; each block is grown and freed with the layout it has.
        unsafe {
            let mut block = black_box(allocator.alloc(layout));
            for _ in 0..if grow { 2 } else { 0 } {
                let size = layout.size() * 2;
                block = black_box(allocator.realloc(block, layout, size));
                layout = Layout::from_size_align_unchecked(size, 1);
            }
            allocator.dealloc(block, layout);
        }
    }
    start.elapsed().as_nanos() as f64 / f64::from(pairs)
}

/// In a process that profiles but samples nothing: medians of diag, jemalloc and their ratio, each round one after the other.
fn ours_against_direct() {
    let others = others_alive();
    for (name, sizes, grow) in [
        ("16 B to 1 KiB", &SMALL[..], false),
        ("4 to 16 KiB", &LARGE[..], false),
        ("16 B to 1 KiB, grown twice", &SMALL[..], true),
        ("4 to 16 KiB, grown twice", &LARGE[..], true),
    ] {
        let [mut ours, mut direct, mut ratios]: [Vec<f64>; 3] = Default::default();
        let pairs = if grow { 20_000 } else { 60_000 };
        for round in 0..DIRECT_ROUNDS {
            let a = || churn_through(&ALLOC, sizes, grow, pairs);
            let b = || churn_through(&Jemalloc, sizes, grow, pairs);
            // Who goes first alternates.
            let (a, b) = if round % 2 == 0 {
                let a = a();
                (a, b())
            } else {
                let b = b();
                (a(), b)
            };
            ours.push(a);
            direct.push(b);
            ratios.push(a / b);
        }
        let (ours, direct, ratio) = (median(ours), median(direct), median(ratios));
        println!("{name:>28} {ours:>9.2} {direct:>9.2} {ratio:>8.3}");
    }
    drop(others);
}

const DIRECT_ROUNDS: usize = 301;
const CHILD: &str = "--child";
const DIRECT: &str = "--direct";

fn main() {
    // `cargo test --benches` only wants to know that it starts.
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    if std::env::args().any(|a| a == CHILD) {
        let best = |sizes| (0..7).map(|_| churn(FRAMES, sizes, 300_000)).fold(f64::INFINITY, f64::min);
        println!("{} {}", best(&SMALL[..]), best(&LARGE[..]));
        return;
    }
    if std::env::args().any(|a| a == DIRECT) {
        ours_against_direct();
        return;
    }
    inactive_against_off();
    println!(
        "diag::Allocator against jemalloc called directly, compiled in but inactive, ns a pair, medians of {DIRECT_ROUNDS}:"
    );
    println!("{:>28} {:>9} {:>9} {:>8}", "", "diag", "direct", "ratio");
    println!("{}", output_of_child(DIRECT, "prof:true,prof_active:false"));
    let diag = diag::Diag::builder().start().unwrap();
    let heap = *diag.heap().unwrap();

    println!("cost of one sample, {FRAMES} frames, period 4 KiB");
    println!("{:>8} {:>14} {:>14} {:>14} {:>8}", "size", "jemalloc ns", "diag ns", "bare ns", "ratio");
    let period = heap.set_sample_period_bytes(4096).unwrap() as f64;
    let others = others_alive();
    for size in SIZES {
        let Compared { over, .. } = compare(&heap, &[size], 6_000);
        let class = size.max(8) as f64;
        let samples_per_pair = 1.0 - (-class / period).exp();
        let [theirs, bare, ours] = over.map(|ns| ns / samples_per_pair);
        println!("{size:>8} {theirs:>14.0} {ours:>14.0} {bare:>14.0} {:>8.3}", ours / theirs);
    }

    println!("\nalloc+free churn, {FRAMES} frames, period 512 KiB, ns a pair");
    println!(
        "{:>8} {:>9} {:>9} {:>9} {:>9} {:>12} {:>12} {:>14}",
        "size", "inactive", "jemalloc", "bare", "diag", "bare over", "diag over", "of jem's extra"
    );
    drop(others);
    heap.set_sample_period_bytes(512 << 10).unwrap();
    let others = others_alive();
    let singles = SIZES.iter().map(|size| (size.to_string(), std::slice::from_ref(size)));
    let mixes = [("16..1Ki".to_owned(), &SMALL[..]), ("4..16Ki".to_owned(), &LARGE[..])];
    for (name, sizes) in mixes.into_iter().chain(singles) {
        let Compared { off, over, share } = compare(&heap, sizes, 40_000);
        let [jemalloc, bare, ours] = over.map(|ns| off + ns);
        let [_, bare_over, ours_over] = share.map(|share| share * 100.0);
        let of_theirs = over[2] / over[0];
        println!(
            "{name:>8} {off:>9.2} {jemalloc:>9.2} {bare:>9.2} {ours:>9.2} {bare_over:>11.1}% {ours_over:>11.1}% {of_theirs:>14.3}"
        );
    }
    drop(others);
    println!("\n{}", serde_json::to_string(&heap.stats()).unwrap());
}
