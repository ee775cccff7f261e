//! What a tracked task costs, beside tokio's own: `cargo bench -p diag --features tokio --bench tasks`.
//!
//! Each line is the median over rounds of the difference between the two in one round, by turns, on one thread, in CPU time of that thread.
//! Targets: a poll at most 70 ns more; a live task about 100 B of record, and nothing after it ends.
//!
//! With `RUSTFLAGS="--cfg tokio_unstable"` and `--features tokio,console` the table has tokio-console's subscriber too, in the same run but after
//! the others, since it sees all that comes after: tokio's own tasks, a client not connected.

use std::future::{Future, pending, poll_fn};
use std::hint::black_box;
use std::task::Poll;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

const ROUNDS: usize = 41;
const POLLS: u32 = 200_000;
const SPAWNS: u32 = 20_000;
const LIVE: u64 = 100_000;

fn main() {
    let runtime = match Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime,
        Err(e) => return eprintln!("no runtime: {e}"),
    };
    println!(
        "{:<44} {:>9} {:>9} {:>9}  (ns, median of {ROUNDS} rounds; quartiles of the difference)",
        "", "tokio", "diag", "more"
    );
    let [of_poll, ..] = WORK.map(|(what, ns)| compare(what, |spawn| ns(&runtime, spawn)));
    let before = diag::tasks::memory_bytes();
    let live: Vec<JoinHandle<()>> =
        runtime.block_on(async { (0..LIVE).map(|_| diag::spawn(pending::<()>())).collect() });
    let a_task = (diag::tasks::memory_bytes() - before) as f64 / LIVE as f64;
    let started = std::time::Instant::now();
    let snapshot = diag::tasks::snapshot();
    let took = started.elapsed();
    println!(
        "a live task: {a_task:.0} B of record and registry, 24 B in its future; snapshot of {}: {took:.1?}",
        snapshot.tasks.len()
    );
    for task in &live {
        task.abort();
    }
    runtime.block_on(async {
        for task in live {
            let _ = task.await;
        }
    });
    let kept = diag::tasks::memory_bytes().saturating_sub(before);
    println!("after they ended: {kept} B");
    #[cfg(all(tokio_unstable, feature = "console"))]
    console::compare(&runtime);
    println!(
        "{}",
        if of_poll <= 70.0 { "a poll: at most 70 ns more" } else { "a poll: MISSED, more than 70 ns" }
    );
}

/// Gives ns of one.
type Measure = fn(&Runtime, Spawn) -> f64;

/// What is compared.
const WORK: [(&str, Measure); 3] = [
    ("a poll that wakes itself", |runtime, spawn| {
        ns_each(runtime, POLLS, || async move {
            let _ = spawn.of(polled(POLLS)).await;
        })
    }),
    ("a poll woken by a channel", |runtime, spawn| ns_each(runtime, POLLS / 8, || woken(spawn, POLLS / 8))),
    ("spawn, run, join", |runtime, spawn| {
        ns_each(runtime, SPAWNS, || async move {
            for _ in 0..SPAWNS {
                let _ = spawn.of(async { black_box(1) }).await;
            }
        })
    }),
];

#[cfg(all(tokio_unstable, feature = "console"))]
mod console {
    use std::time::Duration;

    use tracing_subscriber::prelude::*;

    use super::*;

    const TASKS: usize = 1_000;
    const ROUNDS: usize = 11;

    /// From here on everything is seen by console-subscriber, with diag's bound of tasks above it.
    pub(super) fn compare(runtime: &Runtime) {
        let options = diag::console::ConsoleOptions::new()
            .listen(([127, 0, 0, 1], 0).into())
            .max_tasks(TASKS)
            .retention(Duration::from_secs(1));
        tracing_subscriber::registry().with(diag::console::layer(options)).init();
        if let Some(problem) = diag::console::problem() {
            return println!("tokio-console: {problem}");
        }
        let before = in_use_bytes();
        let live: Vec<_> = runtime.block_on(async {
            let live: Vec<_> = (0..TASKS).map(|_| tokio::spawn(pending::<()>())).collect();
            tokio::task::yield_now().await;
            live
        });
        let a_task = in_use_bytes().saturating_sub(before) / TASKS;
        println!(
            "tokio-console: a live task: {a_task} B of malloc's ({} of {} are kept)",
            kept(),
            live.len()
        );
        runtime.block_on(async {
            for task in live {
                task.abort();
                let _ = task.await;
            }
        });
        // It forgets them.
        std::thread::sleep(Duration::from_secs(5));
        for (what, ns) in WORK {
            let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| ns(runtime, Spawn::Tokio)).collect();
            rounds.sort_by(f64::total_cmp);
            let (name, ns) = (format!("tokio-console: {what}"), rounds[ROUNDS / 2]);
            println!(
                "{name:<44} {ns:>9.1} ns in all, median of {ROUNDS}, its own thread not counted; {} tasks kept",
                kept()
            );
        }
    }

    fn kept() -> u64 {
        diag::console::stats().map_or(0, |stats| stats.tasks_kept)
    }

    /// What malloc has given out: the resident memory still holds what came before.
    #[cfg(target_env = "gnu")]
    fn in_use_bytes() -> usize {
        #[allow(unsafe_code, reason = "malloc's own count, in a benchmark")]
        // SAFETY: reads counters.
        let counts = unsafe { libc::mallinfo2() };
        counts.uordblks + counts.hblkhd
    }

    #[cfg(not(target_env = "gnu"))]
    fn in_use_bytes() -> usize {
        0
    }
}

/// Who spawns.
#[derive(Clone, Copy)]
enum Spawn {
    Tokio,
    Diag,
}

impl Spawn {
    fn of<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        match self {
            Self::Tokio => tokio::spawn(future),
            Self::Diag => diag::spawn(future),
        }
    }
}

/// A future that is polled so often.
async fn polled(times: u32) {
    let mut left = times;
    poll_fn(|context| {
        left -= 1;
        if left == 0 {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Two tasks that wake each other.
async fn woken(spawn: Spawn, times: u32) {
    let (to_other, mut from_first) = tokio::sync::mpsc::channel::<u32>(1);
    let (to_first, mut from_other) = tokio::sync::mpsc::channel::<u32>(1);
    let echo = spawn.of(async move {
        while let Some(n) = from_first.recv().await {
            let _ = to_first.send(n).await;
        }
    });
    let first = spawn.of(async move {
        for n in 0..times / 2 {
            let _ = to_other.send(n).await;
            let _ = from_other.recv().await;
        }
    });
    let _ = first.await;
    let _ = echo.await;
}

fn ns_each<F: Future>(runtime: &Runtime, times: u32, run: impl FnOnce() -> F) -> f64 {
    let before = cpu_ns();
    runtime.block_on(run());
    (cpu_ns() - before) as f64 / f64::from(times)
}

/// CPU time of this thread.
fn cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    #[allow(unsafe_code, reason = "a clock, in a benchmark")]
    // SAFETY: the pointer is to a live timespec.
    unsafe {
        libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time);
    }
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn compare(what: &str, measure: impl Fn(Spawn) -> f64) -> f64 {
    // Warm.
    measure(Spawn::Tokio);
    measure(Spawn::Diag);
    let mut rounds: Vec<[f64; 3]> = (0..ROUNDS)
        .map(|_| {
            let (tokio, diag) = (measure(Spawn::Tokio), measure(Spawn::Diag));
            [tokio, diag, diag - tokio]
        })
        .collect();
    let mut at = |column: usize, share: f64| {
        rounds.sort_by(|a, b| a[column].total_cmp(&b[column]));
        rounds[((ROUNDS - 1) as f64 * share) as usize][column]
    };
    let more = at(2, 0.5);
    println!(
        "{what:<44} {:>9.1} {:>9.1} {more:>9.1}  ({:.1} to {:.1})",
        at(0, 0.5),
        at(1, 0.5),
        at(2, 0.25),
        at(2, 0.75)
    );
    more
}
