//! Leak: a task that never ends and holds its buffers. It follows prices for a client and does not notice that the client
//! has gone.
//!
//! The twin ends when a price cannot be sent because nobody is there.

use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use examples::request::{Reply, Request};
use examples::run::{Feature, run};
use examples::shop::lock;
use examples::traffic::Kind;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

const CONNECTED: usize = 20;
const REQUESTS_A_PRICE: u64 = 250;
const OUTBOX_BYTES: usize = 32 << 10;
const HISTORY: usize = 1024;

struct PriceFeed {
    fixed: bool,
    requests: AtomicU64,
    prices: watch::Sender<u64>,
    clients: Mutex<VecDeque<mpsc::Receiver<usize>>>,
}

impl PriceFeed {
    fn new(fixed: bool) -> Self {
        let (prices, _) = watch::channel(0);
        Self { fixed, requests: AtomicU64::new(0), prices, clients: Mutex::default() }
    }

    /// A client connects and one task serves it; the client that connected first leaves.
    fn follow(&self, item: u64) {
        let (client, receiver) = mpsc::channel(16);
        tokio::spawn(push_prices(self.prices.subscribe(), client, item, self.fixed));
        let mut clients = lock(&self.clients);
        clients.push_back(receiver);
        while clients.len() > CONNECTED {
            clients.pop_front();
        }
    }
}

async fn push_prices(mut prices: watch::Receiver<u64>, client: mpsc::Sender<usize>, item: u64, fixed: bool) {
    let mut outbox = vec![0u8; OUTBOX_BYTES];
    let mut history = Vec::with_capacity(HISTORY);
    while prices.changed().await.is_ok() {
        let price = *prices.borrow_and_update();
        history.push(price);
        history.truncate(HISTORY);
        let bytes = write_price(&mut outbox, item, price);
        match client.try_send(bytes) {
            Err(TrySendError::Closed(_)) if fixed => return,
            // A client that is slow for a moment may miss a price; nor does anybody look whether it is still there.
            _ => {}
        }
    }
}

fn write_price(outbox: &mut [u8], item: u64, price: u64) -> usize {
    let text = format!("event: price\ndata: {item} {price}\n\n");
    outbox.iter_mut().zip(text.bytes()).map(|(to, from)| *to = from).count()
}

impl Feature for PriceFeed {
    fn on_request(&self, request: &Request, _reply: &Reply) {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        if number.is_multiple_of(REQUESTS_A_PRICE) {
            let _ = self.prices.send(number);
        }
        if request.kind() == Some(Kind::Subscribe) {
            self.follow(request.number().unwrap_or(0));
        }
    }
}

fn main() -> ExitCode {
    run("leaky_task", "tasks of push_prices never end and hold their buffers", PriceFeed::new)
}
