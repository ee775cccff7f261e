//! Embedding 2: a plain threaded program. It has no async runtime; diag listens on a thread of its own.
//!
//! Nothing has to listen: with `--listen none` and `DIAG_CAPTURE_DIR=dir`, diag writes captures there and opens no port.

use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use examples::args::{Args, from_command_line};
use examples::listen::announce;
use examples::request::Request;
use examples::shop::Shop;
use examples::traffic::Traffic;

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

const WORKERS: u32 = 4;
const TICK: Duration = Duration::from_millis(20);

fn work(args: Args) -> anyhow::Result<()> {
    let mut builder = diag::Diag::builder().service_name("embed-threads");
    if let Some(addr) = args.listen {
        builder = builder.listen(addr);
    }
    let diag = builder.start()?;
    if args.listen.is_some() {
        let serving = diag_server::serve(&diag)?;
        announce(serving.local_addr())?;
    }

    let shop = Arc::new(Shop::open());
    let ends = Instant::now() + args.run_for;
    let each_tick = f64::from(args.requests_per_s) / f64::from(WORKERS) * TICK.as_secs_f64();
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let (shop, mut traffic) = (Arc::clone(&shop), Traffic::new(args.seed, worker.into()));
            thread::spawn(move || {
                let mut due = 0.0;
                while Instant::now() < ends {
                    thread::sleep(TICK);
                    due += each_tick;
                    while due >= 1.0 {
                        due -= 1.0;
                        answer(&shop, &traffic.next_call().to_http());
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().map_err(|_| anyhow::anyhow!("a worker panicked"))?;
    }
    Ok(())
}

fn answer(shop: &Shop, raw: &[u8]) {
    if let Some(request) = Request::parse(raw) {
        shop.handle(&request);
    }
}

fn main() -> ExitCode {
    from_command_line("embed_threads", "threads only, no async runtime; diag on a thread of its own", work)
}
