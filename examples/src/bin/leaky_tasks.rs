//! Tasks that never end, in five ways, each in a function of its own; `curl HOST/debug/pprof/taskleak?debug=1` and
//! `diag-cli tasks HOST` explain each.
//!
//! - `wait_for_stock`: never woken. Its future gives no waker to anybody.
//! - `confirm_payment`: forgotten sender. It awaits an answer, and the table of open payments keeps its sender for good.
//! - `sync_warehouse`: endless retry. The warehouse is gone, and nobody counts the tries.
//! - `index_order`: the handle is dropped when it takes too long, and the task waits on for a permit that was lost.
//! - `render_invoice`: a blocking call in a poll. It ends, but keeps a thread of the runtime meanwhile.
//!
//! The twin does the same work with a waker, an answer, a last try, permits that come back, and `spawn_blocking`.

use std::collections::HashMap;
use std::future::poll_fn;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use examples::request::{Reply, Request};
use examples::run::{Feature, run};
use examples::shop::lock;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::{sleep, timeout};

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

/// One request in so many begins one task of each kind.
const EVERY: u64 = 20;
/// One in so many of these renders an invoice.
const INVOICE_EVERY: u64 = 10;
const RENDERING: Duration = Duration::from_millis(150);
const INDEXERS: usize = 4;

struct BackOffice {
    fixed: bool,
    requests: AtomicU64,
    deliveries: Arc<Notify>,
    open_payments: Mutex<HashMap<u64, oneshot::Sender<u64>>>,
    indexers: Arc<Semaphore>,
}

impl BackOffice {
    fn new(fixed: bool) -> Self {
        Self {
            fixed,
            requests: AtomicU64::new(0),
            deliveries: Arc::new(Notify::new()),
            open_payments: Mutex::default(),
            indexers: Arc::new(Semaphore::new(INDEXERS)),
        }
    }

    fn pay(&self, order: u64) {
        let (paid, confirmed) = oneshot::channel();
        diag::spawn(confirm_payment(confirmed));
        lock(&self.open_payments).insert(order, paid);
        if self.fixed {
            // The bank answers at once.
            let sender = lock(&self.open_payments).remove(&order);
            sender.map(|sender| sender.send(order));
        }
    }

    fn index(&self, order: u64) {
        let (indexers, fixed) = (Arc::clone(&self.indexers), self.fixed);
        diag::spawn(async move {
            let mut task = diag::spawn(index_order(indexers, order, fixed));
            // Whoever asked does not wait any longer.
            if timeout(Duration::from_millis(20), &mut task).await.is_err() && fixed {
                task.abort();
            }
        });
    }

    fn invoice(&self, order: u64) {
        if self.fixed {
            diag::spawn(async move {
                let drawn = diag::spawn_blocking(move || draw(order)).await;
                drop(drawn);
            });
        } else {
            diag::spawn(render_invoice(order));
        }
    }
}

/// Waits for a delivery; the leaky one tells nobody that it waits.
async fn wait_for_stock(deliveries: Arc<Notify>, fixed: bool) {
    if fixed {
        deliveries.notified().await;
    } else {
        let delivered = || false;
        poll_fn(|_| if delivered() { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

async fn confirm_payment(confirmed: oneshot::Receiver<u64>) {
    // An error means that the bank will not answer.
    let _ = confirmed.await;
}

/// Tells the warehouse, which does not answer.
async fn sync_warehouse(order: u64, fixed: bool) {
    let mut tries = 0u64;
    while !told(order, tries) {
        tries += 1;
        if fixed && tries >= 3 {
            return;
        }
        sleep(Duration::from_millis(500)).await;
    }
}

fn told(order: u64, tries: u64) -> bool {
    order == u64::MAX && tries > 0
}

/// Indexes an order with one of few permits; the leaky one does not give it back.
async fn index_order(indexers: Arc<Semaphore>, order: u64, fixed: bool) -> u64 {
    let Ok(permit) = indexers.acquire().await else { return 0 };
    if !fixed {
        permit.forget();
    }
    order.rotate_left(7)
}

async fn render_invoice(order: u64) -> usize {
    draw(order)
}

/// Takes its time, and the thread.
fn draw(order: u64) -> usize {
    std::thread::sleep(RENDERING);
    order.to_string().len()
}

impl Feature for BackOffice {
    fn on_request(&self, _request: &Request, _reply: &Reply) {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        if !number.is_multiple_of(EVERY) {
            return;
        }
        diag::spawn(wait_for_stock(Arc::clone(&self.deliveries), self.fixed));
        self.deliveries.notify_waiters();
        self.pay(number);
        diag::spawn(sync_warehouse(number, self.fixed));
        self.index(number);
        if number.is_multiple_of(EVERY * INVOICE_EVERY) {
            self.invoice(number);
        }
    }
}

fn main() -> ExitCode {
    run("leaky_tasks", "five kinds of tasks never end, or block", BackOffice::new)
}
