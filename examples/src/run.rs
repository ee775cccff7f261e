//! Runs a program: the shop, one feature more, traffic, and the diagnostics.
//!
//! Two ways. By time: paced traffic until `--seconds` are over, while diag listens. By work: `--requests` as fast as
//! they go, always the same ones, with a snapshot of the heap after each quarter.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use diag::Diag;
use diag::heap::SnapshotOptions;
use diag::profile::pprof;

use crate::args::{Args, from_command_line};
use crate::listen;
use crate::pace::Pace;
use crate::request::{Reply, Request};
use crate::shop::Shop;
use crate::traffic::Traffic;

const WORKERS: u64 = 4;
const QUARTERS: u64 = 4;

/// What a program adds to the shop.
pub trait Feature: Send + Sync + 'static {
    /// Sees every request with its answer. Runs on a tokio runtime.
    fn on_request(&self, request: &Request, reply: &Reply);
}

/// The `main` of a program. `open` makes its feature inside the runtime; it is told whether `--fixed` is given.
pub fn run<F: Feature>(name: &str, claim: &str, open: impl FnOnce(bool) -> F) -> ExitCode {
    from_command_line(name, claim, |args| start(name, &args, open))
}

fn start<F: Feature>(name: &str, args: &Args, open: impl FnOnce(bool) -> F) -> anyhow::Result<()> {
    let diag = Diag::builder().service_name(name).start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let ended = runtime.block_on(async {
        let service = Arc::new(Service { shop: Shop::open(), feature: open(args.fixed) });
        match args.requests {
            Some(requests) => by_work(&service, args, requests, &diag).await,
            None => by_time(&service, args, &diag).await,
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

struct Service<F> {
    shop: Shop,
    feature: F,
}

impl<F: Feature> Service<F> {
    /// A request from the wire to the answer.
    fn answer(&self, raw: &[u8]) -> Option<Reply> {
        let request = Request::parse(raw)?;
        let reply = self.shop.handle(&request);
        self.feature.on_request(&request, &reply);
        diag::work(1);
        Some(reply)
    }
}

async fn by_time<F: Feature>(service: &Arc<Service<F>>, args: &Args, diag: &Diag) -> anyhow::Result<()> {
    if let Some(addr) = args.listen {
        listen::listen(addr, diag_server::router(diag)).await?;
    }
    let each = f64::from(args.requests_per_s) / WORKERS as f64;
    for worker in 0..WORKERS {
        let (service, mut traffic) = (Arc::clone(service), Traffic::new(args.seed, worker));
        tokio::spawn(async move {
            let mut pace = Pace::new(each);
            loop {
                pace.wait().await;
                service.answer(&traffic.next_call().to_http());
            }
        });
    }
    tokio::time::sleep(args.run_for).await;
    Ok(())
}

async fn by_work<F: Feature>(
    service: &Arc<Service<F>>,
    args: &Args,
    requests: u64,
    diag: &Diag,
) -> anyhow::Result<()> {
    let mut workers: Vec<Traffic> = (0..WORKERS).map(|worker| Traffic::new(args.seed, worker)).collect();
    for quarter in 1..=QUARTERS {
        let running: Vec<_> = workers
            .drain(..)
            .map(|mut traffic| {
                let service = Arc::clone(service);
                tokio::spawn(async move {
                    for _ in 0..requests / WORKERS / QUARTERS {
                        service.answer(&traffic.next_call().to_http());
                        tokio::task::yield_now().await;
                    }
                    traffic
                })
            })
            .collect();
        for worker in running {
            workers.push(worker.await.context("a worker failed")?);
        }
        if let Some(dir) = &args.snapshots {
            write_snapshot(diag, &dir.join(format!("heap-{quarter}.pb.gz")))?;
        }
    }
    Ok(())
}

fn write_snapshot(diag: &Diag, file: &Path) -> anyhow::Result<()> {
    let profile = diag.heap()?.snapshot(&SnapshotOptions::default())?;
    let bytes = pprof::encode_gz(&diag.symbolize(&profile)?);
    fs::write(file, bytes).with_context(|| format!("cannot write {}", file.display()))
}
