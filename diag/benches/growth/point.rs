//! One point of a curve: a process with so many live stacks so deep and so many threads, and what diag costs in it.

use std::fmt;
use std::hint::black_box;
use std::str::FromStr;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use diag::cpu::CpuOptions;
use diag::heap::{Heap, SnapshotOptions};
use diag::profile::pprof;

use crate::stall::worst_stall;

/// What the process is like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Point {
    pub(crate) stacks: u32,
    pub(crate) threads: u32,
    pub(crate) depth: u32,
    /// Whether the collector's tables keep their usual bound.
    pub(crate) bounded: bool,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{},{}", self.stacks, self.threads, self.depth, self.bounded)
    }
}

impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(',').collect();
        let [stacks, threads, depth, bounded] = parts.as_slice() else { return Err("four numbers".into()) };
        let number = |text: &str| text.parse().map_err(|e| format!("{text}: {e}"));
        Ok(Self {
            stacks: number(stacks)?,
            threads: number(threads)?,
            depth: number(depth)?,
            bounded: *bounded == "true",
        })
    }
}

/// Names and units of what is measured, in the order of [`measure`]'s line.
pub(crate) const FIGURES: [&str; 10] = [
    "sample_ns",
    "snapshot_ms",
    "pprof_ms",
    "stall_ms",
    "quiet_stall_ms",
    "census_ms",
    "own_mib",
    "cpu_start_ms",
    "cpu_stop_ms",
    "losses",
];

/// Room for a stack of 55 frames with its live sample, and for those that the churn adds.
const STACK_BYTES: u64 = 1_200;
/// Blocks of one allocation and free each that the cost of a sample is taken from.
const CHURN: u32 = 20_000;

/// The figures of a point, separated by spaces.
pub(crate) fn measure(point: &Point) -> String {
    let mut builder = diag::Diag::builder().sample_bytes(1);
    if !point.bounded {
        builder = builder.heap_table_bytes((u64::from(point.stacks) * STACK_BYTES).max(64 << 20));
    }
    let diag = builder.start().unwrap();
    let heap = *diag.heap().unwrap();
    let threads = Threads::start(point.threads);
    let mut blocks = Vec::with_capacity(point.stacks as usize);
    for path in 0..point.stacks {
        left(path, point.depth, &mut |block| blocks.push(block));
    }
    let sample_ns = sample_ns(&heap, point);
    // As in a service, so that what is measured next is not sampled all the time.
    heap.set_sample_period_bytes(512 << 10).unwrap();

    // Large ones take longer and scatter less.
    let count = if point.stacks < 100_000 { 9 } else { 3 };
    let (mut snapshots, mut files) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let start = own_time();
        let profile = heap.snapshot(&SnapshotOptions::default()).unwrap();
        snapshots.push(own_time() - start);
        black_box(pprof::encode_gz(&profile));
        files.push(own_time() - start);
    }
    let stalls =
        (0..count).map(|_| worst_stall(|| drop(heap.snapshot(&SnapshotOptions::default()))).1).collect();
    let quiet = (0..count).map(|_| worst_stall(|| std::thread::sleep(Duration::from_millis(40))).1).collect();
    let mut watch = diag.watch_leaks(Duration::from_secs(3600), None).unwrap();
    let censuses = (0..count)
        .map(|_| {
            let start = own_time();
            watch.census();
            own_time() - start
        })
        .collect();
    let (mut starts, mut stops) = (Vec::new(), Vec::new());
    // The first one makes what stays.
    for round in 0..=count {
        let start = Instant::now();
        let recording = diag.cpu().unwrap().record(&CpuOptions::default()).unwrap();
        let began = start.elapsed();
        std::thread::sleep(Duration::from_millis(150));
        let stop = Instant::now();
        black_box(recording.finish().unwrap());
        if round > 0 {
            starts.push(began);
            stops.push(stop.elapsed());
        }
    }
    let status = diag.status();
    let stats = status.heap.unwrap();
    let lost: u64 = stats.losses.values().sum();
    threads.finish();
    let own = (stats.memory_bytes + status.cpu.map_or(0, |c| c.memory_bytes)) as f64 / f64::from(1 << 20);
    let [snapshot, file, stall, quiet, census] =
        [snapshots, files, stalls, quiet, censuses].map(|times| median(times).as_secs_f64() * 1e3);
    let [start, stop] = [starts, stops].map(|times| times.into_iter().min().unwrap().as_secs_f64() * 1e3);
    format!("{sample_ns:.0} {snapshot} {file} {stall} {quiet} {census} {own} {start} {stop} {lost}")
}

/// What a sampled allocation with its free costs more than one that is not sampled, at stacks that are known.
fn sample_ns(heap: &Heap, point: &Point) -> f64 {
    let churn = |active: bool| {
        heap.set_active(active).unwrap();
        let start = own_time();
        for n in 0..CHURN {
            // Scattered over the stacks.
            let path = (n.wrapping_mul(2_654_435_761) >> 7) % point.stacks;
            left(path, point.depth, &mut |block| drop(black_box(block)));
        }
        (own_time() - start).as_secs_f64() * 1e9 / f64::from(CHURN)
    };
    let mut rounds: Vec<f64> = (0..5).map(|_| churn(true) - churn(false)).collect();
    heap.set_active(true).unwrap();
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

type Block = Box<[u8; 64]>;

/// Two functions that call each other as the bits of `path` say: 2^20 distinct stacks, or 2^`depth`.
#[inline(never)]
fn left(path: u32, depth: u32, take: &mut dyn FnMut(Block)) {
    next(path, depth, take);
    black_box(1);
}

#[inline(never)]
fn right(path: u32, depth: u32, take: &mut dyn FnMut(Block)) {
    next(path, depth, take);
    black_box(2);
}

#[inline(always)]
fn next(path: u32, depth: u32, take: &mut dyn FnMut(Block)) {
    if depth == 0 {
        take(black_box(Box::new([1; 64])));
    } else if path >> ((depth - 1) % 20) & 1 == 0 {
        left(path, depth - 1, take);
    } else {
        right(path, depth - 1, take);
    }
}

/// Threads that have allocated, hold what they got, and wait.
struct Threads {
    over: Arc<Barrier>,
    handles: Vec<std::thread::JoinHandle<()>>,
}

impl Threads {
    fn start(count: u32) -> Self {
        let (up, over) =
            (Arc::new(Barrier::new(count as usize + 1)), Arc::new(Barrier::new(count as usize + 1)));
        let handles = (0..count).map(|n| {
            let (up, over) = (Arc::clone(&up), Arc::clone(&over));
            let body = move || {
                let mut held = Vec::new();
                left(n % 16, 8, &mut |block| held.push(block));
                up.wait();
                over.wait();
            };
            std::thread::Builder::new().stack_size(128 << 10).spawn(body).unwrap()
        });
        let handles = handles.collect();
        up.wait();
        Self { over, handles }
    }

    fn finish(self) {
        self.over.wait();
        for handle in self.handles {
            handle.join().unwrap();
        }
    }
}

/// Time that this thread has been on a processor: what else the machine does is not in it.
#[allow(unsafe_code)] // a clock that std does not have
fn own_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one timespec.
    let code = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(code, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
