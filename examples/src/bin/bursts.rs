//! A batch service: bursts of work with nothing in between, which leave unused pages with jemalloc. Runs twice in one process, without and
//! with diag's policy under memory pressure, and prints what each kept and what it cost.

use std::hint::black_box;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use diag::rules::{Level, Relief};

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

const WORKERS: u64 = 4;
const BURSTS: u32 = 6;
const IDLE: Duration = Duration::from_secs(4);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Each worker's share of a burst.
const BURST_BYTES: u64 = 48 << 20;
/// The policy begins here: far above what is in use between bursts, below a burst.
const PRESSED_AT_BYTES: u64 = 96 << 20;

/// What a run kept and took.
struct Outcome {
    idle_mean_bytes: u64,
    burst_mean: Duration,
}

fn rss_bytes() -> u64 {
    diag::memory::read_quick().process.rss_bytes.value().unwrap_or(0)
}

/// Blocks of 4 KiB to 1 MiB, written to, alive until the end of the burst.
fn burst(worker: u64) {
    let (mut held, mut bytes, mut size) = (Vec::new(), 0, 4096 << (worker % 3));
    while bytes < BURST_BYTES {
        held.push(black_box(vec![worker as u8; size as usize]));
        bytes += size;
        size = if size >= 1 << 20 { 4096 } else { size * 3 / 2 };
    }
}

fn bursts() -> Outcome {
    let (go, waits): (Vec<_>, Vec<_>) = (0..WORKERS).map(|_| std::sync::mpsc::channel::<()>()).unzip();
    let (done, ended) = std::sync::mpsc::channel();
    // The same threads throughout, as a pool has them: their arenas keep their pages while they wait.
    let workers: Vec<_> = waits
        .into_iter()
        .zip(0..)
        .map(|(wait, worker)| {
            let done = done.clone();
            thread::spawn(move || {
                while wait.recv().is_ok() {
                    burst(worker);
                    if done.send(()).is_err() {
                        return;
                    }
                }
            })
        })
        .collect();
    let (mut idle, mut looks, mut busy) = (0, 0, Duration::ZERO);
    for _ in 0..BURSTS {
        let from = Instant::now();
        let sent = go.iter().filter(|go| go.send(()).is_ok()).count();
        ended.iter().take(sent).for_each(drop);
        busy += from.elapsed();
        let from = Instant::now();
        while from.elapsed() < IDLE {
            (idle, looks) = (idle + rss_bytes(), looks + 1);
            thread::sleep(LOOK_EVERY);
        }
    }
    drop(go);
    workers.into_iter().for_each(|w| drop(w.join()));
    Outcome { idle_mean_bytes: idle / looks, burst_mean: busy / BURSTS }
}

fn run(relief: bool) -> anyhow::Result<Outcome> {
    let mut builder = diag::Diag::builder().service_name("bursts").rules([]);
    if relief {
        builder = builder.relief(Relief::at(Level::Bytes(PRESSED_AT_BYTES)));
    }
    let diag = builder.start()?;
    let outcome = bursts();
    drop(diag);
    // The second run begins as the first did.
    diag::memory::purge().map_err(anyhow::Error::msg)?;
    Ok(outcome)
}

fn compare() -> anyhow::Result<()> {
    println!(
        "{BURSTS} bursts of {} MiB by {WORKERS} threads, {} s apart; pressed from {} MiB on",
        (WORKERS * BURST_BYTES) >> 20,
        IDLE.as_secs(),
        PRESSED_AT_BYTES >> 20
    );
    for (name, relief) in [("without", false), ("with the policy", true)] {
        let outcome = run(relief)?;
        println!(
            "{name:>16}: RSS between bursts {:>4} MiB in the mean; a burst takes {:>4} ms",
            outcome.idle_mean_bytes >> 20,
            outcome.burst_mean.as_millis()
        );
    }
    Ok(())
}

fn main() -> ExitCode {
    match compare() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bursts: {error:#}");
            ExitCode::FAILURE
        }
    }
}
