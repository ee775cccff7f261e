//! Leak: an unbounded channel with a slow reader. Every request leaves an audit record, the archive takes 20 a second.
//!
//! The twin has a bounded channel and counts what it has to drop.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use examples::request::{Reply, Request};
use examples::run::{Feature, run};
use tokio::sync::mpsc;

#[global_allocator]
static ALLOC: diag::Allocator = diag::Allocator;

/// What the archive needs for a record.
const WRITE_TIME: Duration = Duration::from_millis(50);
const WAITING: usize = 500;

struct AuditRecord {
    line: String,
    excerpt: Vec<u8>,
}

enum Queue {
    Unbounded(mpsc::UnboundedSender<AuditRecord>),
    Bounded(mpsc::Sender<AuditRecord>),
}

struct AuditTrail {
    queue: Queue,
    dropped: AtomicU64,
}

impl AuditTrail {
    fn new(fixed: bool) -> Self {
        let queue = if fixed {
            let (sender, mut waiting) = mpsc::channel(WAITING);
            tokio::spawn(async move {
                while let Some(record) = waiting.recv().await {
                    archive(record).await;
                }
            });
            Queue::Bounded(sender)
        } else {
            let (sender, mut waiting) = mpsc::unbounded_channel();
            tokio::spawn(async move {
                while let Some(record) = waiting.recv().await {
                    archive(record).await;
                }
            });
            Queue::Unbounded(sender)
        };
        Self { queue, dropped: AtomicU64::new(0) }
    }

    /// At most 2 KiB of each side, with all headers.
    fn record(&self, request: &Request, reply: &Reply) {
        let mut line = format!("{} {} -> {}", request.method, request.path, reply.status);
        for (name, value) in &request.headers {
            line.push_str(&format!(" {name}={value}"));
        }
        let excerpt = request.body.iter().take(2048).chain(reply.body.iter().take(2048)).copied().collect();
        let record = AuditRecord { line, excerpt };
        let sent = match &self.queue {
            Queue::Unbounded(queue) => queue.send(record).is_ok(),
            Queue::Bounded(queue) => queue.try_send(record).is_ok(),
        };
        if !sent {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn archive(record: AuditRecord) {
    tokio::time::sleep(WRITE_TIME).await;
    tracing::debug!(bytes = record.excerpt.len(), "archived {}", record.line);
}

impl Feature for AuditTrail {
    fn on_request(&self, request: &Request, reply: &Reply) {
        self.record(request, reply);
    }
}

fn main() -> ExitCode {
    run("leaky_channel", "AuditTrail::record sends faster than the archive reads", AuditTrail::new)
}
