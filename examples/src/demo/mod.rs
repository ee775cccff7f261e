//! The service of `diag-cli demo`: axum, real loopback HTTP, and one known leak.
//!
//! The leak: [`IdempotencyKeys`] remembers the answer to every order, so that a client may send an order twice without
//! buying twice, and never forgets one. At the default rate that is about 1.7 MiB a second, beside some 15 MiB a second that
//! the rest of the traffic allocates and frees.

mod replies;
mod service;

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;

pub use replies::IdempotencyKeys;
pub use service::{App, router};

use crate::client;
use crate::listen::listen;
use crate::traffic::Traffic;

const CONNECTIONS: u32 = 4;

/// How the service runs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Where it listens. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// When it stops by itself.
    pub run_for: Duration,
    /// Upper limit of its traffic.
    pub requests_per_s: u32,
    /// Seed of its traffic.
    pub seed: u64,
    /// Runs the twin that forgets.
    pub fixed: bool,
    /// Mean bytes between heap samples.
    pub sample_bytes: u64,
    /// Also stops when standard input ends: for a child whose parent may die.
    pub until_stdin_closes: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            run_for: Duration::from_secs(60),
            requests_per_s: 1000,
            seed: 1,
            fixed: false,
            sample_bytes: 64 << 10,
            until_stdin_closes: false,
        }
    }
}

/// Runs the service with its traffic and its diagnostics in this process, and returns when the time is over.
///
/// Prints two lines on standard output: `listening on http://127.0.0.1:PORT` when requests are answered, and `warmed up` when
/// everything that has a bound has about reached it. The binary has to have `diag::Allocator` as its global
/// allocator, else there is no heap profile.
///
/// # Errors
/// The address is taken, or threads or sockets cannot be had.
pub fn run_service(options: &Options) -> anyhow::Result<()> {
    let diag = diag::Diag::builder().service_name("demo-shop").sample_bytes(options.sample_bytes).start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let ended = runtime.block_on(serve(options, diag));
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn serve(options: &Options, diag: diag::Diag) -> anyhow::Result<()> {
    let app = App::open(options.fixed);
    let addr = listen(options.listen, router(&diag).with_state(app.clone())).await?;
    tokio::spawn(tell_when_warm(app));
    let each = f64::from(options.requests_per_s) / f64::from(CONNECTIONS);
    for worker in 0..CONNECTIONS {
        tokio::spawn(client::send_for_ever(addr, Traffic::new(options.seed, worker.into()), each));
    }
    tokio::select! {
        () = tokio::time::sleep(options.run_for) => {}
        () = stdin_closed(), if options.until_stdin_closes => {}
    }
    Ok(())
}

async fn tell_when_warm(app: App) {
    while !app.is_warm() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Whether anybody reads it is not this program's concern.
    let _ = writeln!(std::io::stdout(), "warmed up");
}

/// Ends when standard input does. A thread of its own, because a read of standard input cannot be cancelled.
async fn stdin_closed() {
    let (closed, wait) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = closed.send(());
    });
    let _ = wait.await;
}
