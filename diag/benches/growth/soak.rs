//! A service that runs for long while everything is asked of it: does what diag holds stay level?
//!
//! The service: two threads that answer requests out of a bounded cache, under spans, with a lock they fight for; tasks that live for
//! up to half a second; threads that come and go. Asked meanwhile: profiles of the heap with names, CPU profiles, verdicts, dumps of the
//! recorder, the mappings; captures are written by time. None of the service's tables grows, so neither may diag's.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use diag::Diag;
use diag::cpu::CpuOptions;
use diag::heap::SnapshotOptions;
use diag::profile::pprof;
use diag::recorder::Recorder;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::svg::{Panel, Scale, Series, page};
use crate::trend::{Slope, slope};

/// More than this much an hour is not level. What diag holds is some 20 MiB: a twentieth of it a hour.
const LEVEL_BYTES_PER_HOUR: f64 = (1 << 20) as f64;
/// Readings in all.
const READINGS: u32 = 360;

/// What is held at a moment, in bytes.
struct Reading {
    at_s: f64,
    rss: u64,
    /// In the order of [`PARTS`].
    parts: [u64; PARTS.len()],
}

const PARTS: [&str; 10] = [
    "live objects",
    "stacks",
    "unwinder",
    "leak history",
    "waterlines",
    "cpu",
    "tasks",
    "locks",
    "recorder",
    "names",
];

impl Reading {
    fn own(&self) -> u64 {
        self.parts.iter().sum()
    }
}

pub(crate) fn run(length: Duration, out: &Path) -> ExitCode {
    let captures = out.join("captures");
    let _ = std::fs::remove_dir_all(&captures);
    let diag = Diag::builder()
        .service_name("soak")
        .sample_bytes(64 << 10)
        .capture_dir(&captures)
        .capture_every(Duration::from_secs(10))
        .capture_keep(20)
        .mutex_profile_fraction(5)
        .block_profile_rate_ns(100_000)
        .start()
        .unwrap();
    let layer = Recorder::builder().build().unwrap();
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).unwrap();
    let service = Service::start();
    let asked = Arc::new(Asked::default());
    let asker = std::thread::spawn({
        let (diag, asked, stop) = (diag.clone(), Arc::clone(&asked), Arc::clone(&service.stop));
        move || ask(&diag, &asked, &stop)
    });

    let (start, every) = (Instant::now(), (length / READINGS).max(Duration::from_secs(1)));
    let mut readings = Vec::new();
    while start.elapsed() < length {
        std::thread::sleep(every);
        let reading = read(&diag, start.elapsed(), readings.last());
        readings.push(reading);
    }
    let live_tasks = diag::tasks::live_count();
    service.finish();
    asker.join().unwrap();
    let losses = diag.status().heap.unwrap().losses;
    std::fs::remove_dir_all(&captures).unwrap();

    let mut csv = format!("at_s,rss_bytes,own_bytes,{}\n", PARTS.join(",").replace(' ', "_"));
    for reading in &readings {
        let parts: Vec<String> = reading.parts.iter().map(u64::to_string).collect();
        let _ = writeln!(csv, "{:.1},{},{},{}", reading.at_s, reading.rss, reading.own(), parts.join(","));
    }
    std::fs::write(out.join("soak.csv"), csv).unwrap();
    std::fs::write(out.join("soak.svg"), picture(&readings)).unwrap();
    println!(
        "{} readings in {:.0} s; {live_tasks} tasks alive at the end; {asked}",
        readings.len(),
        length.as_secs_f64()
    );
    println!("losses of the heap collector: {losses:?}");
    judge(&readings, length)
}

/// Over the last two thirds: what fills in the beginning has filled.
fn judge(readings: &[Reading], length: Duration) -> ExitCode {
    let late: Vec<&Reading> = readings.iter().filter(|r| r.at_s * 3.0 > length.as_secs_f64()).collect();
    let points = |value: &dyn Fn(&Reading) -> u64| -> Vec<(f64, f64)> {
        late.iter().map(|r| (r.at_s / 3600.0, value(r) as f64)).collect()
    };
    let Some(own) = slope(&points(&|r| r.own())) else {
        println!("FAIL: too short for a slope, {} readings", late.len());
        return ExitCode::FAILURE;
    };
    for (at, part) in PARTS.iter().enumerate() {
        show(part, slope(&points(&|r| r.parts[at])), late.last().map_or(0, |r| r.parts[at]));
    }
    show("own memory", Some(own), late.last().map_or(0, |r| r.own()));
    show("resident", slope(&points(&|r| r.rss)), late.last().map_or(0, |r| r.rss));
    let is_level = own.high <= LEVEL_BYTES_PER_HOUR;
    println!(
        "{}: the memory that diag holds {} level: at most {:+.0} KiB an hour, {:.0} are allowed",
        if is_level { "PASS" } else { "FAIL" },
        if is_level { "is" } else { "is not" },
        own.high / 1024.0,
        LEVEL_BYTES_PER_HOUR / 1024.0
    );
    if is_level { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn show(what: &str, slope: Option<Slope>, last: u64) {
    let kib = |bytes: f64| bytes / 1024.0;
    if let Some(slope) = slope {
        println!(
            "{what:>12}: {:>8.0} KiB at the end; {:+.0} KiB an hour, 95 % {:+.0} to {:+.0}",
            kib(last as f64),
            kib(slope.median),
            kib(slope.low),
            kib(slope.high)
        );
    }
}

fn read(diag: &Diag, at: Duration, before: Option<&Reading>) -> Reading {
    let status = diag.status();
    let heap = status.heap.map(|s| s.memory_parts).unwrap_or_default();
    let parts = [
        heap.live_table_bytes,
        heap.stacks_bytes,
        heap.unwinder_bytes,
        heap.leak_history_bytes,
        heap.memory_history_bytes,
        status.cpu.map_or(0, |s| s.memory_bytes),
        status.tasks.memory_bytes,
        status.sync.memory_bytes,
        status.recorder.map_or(0, |s| s.memory_bytes),
        // Not to be had while names are looked up: then as before.
        status.symbols.map_or(before.map_or(0, |b| b.parts[PARTS.len() - 1]), |s| s.bytes as u64),
    ];
    Reading { at_s: at.as_secs_f64(), rss: resident(), parts }
}

fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

fn picture(readings: &[Reading]) -> String {
    let series = |name: &str, value: &dyn Fn(&Reading) -> u64| Series {
        name: name.to_owned(),
        points: readings.iter().map(|r| (r.at_s / 60.0, value(r) as f64 / f64::from(1 << 20))).collect(),
    };
    let panel = |series| Panel { x: "minutes".into(), y: "MiB".into(), scale: Scale::Linear, series };
    page(&[
        panel(vec![
            series("resident memory of the process", &|r| r.rss),
            series("held by diag", &|r| r.own()),
        ]),
        panel(PARTS.iter().enumerate().map(|(at, part)| series(part, &|r| r.parts[at])).collect()),
    ])
}

/// How often each question was asked.
#[derive(Default)]
struct Asked {
    heap: AtomicU64,
    cpu: AtomicU64,
    verdicts: AtomicU64,
    traces: AtomicU64,
    surveys: AtomicU64,
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        write!(
            f,
            "{} heap profiles with names, {} CPU profiles, {} verdicts, {} traces, {} surveys",
            count(&self.heap),
            count(&self.cpu),
            count(&self.verdicts),
            count(&self.traces),
            count(&self.surveys)
        )
    }
}

/// Asks one question after the other, a second apart.
fn ask(diag: &Diag, asked: &Asked, stop: &AtomicBool) {
    let again = |counter: &AtomicU64| _ = counter.fetch_add(1, Ordering::Relaxed);
    for turn in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        match turn % 5 {
            0 => {
                let options = SnapshotOptions::default().with_ages(turn % 2 == 0);
                let profile = diag.heap().unwrap().snapshot(&options).unwrap();
                black_box(pprof::encode_gz(&diag.symbolize(&profile).unwrap()));
                again(&asked.heap);
            }
            1 => {
                let profile =
                    diag.cpu().unwrap().profile(Duration::from_secs(1), &CpuOptions::default()).unwrap();
                black_box(diag.symbolize(&profile).unwrap());
                again(&asked.cpu);
            }
            2 => {
                black_box(diag.leaks(&Default::default()).unwrap());
                again(&asked.verdicts);
            }
            3 => {
                let trace = Recorder::running().unwrap().dump(None).unwrap();
                black_box(diag.symbolize_trace(trace).to_chrome_json());
                again(&asked.traces);
            }
            _ => {
                black_box((
                    diag.survey(),
                    diag.memory(),
                    diag.memory_history(0),
                    diag::sync::mutex_profile().unwrap(),
                ));
                again(&asked.surveys);
            }
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// What is asked about.
struct Service {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
    runtime: tokio::runtime::Runtime,
}

impl Service {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let cache = Arc::new(diag::sync::Mutex::new(HashMap::new()));
        let mut threads = Vec::new();
        for worker in 0..2 {
            let (stop, cache) = (Arc::clone(&stop), Arc::clone(&cache));
            threads.push(std::thread::spawn(move || answer_requests(worker, &stop, &cache)));
        }
        let short_lived = Arc::clone(&stop);
        threads.push(std::thread::spawn(move || {
            while !short_lived.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(200));
                let made = std::thread::spawn(|| (0..200).map(|n| vec![0u8; 100 + n]).collect::<Vec<_>>());
                black_box(made.join().unwrap());
            }
        }));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let spawning = Arc::clone(&stop);
        runtime.spawn(async move {
            let mut n = 0u64;
            while !spawning.load(Ordering::Relaxed) {
                n += 1;
                let lives = Duration::from_millis(n.wrapping_mul(7919) % 500);
                drop(diag::spawn(async move {
                    let held = vec![1u8; 2000];
                    tokio::time::sleep(lives).await;
                    black_box(held);
                }));
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        Self { stop, threads, runtime }
    }

    fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.runtime.shutdown_timeout(Duration::from_secs(5));
    }
}

type Cache = diag::sync::Mutex<HashMap<u64, Vec<String>>>;

/// Requests come in bursts of ten, some thousand a second.
fn answer_requests(worker: u64, stop: &AtomicBool, cache: &Cache) {
    let mut random = worker + 1;
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(10));
        for _ in 0..10 {
            // Xorshift (Marsaglia 2003).
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let span = tracing::info_span!("request", key = random % 3000);
            span.in_scope(|| answer(random, cache, (random >> 40) as u32 % 9));
        }
    }
}

/// At the bottom of one of many stacks: replaces an entry, looks at another.
#[inline(never)]
fn answer(random: u64, cache: &Cache, depth: u32) {
    if depth > 0 {
        if random >> depth & 1 == 0 {
            answer_left(random, cache, depth)
        } else {
            answer_right(random, cache, depth)
        }
        return;
    }
    let entry: Vec<String> = (0..random % 20).map(|n| format!("line {n} of {random}")).collect();
    let mut cache = cache.lock().unwrap();
    if let Some(old) = cache.insert(random % 3000, entry) {
        tracing::info!(lines = old.len(), "replaced");
    }
    black_box(cache.get(&(random % 2999)).map(Vec::len));
}

#[inline(never)]
fn answer_left(random: u64, cache: &Cache, depth: u32) {
    answer(random, cache, depth - 1);
    black_box(1);
}

#[inline(never)]
fn answer_right(random: u64, cache: &Cache, depth: u32) {
    answer(random, cache, depth - 1);
    black_box(2);
}
