//! How what diag costs grows: with live stacks, with threads, with the depth of stacks, and with time.
//!
//! `cargo bench -p diag --features recorder,tokio --bench growth` measures the three curves, each point in a process of its own, and
//! writes `growth.csv`, `growth.json` and a picture an axis. `-- --soak 3600` runs a mixed service that is sampled, profiled,
//! captured and judged all the time, and ends with 1 when the memory that diag says it holds is not level in the last two thirds; it writes
//! `soak.csv` and a picture. Half an hour is too short: what the leak history keeps of a stack goes 20 minutes back, and fills until then.
//! `--out DIR` says where; by default below the target folder. One run is kept in `diag/docs/growth/`.
//!
//! Times are medians of the thread's time on a processor; of recordings the fastest start and stop by the clock, since the sampler's
//! thread works too; of stalls the median of each round's worst, with and without a snapshot, which on a busy machine is the scheduler's.
#![allow(clippy::unwrap_used)] // a benchmark that cannot set up has nothing to say

mod curves;
mod point;
mod soak;
#[path = "../stall/mod.rs"]
mod stall;
mod svg;
mod trend;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` only wants to know that it starts.
    if !args.iter().any(|a| a == "--bench") {
        return ExitCode::SUCCESS;
    }
    let after = |name: &str| args.iter().position(|a| a == name).map(|at| args.get(at + 1).cloned());
    if let Some(point) = after("--point") {
        println!("{}", point::measure(&point.unwrap().parse().unwrap()));
        return ExitCode::SUCCESS;
    }
    let out = after("--out").map_or(PathBuf::from(concat!(env!("CARGO_TARGET_TMPDIR"), "/growth")), |dir| {
        PathBuf::from(dir.unwrap())
    });
    std::fs::create_dir_all(&out).unwrap();
    match after("--soak") {
        Some(seconds) => {
            let seconds = seconds.and_then(|s| s.parse().ok()).unwrap_or(3600);
            soak::run(Duration::from_secs(seconds), &out)
        }
        None => curves::run(&out),
    }
}
