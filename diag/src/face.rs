//! [`Diag`]: the one handle a service holds.

#[cfg(all(feature = "symbols", feature = "recorder"))]
mod trace;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::capture::Captures;
use crate::config::{Config, Problem, Secret};
use crate::heap::{self, Heap, HeapError, HeapStats};
use crate::leaks::History;
#[cfg(feature = "symbols")]
use crate::profile::{Profile, ProfileError};
use crate::worker::Worker;

/// The diagnostics of this process. Cheap to clone; they run until the last clone is dropped.
#[derive(Clone)]
pub struct Diag {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    heap: Result<Heap, HeapError>,
    problems: Vec<Problem>,
    started: Instant,
    started_unix_ns: u64,
    worker: Option<Worker>,
    captures: Option<Arc<Captures>>,
    #[cfg(feature = "triggers")]
    triggers: Option<crate::trigger::Triggers>,
    /// Births and deaths since the start, where the collector knows them.
    history: Option<Arc<History>>,
    #[cfg(feature = "symbols")]
    symbols: Mutex<crate::symbols::Resolver>,
}

static RUNNING: Mutex<Weak<Inner>> = Mutex::new(Weak::new());

/// Why the diagnostics could not start at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There can be one a process.
    #[error(
        "diag is already running in this process; use Diag::running(), or clone the handle that start() gave"
    )]
    AlreadyStarted,
}

/// What runs, what does not, and why.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct Status {
    /// `diag.status/1`.
    pub schema: &'static str,
    /// Version of this library.
    pub version: &'static str,
    /// The settings in force.
    pub config: Config,
    /// Process id.
    pub pid: u32,
    /// Path of the program.
    pub executable: Option<PathBuf>,
    /// Start of the diagnostics, unix seconds with fraction.
    pub started_unix_s: f64,
    /// Seconds since then.
    pub uptime_s: f64,
    /// Work units counted since the process began: [`work`](crate::work()).
    pub work_units_total: u64,
    /// Caps and gauges that the host has declared: [`declare_cap`](crate::declare_cap), [`gauge`](crate::gauge).
    pub declared: Vec<crate::leak::Declared>,
    /// The heap collector, when it runs.
    pub heap: Option<HeapStats>,
    /// The CPU sampler.
    #[cfg(feature = "cpu")]
    pub cpu: Option<crate::cpu::CpuStats>,
    /// The tracked tasks.
    #[cfg(feature = "tasks")]
    pub tasks: TaskStats,
    /// The profiles of contention.
    #[cfg(feature = "sync")]
    pub sync: crate::sync::SyncStats,
    /// Names that are kept for the next question; `None` while some are looked up.
    #[cfg(feature = "symbols")]
    pub symbols: Option<crate::symbols::CacheStats>,
    /// Captures to files, when a directory is set.
    pub captures: Option<crate::capture::CaptureStats>,
    /// The rules, when there are any.
    #[cfg(feature = "triggers")]
    pub triggers: Option<crate::trigger::TriggerStats>,
    /// The flight recorder, when its layer is installed.
    #[cfg(feature = "recorder")]
    pub recorder: Option<crate::recorder::RecorderStats>,
    /// What does not work as asked.
    pub problems: Vec<Problem>,
}

/// The tracked tasks, in [`Status`].
#[cfg(feature = "tasks")]
#[derive(Clone, Copy, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct TaskStats {
    /// Alive now.
    pub live: u64,
    /// Spawned since the process began.
    pub spawned_total: u64,
    /// Over since then.
    pub ended_total: u64,
    /// Records of live tasks, sites, and the censuses of their verdicts.
    pub memory_bytes: u64,
}

/// Settings before the start. `DIAG_*` variables override them.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    pub(crate) config: Config,
    #[cfg(feature = "triggers")]
    pub(crate) asked: crate::rules::Asked,
}

impl std::fmt::Debug for Diag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Diag").field("config", &self.inner.config).field("heap", &self.inner.heap).finish()
    }
}

impl Diag {
    /// Settings, then [`Builder::start`].
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The diagnostics that run in this process, if any.
    pub fn running() -> Option<Diag> {
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).upgrade().map(|inner| Diag { inner })
    }

    /// The settings in force.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// The heap collector.
    ///
    /// # Errors
    /// Why it does not run, and what to do.
    pub fn heap(&self) -> Result<&Heap, HeapError> {
        self.inner.heap.as_ref().map_err(Clone::clone)
    }

    /// The CPU sampler.
    ///
    /// # Errors
    /// When the diagnostics are disabled.
    #[cfg(feature = "cpu")]
    pub fn cpu(&self) -> Result<crate::cpu::Cpu, crate::cpu::CpuError> {
        if self.inner.config.disabled {
            return Err(crate::cpu::CpuError::Unavailable {
                why: "the diagnostics are disabled".to_owned(),
                next: "unset DIAG_DISABLE (or the builder's disabled) and start again".to_owned(),
            });
        }
        Ok(crate::cpu::Cpu::new())
    }

    /// Where the process's memory stands now: allocator, kernel, cgroup.
    #[cfg(feature = "memory")]
    pub fn memory(&self) -> crate::memory::Waterline {
        waterline(&self.inner.heap)
    }

    /// The waterline of the last hour, every 5 s: the readings taken after `unix_ms`. Empty when the diagnostics are disabled.
    #[cfg(feature = "memory")]
    pub fn memory_history(&self, unix_ms: u64) -> crate::MemoryHistory {
        let _unprofiled = crate::Unprofiled::begin();
        match &self.inner.worker {
            Some(worker) => worker.course().since(unix_ms),
            None => crate::course::Course::new().since(unix_ms),
        }
    }

    /// The waterline with the mappings beside it: what [`judge`](crate::memory::triage::judge) compares. Walks the page tables.
    #[cfg(feature = "memory")]
    pub fn survey(&self) -> crate::memory::triage::Survey {
        let waterline = waterline(&self.inner.heap);
        let _unprofiled = crate::Unprofiled::begin();
        crate::memory::triage::Survey { waterline, mappings: crate::memory::read_mappings() }
    }

    /// The profile with names, files and lines for its addresses, inlined frames expanded, allocator frames stripped.
    ///
    /// Reads this program's object files. Addresses resolved once are kept, bounded; everything else is dropped again.
    /// One caller at a time; others wait.
    ///
    /// # Errors
    /// When the result would not be a valid profile; files without names are not an error.
    #[cfg(feature = "symbols")]
    pub fn symbolize(&self, profile: &Profile) -> Result<Profile, ProfileError> {
        let _unprofiled = crate::Unprofiled::begin();
        let mut resolver = self.inner.symbols.lock().unwrap_or_else(PoisonError::into_inner);
        let named = crate::profile::symbolize::symbolize(profile, &mut *resolver);
        #[cfg(all(feature = "memory", target_os = "linux"))]
        crate::aftermath::note();
        named
    }

    /// Where the names of each module came from, or why there are none: of all [`symbolize`](Self::symbolize) so far.
    #[cfg(feature = "symbols")]
    pub fn symbol_reports(&self) -> Vec<crate::symbols::ModuleReport> {
        self.inner.symbols.lock().unwrap_or_else(PoisonError::into_inner).reports().to_vec()
    }

    /// Writes a capture now, where a capture directory is set. Waits until it is on disk.
    ///
    /// # Errors
    /// What failed and on which path, or that no directory is set.
    pub fn capture_now(&self) -> std::io::Result<()> {
        match &self.inner.captures {
            Some(captures) => captures.by_time(),
            None if self.inner.config.disabled => {
                Err(std::io::Error::other("the diagnostics are disabled (DIAG_DISABLE)"))
            }
            None => Err(std::io::Error::other(
                "no capture directory; set DIAG_CAPTURE_DIR or the builder's capture_dir",
            )),
        }
    }

    #[cfg(feature = "tasks")]
    fn task_stats(&self) -> TaskStats {
        let history = self.task_history().map_or(0, crate::leaks::TaskHistory::memory_bytes);
        let (spawned_total, ended_total) = crate::tasks::totals();
        TaskStats {
            live: crate::tasks::live_count(),
            spawned_total,
            ended_total,
            memory_bytes: crate::tasks::memory_bytes() + history,
        }
    }

    /// The collector's memory includes that of the history.
    fn stats_with_history(&self, heap: &Heap) -> HeapStats {
        let mut stats = heap.stats();
        stats.memory_parts.leak_history_bytes = self.history().map_or(0, History::memory_bytes);
        #[cfg(feature = "memory")]
        if let Some(worker) = &self.inner.worker {
            stats.memory_parts.memory_history_bytes = worker.course().memory_bytes();
        }
        stats.memory_bytes = stats.memory_parts.total_bytes();
        stats
    }

    #[cfg(feature = "tasks")]
    pub(crate) fn task_history(&self) -> Option<&crate::leaks::TaskHistory> {
        self.inner.worker.as_ref().map(Worker::task_history)
    }

    pub(crate) fn captures(&self) -> Option<&Captures> {
        self.inner.captures.as_deref()
    }

    pub(crate) fn worker(&self) -> Option<&Worker> {
        self.inner.worker.as_ref()
    }

    #[cfg(feature = "triggers")]
    pub(crate) fn triggers(&self) -> Option<&crate::trigger::Triggers> {
        self.inner.triggers.as_ref()
    }

    pub(crate) fn history(&self) -> Option<&History> {
        self.inner.history.as_deref()
    }

    /// What runs, what does not, and why.
    pub fn status(&self) -> Status {
        let inner = &self.inner;
        let mut problems = inner.problems.clone();
        let captures = inner.captures.as_ref().map(|captures| captures.stats());
        problems.extend(captures.as_ref().and_then(|c| c.last_problem.clone()));
        #[cfg(feature = "triggers")]
        let triggers = inner.triggers.as_ref().map(crate::trigger::Triggers::stats);
        #[cfg(feature = "triggers")]
        problems.extend(triggers.iter().flat_map(|t| t.problems.iter().cloned()));
        let declared = crate::declared::snapshot();
        problems.extend(crate::declared::problems());
        #[cfg(feature = "console")]
        problems.extend(crate::console::problems());
        Status {
            schema: "diag.status/1",
            version: env!("CARGO_PKG_VERSION"),
            config: inner.config.clone(),
            pid: std::process::id(),
            executable: std::env::current_exe().ok(),
            started_unix_s: inner.started_unix_ns as f64 / 1e9,
            uptime_s: inner.started.elapsed().as_secs_f64(),
            work_units_total: crate::work::total(),
            declared,
            heap: inner.heap.as_ref().ok().map(|heap| self.stats_with_history(heap)),
            #[cfg(feature = "cpu")]
            cpu: self.cpu().ok().map(|cpu| cpu.stats()),
            #[cfg(feature = "tasks")]
            tasks: self.task_stats(),
            #[cfg(feature = "sync")]
            sync: crate::sync::stats(),
            // Who looks names up may take a second; a status does not wait for it.
            #[cfg(feature = "symbols")]
            symbols: inner.symbols.try_lock().ok().map(|resolver| resolver.cache_stats()),
            captures,
            #[cfg(feature = "triggers")]
            triggers,
            #[cfg(feature = "recorder")]
            recorder: crate::recorder::Recorder::running().map(|recorder| recorder.stats()),
            problems,
        }
    }
}

#[cfg(feature = "memory")]
pub(crate) fn waterline(heap: &Result<Heap, HeapError>) -> crate::memory::Waterline {
    let _unprofiled = crate::Unprofiled::begin();
    with_own_bytes(crate::memory::read(), heap)
}

/// The waterline with what the diagnostics themselves hold.
#[cfg(feature = "memory")]
pub(crate) fn with_own_bytes(
    mut waterline: crate::memory::Waterline,
    heap: &Result<Heap, HeapError>,
) -> crate::memory::Waterline {
    #[cfg(feature = "triggers")]
    let set_aside = crate::trigger::held_bytes();
    #[cfg(not(feature = "triggers"))]
    let set_aside = 0;
    #[cfg(feature = "sync")]
    let set_aside = set_aside + crate::sync::memory_bytes();
    let own = heap.as_ref().map(|heap| heap.stats().memory_bytes + set_aside);
    waterline.diag_bytes = own.map_err(HeapError::clone).into();
    waterline
}

/// Who a profile is of, as comment lines.
pub(crate) fn identity(config: &Config) -> Vec<String> {
    vec![
        format!("service={}", config.service_name),
        format!("pid={}", std::process::id()),
        format!("diag={}", env!("CARGO_PKG_VERSION")),
    ]
}

impl Drop for Inner {
    fn drop(&mut self) {
        #[cfg(feature = "triggers")]
        if let Some(triggers) = self.triggers.take() {
            triggers.finish();
        }
        if let Some(worker) = self.worker.take() {
            worker.finish();
        }
        if let Ok(heap) = &self.heap {
            // Nobody can ask any more; what is sampled would be paid for nothing.
            let _ = heap.set_active(false);
        }
    }
}

impl Builder {
    /// Name of the service, in titles and labels. Default: the name of the executable.
    #[must_use]
    pub fn service_name(mut self, name: impl Into<String>) -> Self {
        self.config.service_name = name.into();
        self
    }

    /// Mean bytes between heap samples; rounded to a power of two. Default: jemalloc's setting, 512 KiB.
    #[must_use]
    pub fn sample_bytes(mut self, bytes: u64) -> Self {
        self.config.sample_bytes = Some(bytes);
        self
    }

    /// About the most memory the heap collector's tables take. Default 64 MiB: some 400,000 live samples, 100,000 stacks.
    #[must_use]
    pub fn heap_table_bytes(mut self, bytes: u64) -> Self {
        self.config.heap_table_bytes = bytes;
        self
    }

    /// Where `diag_server::serve` listens. Default 127.0.0.1:6060.
    #[must_use]
    pub fn listen(mut self, address: std::net::SocketAddr) -> Self {
        self.config.listen = address;
        self
    }

    /// File with the token that clients must show. Required to listen off loopback, unless [`token`](Self::token) is given.
    #[must_use]
    pub fn token_file(mut self, path: impl Into<PathBuf>) -> Self {
        (self.config.token_file, self.config.token) = (Some(path.into()), None);
        self
    }

    /// The token itself, from the host's own store of secrets. The last of this and [`token_file`](Self::token_file) counts.
    #[must_use]
    pub fn token(mut self, token: impl AsRef<str>) -> Self {
        (self.config.token_file, self.config.token) = (None, Some(Secret::new(token)));
        self
    }

    /// The server shows everything and changes nothing: a purge, or a watch that samples more often, is refused.
    #[must_use]
    pub fn read_only(mut self, on: bool) -> Self {
        self.config.read_only = on;
        self
    }

    /// Writes captures (heap with ages, waterline) to this directory: at once, more often in the first seconds, then every
    /// [`capture_every`]. A job that ends before its second capture writes one when the last handle is dropped.
    ///
    /// [`capture_every`]: Self::capture_every
    #[must_use]
    pub fn capture_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.capture_dir = Some(path.into());
        self
    }

    /// Time between captures, at least a second. Default 10 s.
    #[must_use]
    pub fn capture_every(mut self, every: Duration) -> Self {
        self.config.capture_every = every.max(Duration::from_secs(1));
        self
    }

    /// Captures kept, the newest. Default 1,000.
    #[must_use]
    pub fn capture_keep(mut self, count: usize) -> Self {
        self.config.capture_keep = count.max(1);
        self
    }

    /// About the most bytes of all captures in the directory. Default 1 GiB.
    #[must_use]
    pub fn capture_keep_bytes(mut self, bytes: u64) -> Self {
        self.config.capture_keep_bytes = bytes;
        self
    }

    /// Takes one in so many contentions of the locks of [`sync`](crate::sync) into the mutex profile from the start; 0 for none.
    #[cfg(feature = "sync")]
    #[must_use]
    pub fn mutex_profile_fraction(mut self, fraction: u32) -> Self {
        self.config.mutex_profile_fraction = Some(fraction);
        self
    }

    /// Takes waits for the locks of [`sync`](crate::sync) into the block profile from the start: all that last so long, shorter ones in
    /// proportion; 0 for none.
    #[cfg(feature = "sync")]
    #[must_use]
    pub fn block_profile_rate_ns(mut self, nanoseconds: u64) -> Self {
        self.config.block_profile_rate_ns = Some(nanoseconds);
        self
    }

    /// Collect nothing and listen nowhere; [`Diag::status`] says so.
    #[must_use]
    pub fn disabled(mut self, disabled: bool) -> Self {
        self.config.disabled = disabled;
        self
    }

    /// Let jemalloc see the stacks too, so that `prof.dump` by others in this program stays useful. Costs a second walk a
    /// sample. Without it such a dump shows one stack.
    #[must_use]
    pub fn stacks_for_jemalloc(mut self, on: bool) -> Self {
        self.config.stacks_for_jemalloc = on;
        self
    }

    /// Take heap profiles from jemalloc's `prof.dump` even where its sample hooks are to be had.
    #[must_use]
    pub fn force_prof_dump(mut self, on: bool) -> Self {
        self.config.force_prof_dump = on;
        self
    }

    /// Starts the collectors. What cannot run says so in [`Diag::status`]; the host goes on.
    ///
    /// Keep the handle (or the server that holds one): when the last is dropped, sampling stops.
    ///
    /// # Errors
    /// [`Error::AlreadyStarted`].
    pub fn start(self) -> Result<Diag, Error> {
        let _unprofiled = crate::Unprofiled::begin();
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if running.strong_count() > 0 {
            return Err(Error::AlreadyStarted);
        }
        let mut config = self.config;
        let mut problems =
            config.override_by(|name| std::env::var_os(name).map(|v| v.to_string_lossy().into_owned()));
        #[cfg(feature = "sync")]
        start_sync(&config, &mut problems);
        let heap = start_heap(&config, &mut problems);
        let history =
            heap.as_ref().ok().filter(|heap| heap.now_ns().is_some()).map(|h| Arc::new(History::new(h)));
        let captures =
            (!config.disabled).then(|| Captures::new(&config, heap.clone())).flatten().map(Arc::new);
        let worker = (!config.disabled).then(|| {
            let every = config.capture_every;
            Worker::start(captures.clone(), every, heap.clone(), history.clone(), &mut problems)
        });
        #[cfg(feature = "triggers")]
        let triggers = if config.disabled {
            None
        } else {
            let asked = crate::trigger::asked(&config, self.asked, &mut problems);
            crate::trigger::Triggers::start(asked, &config, &heap, captures.as_ref(), &mut problems)
        };
        let inner = Arc::new(Inner {
            heap,
            problems,
            started: Instant::now(),
            started_unix_ns: crate::sys::clock::unix_ns(),
            worker,
            captures,
            #[cfg(feature = "triggers")]
            triggers,
            history,
            #[cfg(feature = "symbols")]
            symbols: Mutex::new(crate::symbols::Resolver::in_process()),
            config,
        });
        *running = Arc::downgrade(&inner);
        Ok(Diag { inner })
    }
}

#[cfg(feature = "sync")]
fn start_sync(config: &Config, problems: &mut Vec<Problem>) {
    let (fraction, rate_ns) = match config.disabled {
        true => (Some(0), Some(0)),
        false => (config.mutex_profile_fraction, config.block_profile_rate_ns),
    };
    if cfg!(not(target_os = "linux")) && (fraction.is_some_and(|f| f > 0) || rate_ns.is_some_and(|r| r > 0)) {
        problems.push(Problem {
            part: "sync".into(),
            what: format!("locks are watched on Linux only, and this is {}", std::env::consts::OS),
            next: "nothing to do; mutex and block profiles stay empty here".into(),
        });
    }
    if let Some(fraction) = fraction {
        crate::sync::set_mutex_profile_fraction(fraction);
    }
    if let Some(rate_ns) = rate_ns {
        crate::sync::set_block_profile_rate(rate_ns);
    }
}

fn start_heap(config: &Config, problems: &mut Vec<Problem>) -> Result<Heap, HeapError> {
    if config.disabled {
        return Err(HeapError::Unavailable {
            why: "the diagnostics are disabled".into(),
            next: "unset DIAG_DISABLE (or the builder's disabled) and start again".into(),
        });
    }
    match heap::start(config) {
        Ok(started) => {
            problems.extend(started.problems);
            Ok(started.heap)
        }
        Err(error) => {
            if let HeapError::Unavailable { why, next } = &error {
                problems.push(Problem { part: "heap".into(), what: why.clone(), next: next.clone() });
            }
            Err(error)
        }
    }
}
