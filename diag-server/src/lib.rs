//! The HTTP endpoints of diag: what `go tool pprof`, Pyroscope, Parca, Prometheus, curl and a browser expect.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let diag = diag::Diag::builder().service_name("orders").start()?;
//! diag_server::serve(&diag)?; // a thread and a listener of its own, 127.0.0.1:6060; the host needs no tokio
//! # Ok(()) }
//! ```
//!
//! or, in a service that has axum 0.8 already, as part of it:
//!
//! ```no_run
//! # async fn f(diag: &diag::Diag) {
//! # #[derive(Clone)] struct Orders;
//! let app: axum::Router<Orders> = axum::Router::new(); // your routes, any state type
//! let app = app.merge(diag_server::router(diag));
//! # }
//! ```
//!
//! The routes have absolute paths (`/debug/...` and `/metrics`): `merge` them, do not `nest` them; pprof's clients
//! know the paths. A service with a `/metrics` of its own takes [`Options::without_metrics`], since axum panics when
//! two routes have one path; the same text is always at `/debug/diag/metrics` too, and [`metrics_text`] gives it to append. The runtime of the host must have
//! tokio's timer on (`enable_all`, as `#[tokio::main]` does).
//!
//! # What is guarded
//!
//! - [`serve`] off loopback refuses to start without a token: a file (`DIAG_TOKEN_FILE`), a variable (`DIAG_TOKEN`, which
//!   `/proc/PID/environ` shows to the same user and child processes inherit), or the builder. With one, every request must show
//!   it, as `Authorization: Bearer` or as the password of Basic (`http://any:TOKEN@host:6060`, which `go tool pprof` can do).
//! - [`serve`] without a token answers only requests for a loopback name or an IP address, so that a web page cannot
//!   reach it by rebinding a name of its own.
//! - [`router`] leaves the question who may ask to the host, except that a configured token is demanded there too.
//! - Pages of other sites cannot fetch anything here, navigation to it is fine; what takes POST is for this server's own pages and for
//!   programs. Browsers tell which page asks, in `Sec-Fetch-Site` and in `Origin`, neither of which a page can set. Behind a reverse proxy that
//!   replaces `Host` that needs https or loopback; over plain http the proxy must pass `Host` on.
//! - Work that costs something (snapshots, symbols, drawing) is done one at a time on a blocking thread, with a short
//!   queue before it; then 503 with `Retry-After`. Waiting for `seconds=` ends when the client hangs up, and with it a CPU profile's
//!   sampling. A minute is the most for one piece of work, 96 MiB for all answers under way.
//! - CPU profiles are recorded one at a time; others are told when to come back (503 with `Retry-After`).
//! - So are traces (feature `recorder`, on by default): forward for at most 5 minutes and some 24 MiB beside the rings, 64 MiB of JSON.
//! - What changes something in the process takes POST, and is refused in read-only mode (`DIAG_READ_ONLY`).
//! - The listener of [`serve`] has 64 connections, takes 200 new ones and 200 requests a second, and cuts off who is slow to
//!   ask or to read.
//! - A panic is caught and told to the client that met it.
//!
//! Nothing is printed or logged.
// On docs.rs each item says which feature it needs.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod api;
mod captures;
mod collect;
mod content;
mod cpu;
mod failure;
#[cfg(diag_fuzz)]
pub mod fuzzing;
mod guard;
mod home;
mod kept;
mod limits;
mod listener;
mod metrics;
mod options;
mod origin;
mod outgoing;
mod pace;
mod panics;
mod pprof;
mod query;
mod routes;
mod stall;
#[cfg(test)]
mod testing;
mod token;
mod turn_away;
mod ui;

pub use content::METRICS as METRICS_CONTENT_TYPE;
pub use listener::{Error, Server, serve};
pub use metrics::metrics_text;
pub use options::{Options, router, router_with};
