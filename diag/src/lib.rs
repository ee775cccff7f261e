//! Memory-leak and profiling diagnostics that live inside a Rust service.
//!
//! ```no_run
//! # #[cfg(all(feature = "heap", feature = "symbols"))] fn main() -> Result<(), Box<dyn std::error::Error>> {
//! #[global_allocator]
//! static ALLOC: diag::Allocator = diag::Allocator; // jemalloc, profiled, configured
//!
//! let diag = diag::Diag::builder().service_name("orders").start()?; // DIAG_* variables override
//!
//! // Ask from inside; `diag_server::serve(&diag)?` asks over HTTP.
//! let profile = diag.symbolize(&diag.heap()?.snapshot(&Default::default())?)?;
//! std::fs::write("heap.pb.gz", diag::profile::pprof::encode_gz(&profile))?;
//! # Ok(()) }
//! # #[cfg(not(all(feature = "heap", feature = "symbols")))] fn main() {}
//! ```
//!
//! - [`Diag`]: the handle. What cannot run says so in [`Diag::status`]; the host goes on.
//! - [`heap`]: what is retained, by which code; sampled by jemalloc, about 1 microsecond a sample of 512 KiB.
//! - [`cpu`]: where the time goes, every thread, in nanoseconds that add up.
//! - [`tasks`]: which async tasks are alive, what spawned them, which never end.
//! - [`Diag::leaks`] and [`leak`]: whether it leaks, which code, and how sure that is.
//! - [`LeakCheck`] and [`assert_no_leak!`]: the same of a workload in a test.
//! - [`memory`]: where the process's memory stands, from allocator, kernel and cgroup.
//! - `recorder` (feature): the last seconds of spans and events, for Perfetto.
//! - [`rules`]: captures before the kernel kills, and at other moments that nobody watches.
//! - [`work()`], [`declare_cap`], [`gauge`]: what the host says of itself, so that growth is judged by it.
//! - [`sync`]: locks that tell who waits, and for whom; off until switched on.
//! - [`profile`]: the profile model, its codecs and operations; all that tools need, without any collector.
//! - [`symbols`]: names for addresses.
//!
//! With its default features the crate needs no async runtime and no HTTP.
//!
//! # Features
//!
//! - `heap` (default): [`Allocator`], the heap collector, [`Diag`]. Linux on x86-64 (tested) and aarch64, with glibc; elsewhere the system's
//!   allocator or jemalloc without profiling, and [`Diag::heap`] says why there is no collector.
//! - `cpu` (default): CPU profiles. Linux on x86-64 (tested) and aarch64; elsewhere by the `pprof` crate.
//! - `memory` (default): the waterline.
//! - `tasks` (default): the live async tasks that [`tasks::track`] is given.
//! - `tokio`: `diag::spawn`, `JoinSet` and the rest in place of tokio's.
//! - `triggers` (default): rules. With `heap` and `memory`.
//! - `sync` (default), `parking_lot`: locks with mutex and block profiles, elsewhere than on Linux always off; with `tokio` for its locks too.
//! - `symbols` (default): names. Without any feature, what is left is [`profile`] and [`work()`].
//! - `cpu-guard`: the `pprof` crate as the last resort for CPU profiles on Linux too.
//! - `tracing`: `SpanLayer`, which labels live samples with the span, route and fields they were allocated in, and CPU time
//!   with those it was spent in. With `heap`.
//! - `recorder`: the flight recorder, a `tracing` layer. With `tracing` and `tasks`.
//! - `console`: `console::layer`, tokio-console's subscriber with a bound on its memory; for programs built with `tokio_unstable`.
//! - `tower`: `WorkLayer`, which counts the requests of a tower service (axum, tonic) as work.
//!
//! # Variables
//!
//! | variable | sets |
//! |---|---|
//! | `DIAG_SAMPLE_BYTES` | mean bytes between heap samples: `524288`, `512KiB`; rounded to a power of two |
//! | `DIAG_LISTEN` | where `diag_server::serve` listens; 127.0.0.1:6060 |
//! | `DIAG_TOKEN_FILE` | file with the token that clients must show; required off loopback |
//! | `DIAG_CAPTURE_DIR`, `DIAG_CAPTURE_EVERY` | writes captures to a directory, every `10s`, and at 90 % of the memory limit |
//! | `DIAG_CAPTURE_BYTES` | about the most bytes of all captures; `1GiB` |
//! | `DIAG_RULES` | file with [`rules`], TOML |
//! | `DIAG_MUTEX_FRACTION`, `DIAG_BLOCK_RATE_NS` | mutex and block profiles of [`sync`]: one in `10` contentions, a sample each `1000000` ns waited |
//! | `DIAG_DISABLE` | `1`: collect nothing, listen nowhere |
//! | `_RJEM_MALLOC_CONF` (`MALLOC_CONF` when jemalloc replaces malloc) | jemalloc's own settings, `lg_prof_sample:16` among them |

// On docs.rs each item says which feature it needs.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(all(
    target_os = "linux",
    any(feature = "heap", feature = "cpu"),
    not(any(target_arch = "x86_64", target_arch = "aarch64"))
))]
compile_error!(
    "diag's features `heap`, `cpu` and `sync` walk stacks of x86-64 and aarch64: leave them out on other processors"
);

#[cfg(all(feature = "heap", feature = "memory", target_os = "linux"))]
mod aftermath;
#[cfg(feature = "heap")]
mod allocator;
#[cfg(feature = "heap")]
mod capture;
#[cfg(all(any(feature = "heap", feature = "cpu"), target_os = "linux"))]
mod code;
#[cfg(feature = "heap")]
mod config;
#[cfg(feature = "console")]
pub mod console;
#[cfg(any(feature = "heap", all(feature = "cpu", target_os = "linux")))]
mod context;
#[cfg(all(feature = "heap", feature = "memory"))]
mod course;
#[cfg(feature = "cpu")]
pub mod cpu;
#[cfg(feature = "heap")]
mod declared;
pub mod endpoints;
#[cfg(feature = "memory")]
pub mod evidence;
#[cfg(feature = "heap")]
mod face;
#[cfg(diag_fuzz)]
pub mod fuzzing;
#[cfg(feature = "heap")]
mod health;
#[cfg(feature = "heap")]
pub mod heap;
pub mod leak;
#[cfg(feature = "heap")]
mod leak_check;
#[cfg(feature = "heap")]
mod leaks;
#[cfg(feature = "memory")]
pub mod memory;
mod printable;
pub mod profile;
#[cfg(feature = "recorder")]
pub mod recorder;
#[cfg(feature = "triggers")]
pub mod rules;
#[cfg(any(feature = "heap", feature = "sync"))]
mod sites;
#[cfg(feature = "symbols")]
pub mod symbols;
#[cfg(feature = "sync")]
pub mod sync;
#[cfg(any(
    feature = "heap",
    all(feature = "cpu", target_os = "linux"),
    feature = "symbols",
    feature = "tasks"
))]
mod sys;
#[cfg(feature = "tasks")]
pub mod tasks;
#[cfg(feature = "triggers")]
mod trigger;
mod work;
#[cfg(feature = "heap")]
mod worker;

#[cfg(feature = "heap")]
pub use allocator::Allocator;
#[cfg(feature = "heap")]
pub use capture::CaptureStats;
#[cfg(feature = "heap")]
pub use config::{Config, Problem, Secret};
#[cfg(feature = "tracing")]
pub use context::SpanLayer;
#[cfg(any(feature = "heap", all(feature = "cpu", target_os = "linux")))]
pub use context::{Labelled, Labels};
#[cfg(all(feature = "heap", feature = "memory"))]
pub use course::MemoryHistory;
#[cfg(feature = "heap")]
pub use declared::{Declaration, GaugeReading, declare_cap, gauge};
#[cfg(all(feature = "heap", feature = "tasks"))]
pub use face::TaskStats;
#[cfg(feature = "heap")]
pub use face::{Builder, Diag, Error, Status};
#[cfg(feature = "heap")]
pub use health::{Health, PartHealth, PartState};
#[cfg(feature = "heap")]
pub use leak_check::{LeakCheck, LeakFound, LeakedSite};
#[cfg(feature = "heap")]
pub use leaks::{Course, Courses, LeakOptions, LeakWatch};
#[cfg(any(feature = "heap", all(feature = "cpu", target_os = "linux"), feature = "tasks"))]
pub use sys::thread::Unprofiled;
#[cfg(any(feature = "heap", all(feature = "cpu", target_os = "linux"), feature = "tasks"))]
#[doc(hidden)]
pub use sys::thread::stand_back;
#[cfg(feature = "tokio")]
pub use tasks::{JoinSet, LocalSet, spawn, spawn_blocking, spawn_local};
#[cfg(feature = "triggers")]
pub use trigger::{ReliefStats, TriggerStats, trigger};
#[cfg(feature = "tower")]
pub use work::{Counted, CountedFuture, WorkLayer};
pub use work::{total as work_total, work};
