//! Who waits for whom: a price list that is rewritten under its lock, and a till that is held across an await.
//!
//! Nothing leaks. `DIAG_MUTEX_FRACTION=1` and `DIAG_BLOCK_RATE_NS=1` show at `/debug/pprof/mutex` that `reprice_all` and `settle` make the
//! others wait, and at `block` that `quote` and `check_out` wait. With `--fixed` prices are worked out before the lock is taken, and the
//! till is given back before the await: nobody waits to speak of.

use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use diag::sync::RwLock;
use diag::sync::tokio::Mutex;
use examples::args::{Args, from_command_line};
use examples::listen::announce;

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

/// How long new prices, or a bank, take.
const WORK: Duration = Duration::from_millis(10);
const PAUSE: Duration = Duration::from_millis(20);
const QUOTERS: u32 = 3;

struct Prices(RwLock<Vec<u64>>);

impl Prices {
    #[inline(never)]
    fn quote(&self, item: usize) -> u64 {
        match self.0.read() {
            Ok(prices) => prices.get(item).copied().unwrap_or(0),
            Err(_) => 0,
        }
    }

    #[inline(never)]
    fn reprice_all(&self, fixed: bool) {
        if fixed {
            thread::sleep(WORK);
        }
        let Ok(mut prices) = self.0.write() else { return };
        if !fixed {
            thread::sleep(WORK);
        }
        for price in prices.iter_mut() {
            *price += 1;
        }
    }
}

/// Takes the money to the bank.
async fn settle(till: &Mutex<u64>, fixed: bool) {
    let mut till = till.lock().await;
    let sum = std::mem::take(&mut *till);
    // Held across the await, unless it is given back here.
    let held = (!fixed).then_some(till);
    tokio::time::sleep(WORK).await;
    tracing::debug!(sum, still_held = held.is_some(), "settled");
}

async fn check_out(till: &Mutex<u64>, price: u64) {
    *till.lock().await += price;
}

async fn serve(till: Arc<Mutex<u64>>, ends: Instant) {
    while Instant::now() < ends {
        check_out(&till, 7).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn work(args: Args) -> anyhow::Result<()> {
    let mut builder = diag::Diag::builder().service_name("contended");
    if let Some(addr) = args.listen {
        builder = builder.listen(addr);
    }
    let diag = builder.start()?;
    if args.listen.is_some() {
        let serving = diag_server::serve(&diag)?;
        announce(serving.local_addr())?;
    }
    let ends = Instant::now() + args.run_for;
    let prices = Arc::new(Prices(RwLock::new(vec![100; 1_000])));
    let (shown, fixed) = (Arc::clone(&prices), args.fixed);
    let mut threads = vec![thread::spawn(move || {
        while Instant::now() < ends {
            shown.reprice_all(fixed);
            thread::sleep(PAUSE);
        }
    })];
    for _ in 0..QUOTERS {
        let prices = Arc::clone(&prices);
        threads.push(thread::spawn(move || {
            while Instant::now() < ends {
                std::hint::black_box(prices.quote(7));
                thread::sleep(Duration::from_millis(1));
            }
        }));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
    runtime.block_on(async {
        let till = Arc::new(Mutex::new(0));
        let servers: Vec<_> = (0..4).map(|_| tokio::spawn(serve(Arc::clone(&till), ends))).collect();
        while Instant::now() < ends {
            settle(&till, fixed).await;
            tokio::time::sleep(PAUSE).await;
        }
        for server in servers {
            server.await?;
        }
        anyhow::Ok(())
    })?;
    for thread in threads {
        thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?;
    }
    Ok(())
}

fn main() -> ExitCode {
    from_command_line("contended", "locks that are held too long; profiles of contention", work)
}
