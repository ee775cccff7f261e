//! tokio-console beside diag's own layers: `console-subscriber`, bounded.
//!
//! [`layer`] gives the layer and starts the server that the client `tokio-console` connects to. It never fails: what cannot be had is a
//! layer that does nothing, and a problem in [`problem`] and `Diag::status`.
//!
//! ```no_run
//! use tracing_subscriber::prelude::*;
//! let console = diag::console::layer(diag::console::ConsoleOptions::new());
//! tracing_subscriber::registry().with(console).init();
//! if let Some(problem) = diag::console::problem() {
//!     eprintln!("{problem}");
//! }
//! ```
//!
//! # What it takes
//!
//! tokio tells of its tasks only when the whole program is built with `tokio_unstable`: `RUSTFLAGS="--cfg tokio_unstable"`, or in
//! `.cargo/config.toml` `[build] rustflags = ["--cfg", "tokio_unstable"]`. Without, nothing is started, and [`problem`] says so. A
//! level filter over the whole registry (`.with(EnvFilter)`) hides tokio's spans, which are of level trace: give it to the layer it is
//! meant for (`fmt::layer().with_filter(...)`).
//!
//! # What it costs
//!
//! console-subscriber keeps about 50 KB a task, two histograms for the most part, as long as the task lives and for its retention
//! after that, and by itself it has no bound. Here 1,000 tasks ([`ConsoleOptions::max_tasks`]) and 10,000 other things (timers, locks,
//! channels, the waits for them) are kept at a time, living or ended within the last minute; what begins meanwhile is not shown and is
//! counted ([`stats`], and a problem in `Diag::status`). The queue of events to the server's thread holds 10,240, beyond which
//! console-subscriber drops and tells its client. Polls and wakes cost more as well: one that wakes itself takes 560 ns
//! in place of 70 (`benches/tasks.rs`, 2026-11-30), and so does one of a task that is not kept. `diag::tasks` is the cheap one.
//!
//! The client speaks gRPC without any authentication: other addresses than loopback are refused unless
//! [`ConsoleOptions::allow_remote`] is set.

mod budget;
mod layer;
mod server;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing_core::{LevelFilter, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::registry::LookupSpan;

use budget::Budget;
use layer::Bounded;

/// Where the client looks by itself.
const DEFAULT_LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 6669);
const DEFAULT_RETENTION: Duration = Duration::from_secs(60);
const DEFAULT_MAX_TASKS: usize = 1_000;
const DEFAULT_MAX_OTHERS: usize = 10_000;
/// A tenth of console-subscriber's own; an event takes some 200 bytes.
const EVENTS: usize = 10 * 1024;
/// console-subscriber's own.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);

/// How tokio-console is served.
#[derive(Clone, Debug)]
#[must_use]
pub struct ConsoleOptions {
    listen: SocketAddr,
    retention: Duration,
    max_tasks: usize,
    max_others: usize,
    allow_remote: bool,
}

/// Why tokio-console shows nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConsoleError {
    /// tokio is built without its instrumentation.
    #[error(
        "tokio tells tokio-console nothing: this program is built without tokio_unstable; build it with \
         RUSTFLAGS=\"--cfg tokio_unstable\""
    )]
    NotUnstable,
    /// An address that others reach.
    #[error(
        "tokio-console has no authentication and is not served on {0}; listen on 127.0.0.1, or set allow_remote where only \
         those you trust reach it"
    )]
    Remote(SocketAddr),
    /// It is served already.
    #[error("tokio-console is served already; call diag::console::layer once")]
    Twice,
    /// The address is taken, or not ours.
    #[error(
        "tokio-console cannot listen on {address}: {why}; is another program there? ConsoleOptions::listen takes another port"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        why: String,
    },
    /// The thread could not be started, or its server ended.
    #[error("the server for tokio-console ended: {0}; start the program again")]
    Server(String),
}

/// What tokio-console is served with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsoleStats {
    /// Where it listens; `None` while it does not.
    pub address: Option<SocketAddr>,
    /// Tasks that are kept: living, or ended within the retention.
    pub tasks_kept: u64,
    /// Tasks that were not, for want of room.
    pub tasks_not_shown: u64,
    /// Timers, locks, channels and waits that were not.
    pub others_not_shown: u64,
}

impl Default for ConsoleOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(DEFAULT_LISTEN),
            retention: DEFAULT_RETENTION,
            max_tasks: DEFAULT_MAX_TASKS,
            max_others: DEFAULT_MAX_OTHERS,
            allow_remote: false,
        }
    }
}

impl ConsoleOptions {
    /// 127.0.0.1:6669, where the client looks; a minute of retention; 1,000 tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Listens there. Port 0 takes a free one: see [`ConsoleStats::address`].
    pub fn listen(self, listen: SocketAddr) -> Self {
        Self { listen, ..self }
    }

    /// Whether another address than loopback may be listened on. Whoever reaches it sees the names and places of all tasks.
    pub fn allow_remote(self, allow_remote: bool) -> Self {
        Self { allow_remote, ..self }
    }

    /// Keeps what has ended for so long. While a client is connected, also until it has been told of the end.
    pub fn retention(self, retention: Duration) -> Self {
        Self { retention, ..self }
    }

    /// Keeps so many tasks at a time, at about 50 KB each.
    pub fn max_tasks(self, max_tasks: usize) -> Self {
        Self { max_tasks, ..self }
    }

    /// Keeps so many timers, locks, channels and waits for them at a time, at about 1 KB each.
    pub fn max_others(self, max_others: usize) -> Self {
        Self { max_others, ..self }
    }
}

/// What one process serves.
struct Shared {
    /// Cleared when the server ends: nothing is recorded any more.
    alive: AtomicBool,
    tasks: Budget,
    others: Budget,
}

struct Served {
    shared: Option<Arc<Shared>>,
    address: Option<SocketAddr>,
    problem: Option<ConsoleError>,
}

static SERVED: Mutex<Served> = Mutex::new(Served { shared: None, address: None, problem: None });

fn served() -> std::sync::MutexGuard<'static, Served> {
    SERVED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the server on a thread of its own and gives the layer that feeds it, to be added to a registry, beside others. Call it
/// once. See the [module](self).
pub fn layer<S>(options: ConsoleOptions) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let bounded = match start(&options) {
        Ok(bounded) => bounded,
        Err(error) => {
            let mut served = served();
            // What was said first is the cause.
            served.problem.get_or_insert(error);
            Bounded::nothing()
        }
    };
    let shared = bounded.shared();
    let hint = if shared.is_some() { LevelFilter::TRACE } else { LevelFilter::OFF };
    let wanted = move |of: &Metadata<'_>| {
        shared.as_ref().is_some_and(|shared| shared.alive.load(Ordering::Relaxed)) && is_of_tokio(of)
    };
    bounded.with_filter(FilterFn::new(wanted).with_max_level_hint(hint))
}

/// What is wrong, if anything.
pub fn problem() -> Option<ConsoleError> {
    served().problem.clone()
}

/// What is served; `None` where nothing is.
pub fn stats() -> Option<ConsoleStats> {
    let served = served();
    let shared = served.shared.as_ref()?;
    Some(ConsoleStats {
        address: served.address.filter(|_| shared.alive.load(Ordering::Relaxed)),
        tasks_kept: shared.tasks.kept(),
        tasks_not_shown: shared.tasks.refused.load(Ordering::Relaxed),
        others_not_shown: shared.others.refused.load(Ordering::Relaxed),
    })
}

fn start(options: &ConsoleOptions) -> Result<Bounded, ConsoleError> {
    if !options.listen.ip().is_loopback() && !options.allow_remote {
        return Err(ConsoleError::Remote(options.listen));
    }
    // As of the compiler's flags, which are the same for all crates of a program. console-subscriber panics without.
    if !cfg!(tokio_unstable) {
        return Err(ConsoleError::NotUnstable);
    }
    let mut served = served();
    if served.shared.is_some() {
        return Err(ConsoleError::Twice);
    }
    let (listener, address) = server::bind(options.listen)?;
    let (inner, server) = console_subscriber::ConsoleLayer::builder()
        .retention(options.retention)
        .event_buffer_capacity(EVENTS)
        .publish_interval(PUBLISH_EVERY)
        .build();
    // The aggregator looks for what is due once a publish interval.
    let keeps = options.retention.saturating_add(PUBLISH_EVERY * 2);
    let shared = Arc::new(Shared {
        alive: AtomicBool::new(true),
        tasks: Budget::new(options.max_tasks, keeps),
        others: Budget::new(options.max_others, keeps),
    });
    server::start(listener, server, Arc::clone(&shared))?;
    served.shared = Some(Arc::clone(&shared));
    served.address = Some(address);
    Ok(Bounded::new(inner, shared))
}

/// The server ended: layers see nothing more.
fn ended(shared: &Shared, why: String) {
    shared.alive.store(false, Ordering::Relaxed);
    served().problem = Some(ConsoleError::Server(why));
    tracing_core::callsite::rebuild_interest_cache();
}

/// The spans and events that console-subscriber takes for its own.
fn is_of_tokio(of: &Metadata<'_>) -> bool {
    let is_of_tokio = of.target().starts_with("tokio");
    if of.is_event() {
        is_of_tokio || of.target().starts_with("runtime")
    } else {
        is_of_tokio || of.name().starts_with("runtime.")
    }
}

/// For `Diag::status`.
#[cfg(feature = "heap")]
pub(crate) fn problems() -> Vec<crate::config::Problem> {
    let of =
        |what: String, next: &str| crate::config::Problem { part: "console".into(), what, next: next.into() };
    let broken = problem().map(|error| {
        let text = error.to_string();
        let (what, next) = text.rsplit_once("; ").unwrap_or((&text, ""));
        of(what.to_owned(), next)
    });
    let lost = stats().filter(|s| s.tasks_not_shown + s.others_not_shown > 0).map(|stats| {
        let what = format!(
            "{} tasks and {} timers, locks, channels and waits are not in tokio-console: there was no room",
            stats.tasks_not_shown, stats.others_not_shown
        );
        of(what, "ConsoleOptions::max_tasks takes more, at about 50 KB each; a shorter retention makes room")
    });
    broken.into_iter().chain(lost).collect()
}

#[cfg(test)]
mod tests;
