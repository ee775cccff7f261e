//! An axum JSON service. Its client is the driver.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tracing::Instrument as _;

use super::Workload;
use crate::child::Window;

/// Orders that are kept; with them some 10 MiB live.
const KEPT: usize = 8192;

pub(super) struct Service {
    /// Serves until it is dropped.
    _runtime: Runtime,
    listening: SocketAddr,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Line {
    article: String,
    count: u32,
    cents: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Order {
    customer: String,
    lines: Vec<Line>,
}

#[derive(Clone, Debug, Serialize)]
struct Receipt {
    id: u64,
    total_cents: u64,
    customer: String,
    lines: Vec<Priced>,
}

#[derive(Clone, Debug, Serialize)]
struct Priced {
    article: String,
    text: String,
    cents: u64,
}

#[derive(Default)]
struct Shop {
    receipts: Mutex<Receipts>,
}

#[derive(Default)]
struct Receipts {
    next: u64,
    kept: VecDeque<Arc<Receipt>>,
}

impl Shop {
    fn keep(&self, receipt: impl FnOnce(u64) -> Receipt) -> Arc<Receipt> {
        let mut receipts = self.receipts.lock().unwrap_or_else(PoisonError::into_inner);
        let receipt = Arc::new(receipt(receipts.next));
        receipts.next += 1;
        receipts.kept.push_back(Arc::clone(&receipt));
        if receipts.kept.len() > KEPT {
            receipts.kept.pop_front();
        }
        receipt
    }

    /// The one of so long ago.
    fn find(&self, back: usize) -> Option<Arc<Receipt>> {
        let receipts = self.receipts.lock().unwrap_or_else(PoisonError::into_inner);
        let at = receipts.kept.len().checked_sub(back + 1)?;
        receipts.kept.get(at).cloned()
    }
}

async fn place(State(shop): State<Arc<Shop>>, Json(order): Json<Order>) -> Json<Receipt> {
    let span = tracing::info_span!("request", method = "POST", route = "/orders");
    async {
        let lines = tracing::info_span!("price", lines = order.lines.len()).in_scope(|| priced(&order.lines));
        let total_cents = lines.iter().map(|line| line.cents).sum();
        let customer = order.customer.clone();
        let receipt = shop.keep(|id| Receipt { id, total_cents, customer, lines });
        tracing::info!(total_cents, "placed");
        Json(Receipt::clone(&receipt))
    }
    .instrument(span)
    .await
}

fn priced(lines: &[Line]) -> Vec<Priced> {
    let price = |line: &Line| Priced {
        article: line.article.clone(),
        text: format!("{} x {} at {}.{:02}", line.count, line.article, line.cents / 100, line.cents % 100),
        cents: line.cents * u64::from(line.count),
    };
    lines.iter().map(price).collect()
}

async fn look(State(shop): State<Arc<Shop>>, Path(back): Path<usize>) -> Result<Json<Receipt>, StatusCode> {
    let span = tracing::info_span!("request", method = "GET", route = "/orders/{back}");
    async {
        let found = tracing::info_span!("find", back).in_scope(|| shop.find(back));
        if let Some(receipt) = &found {
            tracing::info!(id = receipt.id, "found");
        }
        found.map(|receipt| Json(Receipt::clone(&receipt))).ok_or(StatusCode::NOT_FOUND)
    }
    .instrument(span)
    .await
}

impl Service {
    pub(super) fn start(runtime: Runtime) -> anyhow::Result<Self> {
        let listener = runtime.block_on(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let listening = listener.local_addr()?;
        let app = Router::new()
            .route("/orders", post(place))
            .route("/orders/{back}", get(look))
            .with_state(Arc::new(Shop::default()));
        runtime.spawn(async move { axum::serve(listener, app).await });
        Ok(Self { _runtime: runtime, listening })
    }
}

impl Workload for Service {
    fn listening(&self) -> Option<SocketAddr> {
        Some(self.listening)
    }

    /// It works when it is asked.
    fn run(&mut self, _length: Duration) -> Window {
        Window::default()
    }
}
