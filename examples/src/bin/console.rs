//! tokio-console on a service, beside diag's own endpoints. Its client shows what the tasks below do: one that waits for ever, one
//! that blocks its thread, one that wakes itself, a pipeline, and short ones.
//!
//! ```console
//! $ RUSTFLAGS="--cfg tokio_unstable" cargo run -p examples --features console --bin console
//! $ cargo install tokio-console && tokio-console
//! ```
//!
//! `--listen` is diag's address; tokio-console's is 127.0.0.1:6669.

use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use diag::console::{self, ConsoleOptions};
use examples::args::{Args, HELP, Refused};
use examples::listen::listen;
use tokio::sync::{Mutex, mpsc};
use tokio::time::{interval, sleep};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::prelude::*;

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

/// How long the task that blocks does so; the client warns above a second.
const BLOCKED: Duration = Duration::from_millis(1_200);

/// With a name, where tokio is built to know it. The client shows where it is called.
#[track_caller]
fn spawn(name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
    #[cfg(tokio_unstable)]
    if let Err(error) = tokio::task::Builder::new().name(name).spawn(future) {
        eprintln!("console: no task {name}: {error}");
    }
    #[cfg(not(tokio_unstable))]
    {
        let _ = name;
        tokio::spawn(future);
    }
}

/// A client that was forgotten: nobody will ever wake this.
async fn wait_for_ever() {
    std::future::pending::<()>().await;
}

/// Work of the kind that belongs on `spawn_blocking`.
async fn block_the_thread() {
    loop {
        sleep(Duration::from_secs(4)).await;
        let until = Instant::now() + BLOCKED;
        while Instant::now() < until {
            std::hint::spin_loop();
        }
    }
}

/// Asks again and again instead of waiting.
async fn wake_itself() {
    loop {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        sleep(Duration::from_millis(200)).await;
    }
}

async fn push_prices(prices: mpsc::Sender<u64>) {
    let mut ticks = interval(Duration::from_millis(50));
    for price in 0.. {
        ticks.tick().await;
        if prices.send(price).await.is_err() {
            return;
        }
    }
}

async fn keep_prices(mut prices: mpsc::Receiver<u64>, book: Arc<Mutex<Vec<u64>>>) {
    while let Some(price) = prices.recv().await {
        let mut book = book.lock().await;
        book.push(price);
        book.truncate(1_000);
    }
}

#[tokio::main]
async fn serve(args: Args) -> anyhow::Result<()> {
    let diag = diag::Diag::builder().service_name("console").start()?;
    if let Some(addr) = args.listen {
        listen(addr, Router::new().merge(diag_server::router(&diag))).await?;
    }
    for problem in diag.status().problems {
        eprintln!("console: {}; {}", problem.what, problem.next);
    }
    if let Some(address) = console::stats().and_then(|stats| stats.address) {
        eprintln!("console: tokio-console http://{address}");
    }
    let (sender, receiver) = mpsc::channel(16);
    spawn("forgotten", wait_for_ever());
    spawn("blocking", block_the_thread());
    spawn("self-waker", wake_itself());
    spawn("prices", push_prices(sender));
    spawn("book", keep_prices(receiver, Arc::default()));
    let end = Instant::now() + args.run_for;
    let mut ticks = interval(Duration::from_secs_f64(1.0 / f64::from(args.requests_per_s)));
    while Instant::now() < end {
        ticks.tick().await;
        spawn("request", sleep(Duration::from_millis(30)));
    }
    if let Some(stats) = console::stats() {
        eprintln!(
            "console: {} tasks are kept, {} are not shown, nor {} timers, locks, channels and waits",
            stats.tasks_kept, stats.tasks_not_shown, stats.others_not_shown
        );
    }
    Ok(())
}

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(Refused::Help) => {
            print!("console: tokio-console beside diag\n\n{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(Refused::Usage(what)) => {
            eprintln!("console: {what}\ntry --help");
            return ExitCode::from(2);
        }
    };
    // A filter over the whole registry would hide tokio's spans, which are of level trace.
    let places = diag::SpanLayer::new().with_filter(LevelFilter::INFO);
    tracing_subscriber::registry().with(console::layer(ConsoleOptions::new())).with(places).init();
    match serve(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("console: {error:#}");
            ExitCode::FAILURE
        }
    }
}
