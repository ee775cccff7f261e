//! No leak, though it looks like one for some seconds: a batch that grows with every request, and is written and emptied after
//! every 5,000th.

use std::process::ExitCode;
use std::sync::Mutex;

use examples::request::{Reply, Request};
use examples::run::{Feature, run};
use examples::shop::lock;

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

/// Requests a tooth of the saw: ten seconds at the default rate, some 10 MiB.
const ROWS: usize = 5000;
const ROW_BYTES: usize = 2 << 10;

struct Warehouse {
    batch: Mutex<Vec<Vec<u8>>>,
}

impl Warehouse {
    fn add_row(&self, reply: &Reply) {
        let row = reply.body.iter().copied().cycle().take(ROW_BYTES).collect();
        let mut batch = lock(&self.batch);
        batch.push(row);
        if batch.len() == ROWS {
            let bytes: usize = batch.iter().map(Vec::len).sum();
            tracing::debug!(bytes, "batch written");
            *batch = Vec::new();
        }
    }
}

impl Feature for Warehouse {
    fn on_request(&self, _request: &Request, reply: &Reply) {
        self.add_row(reply);
    }
}

fn main() -> ExitCode {
    run(
        "saw_batch",
        "Warehouse::add_row fills a batch that is emptied again; --fixed changes nothing",
        |_| Warehouse { batch: Mutex::default() },
    )
}
