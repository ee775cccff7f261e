//! Many tasks: spawned, polled, woken by timers.

use std::hint::black_box;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::Workload;
use crate::child::{Window, histogram};
use crate::peer::Spawn;

const DRIVERS: usize = 16;
const TICKERS: usize = 256;
const TICK: Duration = Duration::from_millis(10);
const YIELDS: usize = 4;

pub(super) struct Tasks {
    runtime: Runtime,
    spawn: Spawn,
}

impl Tasks {
    pub(super) fn start(runtime: Runtime, spawn: Spawn) -> Self {
        let entered = runtime.enter();
        runtime.block_on(async {
            // Spawned from a thread of the runtime, as services do.
            let _ = tokio::spawn(async move {
                for _ in 0..TICKERS {
                    spawn(Box::pin(tick()));
                }
            })
            .await;
        });
        drop(entered);
        Self { runtime, spawn }
    }
}

async fn tick() {
    let mut ticks = tokio::time::interval(TICK);
    let mut text = String::new();
    loop {
        ticks.tick().await;
        text.clear();
        text.push_str("tick");
        black_box(&text);
    }
}

async fn work() {
    let block = vec![1u8; 256];
    for _ in 0..YIELDS {
        tokio::task::yield_now().await;
    }
    black_box(block);
}

async fn drive(spawn: Spawn, length: Duration, done: mpsc::UnboundedSender<Histogram<u64>>) {
    let mut times = histogram();
    let began = Instant::now();
    let mut before = Duration::ZERO;
    while before < length {
        let _ = spawn(Box::pin(work())).await;
        let now = began.elapsed();
        times.saturating_record((now - before).as_nanos() as u64);
        before = now;
    }
    let _ = done.send(times);
}

impl Workload for Tasks {
    fn run(&mut self, length: Duration) -> Window {
        let spawn = self.spawn;
        let all = self.runtime.block_on(async {
            let (done, mut times) = mpsc::unbounded_channel();
            let _ = tokio::spawn(async move {
                for _ in 0..DRIVERS {
                    spawn(Box::pin(drive(spawn, length, done.clone())));
                }
            })
            .await;
            let mut all = histogram();
            while let Some(times) = times.recv().await {
                all += &times;
            }
            all
        });
        Window::of(&all, 1, length)
    }
}
