//! One recording at a time, on a thread of its own that ends with it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::ladder::{self, Choice};
use super::{CpuError, CpuOptions, CpuStats, MOST_HZ, Mode};
use crate::profile::Profile;

/// Longest recording.
const LONGEST: Duration = Duration::from_secs(3600);
/// Until the first sample can be taken; far more than it takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the recordings so far leave behind.
struct State {
    /// What would be taken, found out once.
    would_take: Option<Result<Choice, CpuError>>,
    /// Process and end of the recording that runs.
    running: Option<(u32, Instant)>,
    stats: CpuStats,
}

static STATE: Mutex<Option<State>> = Mutex::new(None);

struct Locked(MutexGuard<'static, Option<State>>);

impl Locked {
    fn state(&mut self) -> &mut State {
        let state = self.0.get_or_insert_with(|| State {
            would_take: None,
            running: None,
            stats: CpuStats::default(),
        });
        // Of a parent whose threads are not here.
        if state.running.is_some_and(|(process, _)| process != std::process::id()) {
            state.running = None;
        }
        state
    }
}

fn lock() -> Locked {
    Locked(STATE.lock().unwrap_or_else(PoisonError::into_inner))
}

/// What the recording's thread is told, and tells.
pub(super) struct Control {
    end: AtomicBool,
    abandoned: AtomicBool,
    until: Instant,
    begun: SyncSender<()>,
}

impl Control {
    /// Sampling has begun.
    pub(super) fn begun(&self) {
        let _ = self.begun.try_send(());
    }

    /// Waits so long, or until the end; says whether it has come.
    pub(super) fn wait(&self, time: Duration) -> bool {
        let left = self.until.saturating_duration_since(Instant::now());
        if !self.is_over() {
            thread::park_timeout(time.min(left));
        }
        self.is_over()
    }

    fn is_over(&self) -> bool {
        self.end.load(Ordering::Acquire) || Instant::now() >= self.until
    }
}

/// A CPU profile that is being recorded. Dropping it ends the sampling and discards what was found.
#[derive(Debug)]
pub struct Recording {
    control: Arc<Control>,
    thread: Option<JoinHandle<Result<Profile, CpuError>>>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("until", &self.until).finish_non_exhaustive()
    }
}

impl Recording {
    /// Ends it and gives the profile. Takes some milliseconds.
    ///
    /// # Errors
    /// [`CpuError`].
    pub fn finish(mut self) -> Result<Profile, CpuError> {
        self.end();
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            _ => Err(CpuError::Failed {
                why: "the sampler's thread broke off, which is a bug of diag".to_owned(),
            }),
        }
    }

    fn end(&self) {
        self.control.end.store(true, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.control.abandoned.store(self.thread.is_some(), Ordering::Release);
        self.end();
    }
}

/// Frees the place for the next one, however this one ends.
struct Place;

impl Drop for Place {
    fn drop(&mut self) {
        lock().state().running = None;
    }
}

/// See [`Cpu::record`](super::Cpu::record).
pub(super) fn start(options: &CpuOptions) -> Result<Recording, CpuError> {
    let hz = options.rate();
    if !(1..=MOST_HZ).contains(&hz) {
        return Err(CpuError::Rate { hz });
    }
    let until = Instant::now() + options.at_most.unwrap_or(LONGEST).min(LONGEST);
    {
        let mut locked = lock();
        let state = locked.state();
        if let Some((_, ends)) = state.running {
            return Err(CpuError::Busy { ends_in: ends.saturating_duration_since(Instant::now()) });
        }
        state.running = Some((std::process::id(), until));
    }
    let place = Place;
    let choice = ladder::first(options)?;
    let (begun, wait): (_, Receiver<()>) = sync_channel(1);
    let control =
        Arc::new(Control { end: AtomicBool::new(false), abandoned: AtomicBool::new(false), until, begun });
    let (of_thread, mode) = (Arc::clone(&control), options.mode);
    let thread = thread::Builder::new()
        .name("diag-cpu".to_owned())
        .spawn(move || {
            let _place = place;
            #[cfg(target_os = "linux")]
            let _unprofiled = crate::sys::thread::Unprofiled::begin();
            record(choice, hz, mode, of_thread)
        })
        .map_err(|e| CpuError::Failed { why: format!("no thread could be started: {e}") })?;
    let recording = Recording { control, thread: Some(thread) };
    match wait.recv_timeout(PATIENCE) {
        Ok(()) => Ok(recording),
        // It ended before it began, and says why.
        Err(_) => Err(recording.finish().err().unwrap_or_else(|| CpuError::Failed {
            why: format!("sampling did not begin within {} s", PATIENCE.as_secs()),
        })),
    }
}

fn record(choice: Choice, hz: u32, mode: Mode, control: Arc<Control>) -> Result<Profile, CpuError> {
    #[cfg(any(feature = "cpu-guard", not(target_os = "linux")))]
    if choice.source == super::Source::PprofCrate {
        let (profile, samples) = super::guard::record(&choice, hz, &control)?;
        note(&choice, (samples, 0), None, &Default::default());
        return Ok(profile);
    }
    #[cfg(target_os = "linux")]
    {
        let recorded = match mode {
            Mode::Cpu => super::session::run(choice, hz, &control)?,
            Mode::Wall => super::wall::run(choice, hz, &control)?,
        };
        let taken = (recorded.samples, recorded.overruns);
        note(&recorded.choice, taken, recorded.weights.accounted, &recorded.losses);
        if control.abandoned.load(Ordering::Acquire) {
            return Err(CpuError::Failed { why: "nobody wants it any more".to_owned() });
        }
        super::profile::build(recorded, mode)
    }
    #[cfg(not(target_os = "linux"))]
    Err(CpuError::Failed { why: format!("{:?} at {hz} Hz in mode {mode:?} is for Linux", choice.source) })
}

fn note(
    choice: &Choice,
    (samples, overruns): (u64, u64),
    accounted: Option<f64>,
    losses: &std::collections::BTreeMap<String, u64>,
) {
    let mut locked = lock();
    let stats = &mut locked.state().stats;
    stats.profiles_total += 1;
    stats.samples_total += samples;
    stats.overruns_total += overruns;
    stats.source = Some(choice.source);
    stats.why.clone_from(&choice.why);
    stats.accounted = accounted;
    for (what, count) in losses {
        *stats.losses.entry(what.clone()).or_insert(0) += count;
    }
}

/// See [`Cpu::stats`](super::Cpu::stats).
pub(super) fn stats() -> CpuStats {
    let mut locked = lock();
    let state = locked.state();
    let mut stats = state.stats.clone();
    stats.recording = state.running.is_some();
    let known = state.would_take.clone();
    drop(locked);
    if stats.source.is_none() {
        // Tried without the lock, for which a recording may wait: it takes the kernel up to 40 ms.
        let choice = known.unwrap_or_else(|| ladder::choose(&CpuOptions::default()));
        match &choice {
            Ok(choice) => (stats.source, stats.why) = (Some(choice.source), choice.why.clone()),
            Err(error) => stats.why = error.to_string(),
        }
        lock().state().would_take = Some(choice);
    }
    #[cfg(target_os = "linux")]
    if stats.profiles_total > 0 || stats.recording {
        let rules = crate::sys::code::Code::of_process().map_or(0, |code| code.walker().program_bytes());
        stats.memory_bytes = crate::sys::cpu::ring::Ring::BYTES + rules;
    }
    stats
}
