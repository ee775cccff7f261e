//! Captures before the kill: the thread that looks at the memory, asks the rules, and does what is due.
//!
//! The rules are pure and stand in `rules`; here is what has effects. A look reads 1 to 5 small files, 10 times a second, near a level
//! up to 100 times; events wake the thread at once.
//!
//! At 98 % of the limit there must be memory for the capture: [`Reserve`] holds touched pages, as many as a capture of the present
//! tables needs (`Heap::snapshot_bound_bytes`), and gives them back just before. No name is resolved for such a capture.

mod act;
mod asked;
mod call;
mod panic_hook;
mod reserve;
mod run;
mod told;
mod webhook;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::capture::Captures;
use crate::config::{Config, Problem};
use crate::heap::{Heap, HeapError};
use crate::rules::{Asked, Relief, Rule, RuleStats, When};
use crate::sys::{alloc_failure, clock, doorbell, signal};

pub(crate) use asked::asked;
pub(crate) use reserve::held_bytes;
pub use told::trigger;

/// How long what runs may take when the diagnostics end.
const FINISH_WITHIN: Duration = Duration::from_secs(10);

/// The rules and what became of them.
#[derive(Clone, Debug, Default, serde::Serialize)]
#[non_exhaustive]
pub struct TriggerStats {
    /// Each rule with its counters.
    pub rules: Vec<RuleStats>,
    /// Looks taken.
    pub looks_total: u64,
    /// Memory set aside for a capture, held now.
    pub reserve_bytes: u64,
    /// The most that a heap capture of the present tables allocates.
    pub capture_bound_bytes: u64,
    /// Events that came faster than they were looked at, and were dropped.
    pub events_dropped_total: u64,
    /// The policy under memory pressure, where one is set.
    pub relief: Option<ReliefStats>,
    /// What does not work as asked.
    pub problems: Vec<Problem>,
}

/// The policy under memory pressure, and what it did.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct ReliefStats {
    /// As set.
    pub policy: Relief,
    /// Whether the decay times are lowered now.
    pub lowered: bool,
    /// How often they were.
    pub lowered_total: u64,
    /// How often unused pages were purged.
    pub purges_total: u64,
}

/// The thread.
pub(crate) struct Triggers {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// Its other end is dropped when the thread ends.
    ended: Mutex<Receiver<()>>,
}

struct Shared {
    stop: AtomicBool,
    /// When it looked last.
    looked_ns: AtomicU64,
    stats: Mutex<TriggerStats>,
}

impl Shared {
    fn stats(&self) -> MutexGuard<'_, TriggerStats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Triggers {
    /// Starts the thread, if there is anything to look for. What stands in the way is a problem, not an error.
    pub(crate) fn start(
        asked: Asked,
        config: &Config,
        heap: &Result<Heap, HeapError>,
        captures: Option<&Arc<Captures>>,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        let rules = match asked.rules {
            Some(rules) => rules,
            // Somebody who wants captures wants the one before the kill.
            None if captures.is_some() => vec![Rule::near_limit()],
            None => Vec::new(),
        };
        if rules.is_empty() && asked.relief.is_none() {
            return None;
        }
        let mut problem = |what: String, next: &str| {
            problems.push(Problem { part: "rules".into(), what, next: next.to_owned() });
        };
        if let Err(e) = doorbell::open() {
            problem(
                format!("rules cannot be woken: {e}"),
                "raise the limit of open files; no rule is looked at",
            );
            return None;
        }
        for rule in rules.iter().filter(|r| captures.is_none() && act::writes_files(r)) {
            problem(
                format!("the rule {} writes files, and no capture directory is set", rule.name),
                "set DIAG_CAPTURE_DIR or the builder's capture_dir",
            );
        }
        if asked.relief.is_some() && cfg!(not(target_os = "linux")) {
            problem(
                format!(
                    "relief gives back jemalloc's pages, which diag brings on Linux only; this is {}",
                    std::env::consts::OS
                ),
                "nothing to do; on Linux it works",
            );
        }
        let mut signals = Vec::new();
        for number in rules.iter().filter_map(|r| if let When::Signal(n) = r.when { Some(n) } else { None }) {
            match signal::listen(number) {
                Ok(listening) => signals.push(listening),
                Err(why) => {
                    problem(why, "choose another signal, or call diag::trigger from where it is handled")
                }
            }
        }
        let wants = |when: fn(&When) -> bool| rules.iter().any(|r| when(&r.when));
        if wants(|w| matches!(w, When::Panic)) {
            panic_hook::install();
        }
        let names =
            rules.iter().filter_map(|r| if let When::Told(n) = &r.when { Some(n.clone()) } else { None });
        told::listen(names.collect(), wants(|w| matches!(w, When::Panic)));
        alloc_failure::listen(wants(|w| matches!(w, When::AllocFailed)));

        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            looked_ns: AtomicU64::new(clock::monotonic_ns()),
            stats: Mutex::new(TriggerStats::default()),
        });
        let (end, ended) = channel();
        let runner = run::Runner::new(
            Arc::clone(&shared),
            (rules, asked.relief, signals),
            config,
            heap.clone(),
            captures.map(Arc::clone),
        );
        let thread = std::thread::Builder::new()
            .name("diag-rules".to_owned())
            .stack_size(512 << 10)
            .spawn(move || {
                let _end = end;
                runner.run();
            })
            .map_err(|e| {
                problem(
                    format!("the thread of the rules could not be started: {e}"),
                    "raise the limit of threads",
                );
                deafen();
            })
            .ok()?;
        Some(Self { shared, thread: Some(thread), ended: Mutex::new(ended) })
    }

    pub(crate) fn stats(&self) -> TriggerStats {
        self.shared.stats().clone()
    }

    /// Time since the thread looked last.
    pub(crate) fn silent_for(&self) -> Duration {
        let last = self.shared.looked_ns.load(Ordering::Acquire);
        Duration::from_nanos(clock::monotonic_ns().saturating_sub(last))
    }

    /// Ends the thread. A CPU profile that is being recorded is discarded.
    pub(crate) fn finish(mut self) {
        self.shared.stop.store(true, Ordering::Release);
        doorbell::ring_in_handler();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            if ended.recv_timeout(FINISH_WITHIN) == Err(RecvTimeoutError::Disconnected) {
                let _ = thread.join();
            }
        }
        deafen();
    }
}

/// Nobody listens any more.
fn deafen() {
    told::listen(Vec::new(), false);
    alloc_failure::listen(false);
}
