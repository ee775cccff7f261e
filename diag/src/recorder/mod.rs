//! The flight recorder: what happened in the last seconds, kept in memory until somebody asks.
//!
//! ```
//! use tracing_subscriber::layer::SubscriberExt as _;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let layer = diag::recorder::Recorder::builder().build()?; // 10 MiB, at least the last 10 s if they fit
//! let recorder = layer.recorder().clone();
//! let subscriber = tracing_subscriber::registry().with(layer);
//! # let _guard = tracing::subscriber::set_default(subscriber);
//! # tracing::info_span!("request", route = "/orders").in_scope(|| tracing::info!("found"));
//! // Later, on a panic, on a slow request, from a signal's thread:
//! let trace = recorder.dump(None)?;
//! std::fs::write(std::env::temp_dir().join("trace.json"), trace.to_chrome_json())?; // opens in ui.perfetto.dev
//! # Ok(()) }
//! ```
//!
//! Each thread has a ring: spans entered and left, spans made and events with their fields, polls of tasks; all on one clock
//! ([`Trace`]). The rings share `max_bytes` (10 MiB): busy threads have long ones. What is younger than `min_age` (10 s) is kept
//! as long as the bytes suffice, and the bytes win. One recorder a process. Dumping never stops a writer: a chunk of a ring that is
//! overwritten while it is copied is thrown away, and counted; two dumps at once are refused.
//!
//! # What it costs
//!
//! `benches/recorder.rs`; on a busy 2-core VM on which reading the counter alone takes 16 ns. The first line: medians of 301 rounds by turns
//! (2026-11-30); the others: the fastest of 3,000 runs (2026-11-29):
//!
//! | | registry alone | with the recorder | switched off | tracing-chrome |
//! |---|---|---|---|---|
//! | enter and exit | 13 ns | 67 ns, of which two readings of the counter 31 | 17 ns (an empty layer: 16) | 920 ns |
//! | new, enter, exit, close | 150 ns | 315 ns | 155 ns | 690 ns |
//! | new and close, two fields | 190 ns | 270 ns | 130 ns | 480 ns |
//! | event with a field | 11 ns | 80 ns | 13 ns | 420 ns |
//!
//! A record is 32 bytes, and 32 more for each 32 bytes of fields: 10 MiB hold 46,000 requests of a span and an event with a field each.
//! Dumping those takes 72 ms on the thread that asks, their JSON (18 MB) 42 ms more. Memory is taken as it is used, up to the cap, and kept.
//!
//! # What is lost
//!
//! - What was overwritten: that is the idea; [`RecorderStats::losses`] counts it, and apart what was younger than `min_age`.
//! - Values beyond 128 bytes (messages: 240) end in `…`, fields beyond 512 bytes together are left out; both are counted.
//! - The fields of a span that was made before the ring's beginning; its name is known.
//! - Of more than 16 spans entered in each other, those further in, where a chunk begins.
//! - Threads that find no chunk, since there are fewer chunks (of 8 KiB) than threads: counted as records without a chunk. So is
//!   what a thread does while its thread-locals are destroyed.
//! - CPU samples of the last tenth of a second, which the sampler's thread has not taken over yet.
//! - A formatter of a field that tells something itself is recorded before what it belongs to.
//!
//! Time is the processor's counter, or the monotonic clock where the kernel does not trust it. Where the counters of two processors
//! differ, records of a thread that moved are moved forward, by nanoseconds.

mod callsites;
mod chrome;
mod chunk;
mod draw;
mod fields;
mod layer;
mod local;
mod pool;
mod profile;
mod record;
mod recording;
mod spans;
#[cfg(test)]
mod tests;
mod trace;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::sys::ticks::{self, Scale};
pub use layer::RecorderLayer;
pub(crate) use local::Polled;
pub use recording::{MOST_RECORDED_BYTES, Recording};
pub(crate) use trace::Counter;
pub use trace::Trace;

use callsites::Callsites;
use layer::Directory;
use pool::{CHUNK_BYTES, Pool};
use recording::Since;

/// What the rings take at the most when nothing is said.
pub const DEFAULT_MAX_BYTES: u64 = 10 << 20;
/// What is kept at least when nothing is said, if it fits.
pub const DEFAULT_MIN_AGE: Duration = Duration::from_secs(10);

/// Settings of the recorder.
#[derive(Clone, Debug)]
pub struct Builder {
    max_bytes: u64,
    min_age: Duration,
}

/// Why there is no trace.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecorderError {
    /// There can be one a process.
    #[error(
        "a flight recorder is installed in this process already; use Recorder::running(), and keep one RecorderLayer"
    )]
    AlreadyRunning,
    /// One dump or recording at a time.
    #[error("a trace is being taken already; try again when it is done")]
    Busy,
    /// Nobody has installed one.
    #[error(
        "no flight recorder is installed in this process; add diag::recorder::Recorder::builder().build()? as a layer to \
         its tracing subscriber"
    )]
    NotInstalled,
    /// The memory could not be reserved.
    #[error("the flight recorder's {bytes} bytes could not be reserved: {why}; ask for fewer with max_bytes")]
    NoMemory {
        /// How many.
        bytes: u64,
        /// The system's reason.
        why: String,
    },
}

/// State of the recorder, for `status` and `/metrics`.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct RecorderStats {
    /// Whether it records now.
    pub active: bool,
    /// The most that the rings take.
    pub max_bytes: u64,
    /// What they have taken so far, with the table of callsites.
    pub memory_bytes: u64,
    /// What is younger is kept, if it fits.
    pub min_age_s: f64,
    /// Threads that have a ring now.
    pub threads: u32,
    /// Places in the code that spans and events came from.
    pub callsites: u64,
    /// Traces taken so far.
    pub traces_total: u64,
    /// What was lost so far, by name; zeros left out.
    pub losses: BTreeMap<String, u64>,
}

/// The recorder of the process. Cheap to clone; it records until the last clone and its layer are dropped.
#[derive(Clone, Debug)]
pub struct Recorder {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    pool: &'static Pool,
    settings: Builder,
    /// What was recorded before is another recorder's.
    began_ticks: u64,
    directory: Mutex<Option<Directory>>,
    recording: AtomicBool,
    traces: AtomicU64,
}

static RUNNING: Mutex<Weak<Inner>> = Mutex::new(Weak::new());

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("tally", &self.tally).finish_non_exhaustive()
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self { max_bytes: DEFAULT_MAX_BYTES, min_age: DEFAULT_MIN_AGE }
    }
}

impl Builder {
    /// The most that all rings take together: 256 KiB to 1 GiB. A service that enters 50,000 spans a second fills 10 MiB in 3 s. The first
    /// recorder of a process reserves this much address space, and later ones have at most that.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes.clamp(pool::LEAST_BYTES, pool::MOST_BYTES);
        self
    }

    /// What is younger is not overwritten while there are bytes; what is older is, before more bytes are taken.
    #[must_use]
    pub fn min_age(mut self, age: Duration) -> Self {
        self.min_age = age;
        self
    }

    /// Makes the recorder, and the layer that feeds it. It records from now on.
    ///
    /// # Errors
    /// [`RecorderError::AlreadyRunning`], [`RecorderError::NoMemory`].
    pub fn build(self) -> Result<RecorderLayer, RecorderError> {
        let _unprofiled = crate::sys::thread::Unprofiled::begin();
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if running.strong_count() > 0 {
            return Err(RecorderError::AlreadyRunning);
        }
        let age_ns = u64::try_from(self.min_age.as_nanos()).unwrap_or(u64::MAX);
        let age_ticks = Scale::now().ticks(age_ns);
        let pool = local::pool_of(self.max_bytes, age_ticks)
            .map_err(|e| RecorderError::NoMemory { bytes: self.max_bytes, why: e.to_string() })?;
        let inner = Arc::new(Inner {
            pool,
            settings: self,
            began_ticks: ticks::now(),
            directory: Mutex::new(None),
            recording: AtomicBool::new(false),
            traces: AtomicU64::new(0),
        });
        *running = Arc::downgrade(&inner);
        ticks::begin();
        want_cpu_samples(true);
        local::begin();
        Ok(RecorderLayer::new(Recorder { inner }))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        // Another one may have begun since.
        if running.strong_count() == 0 {
            local::end();
            want_cpu_samples(false);
        }
    }
}

impl Recorder {
    /// Settings, then [`Builder::build`].
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The recorder of this process, if there is one.
    pub fn running() -> Option<Self> {
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).upgrade().map(|inner| Self { inner })
    }

    /// What happened in the last `past`, or with `None` as long ago as everything is kept.
    ///
    /// # Errors
    /// [`RecorderError::Busy`].
    pub fn dump(&self, past: Option<Duration>) -> Result<Trace, RecorderError> {
        let from = match past {
            None => Since::Whole(self.inner.began_ticks),
            Some(past) => {
                let ns = u64::try_from(past.as_nanos()).unwrap_or(u64::MAX);
                Since::Ticks(ticks::now().saturating_sub(Scale::now().ticks(ns)).max(self.inner.began_ticks))
            }
        };
        Ok(self.begin(from)?.finish())
    }

    /// Records forward from now on.
    ///
    /// # Errors
    /// [`RecorderError::Busy`].
    pub fn record(&self) -> Result<Recording, RecorderError> {
        self.begin(Since::Ticks(ticks::now()))
    }

    fn begin(&self, from: Since) -> Result<Recording, RecorderError> {
        if self.inner.recording.swap(true, Ordering::Acquire) {
            return Err(RecorderError::Busy);
        }
        self.inner.traces.fetch_add(1, Ordering::Relaxed);
        Ok(Recording::new(self.clone(), self.inner.pool, from))
    }

    fn recording_ended(&self) {
        self.inner.recording.store(false, Ordering::Release);
    }

    fn set_directory(&self, directory: Directory) {
        *self.inner.directory.lock().unwrap_or_else(PoisonError::into_inner) = Some(directory);
    }

    /// The callsites of those of these spans that live.
    fn callsites(&self, ids: &[u64]) -> HashMap<u64, u32> {
        let directory = self.inner.directory.lock().unwrap_or_else(PoisonError::into_inner).clone();
        directory.map_or_else(HashMap::new, |directory| directory.callsites(ids))
    }

    /// The most that the rings take.
    fn max_bytes(&self) -> u64 {
        self.inner.settings.max_bytes.min(self.inner.pool.reserved_bytes())
    }

    /// State and counters.
    #[must_use]
    pub fn stats(&self) -> RecorderStats {
        let Inner { pool, settings, traces, .. } = &*self.inner;
        let callsites = Callsites::of_process();
        RecorderStats {
            active: local::is_active(),
            max_bytes: self.max_bytes(),
            memory_bytes: u64::from(pool.used()) * CHUNK_BYTES + callsites.memory_bytes(),
            min_age_s: settings.min_age.as_secs_f64(),
            threads: pool.tally.holders.load(Ordering::Relaxed),
            callsites: callsites.all().len() as u64,
            traces_total: traces.load(Ordering::Relaxed),
            losses: losses(pool).into_iter().map(|(what, count)| (what.to_owned(), count)).collect(),
        }
    }
}

/// Switches the recorder of this process off, and on again. Off, a span costs what it costs without; what was recorded stays.
pub fn set_active(active: bool) {
    if !active {
        local::end();
    } else if !local::is_active() && Recorder::running().is_some() {
        local::begin();
    }
}

/// Whether something is recorded now.
#[must_use]
pub fn is_active() -> bool {
    local::is_active()
}

/// A task is polled on this thread from now on; tasks are numbered from 1, sites from 0. `at` is the clock,
/// read for this. Gives what [`poll_end`] wants. Costs a load while nothing is recorded.
#[inline]
pub(crate) fn poll_begin(task: u32, site: u32, at: u64) -> Polled {
    local::poll_begin(task, site, at)
}

/// The poll is over; `outer` is what [`poll_begin`] gave. To be called when the poll panics, too.
#[inline]
pub(crate) fn poll_end(task: u32, outer: Polled, at: u64) {
    local::poll_end(task, outer, at);
}

/// Notes a number that is looked at from time to time.
pub(crate) fn note(counter: Counter, value: u64) {
    local::counter(counter as u32, value);
}

fn want_cpu_samples(wanted: bool) {
    #[cfg(all(feature = "cpu", target_os = "linux"))]
    crate::sys::cpu::moments::want(wanted);
    let _ = wanted;
}

/// What was lost so far, by name.
fn losses(pool: &Pool) -> Vec<(&'static str, u64)> {
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    [
        ("recorder_overwritten", of(&pool.tally.overwritten)),
        ("recorder_overwritten_young", of(&pool.tally.overwritten_young)),
        ("recorder_without_chunk", of(&pool.tally.without_chunk)),
        ("recorder_values_cut", of(&fields::CUT)),
        ("recorder_values_left_out", of(&fields::LEFT_OUT)),
        ("recorder_callsites_full", Callsites::of_process().without_place()),
    ]
    .into_iter()
    .filter(|(_, count)| *count > 0)
    .collect()
}
