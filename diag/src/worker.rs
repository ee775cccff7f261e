//! The diagnostics' own thread: looks for newly loaded files once a second, takes the censuses for leak verdicts, reads the waterline
//! every few seconds, and has captures written by time: at once, after 1, 3, 7 seconds and so on until the time that was set is
//! reached, and then as often as was set.
//!
//! The thread records nothing of itself. What fails is tried again next time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::Unprofiled;
use crate::capture::Captures;
use crate::config::Problem;
use crate::heap::{Heap, HeapError};
use crate::leaks::History;
use crate::sys::clock;

const REFRESH_EVERY: Duration = Duration::from_secs(1);
/// Time from the first capture to the second; doubled from then on up to the time that was set, so that short jobs are seen.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// How long the last capture may take when the diagnostics end.
const FINISH_WITHIN: Duration = Duration::from_secs(10);

/// The thread and what it is told.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    heap: Result<Heap, HeapError>,
    history: Option<Arc<History>>,
    #[cfg(feature = "tasks")]
    task_history: crate::leaks::TaskHistory,
    #[cfg(feature = "memory")]
    course: crate::course::Course,
    captures: Option<Arc<Captures>>,
    capture_every: Duration,
    /// When it came round last.
    round_ns: AtomicU64,
}

struct State {
    stop: bool,
    finished: bool,
}

impl Worker {
    /// Starts the thread; a failure to do so is a problem, not an error.
    pub(crate) fn start(
        captures: Option<Arc<Captures>>,
        capture_every: Duration,
        heap: Result<Heap, HeapError>,
        history: Option<Arc<History>>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State { stop: false, finished: false }),
            changed: Condvar::new(),
            heap,
            history,
            #[cfg(feature = "tasks")]
            task_history: crate::leaks::TaskHistory::new(),
            #[cfg(feature = "memory")]
            course: crate::course::Course::new(),
            captures,
            capture_every,
            round_ns: AtomicU64::new(clock::monotonic_ns()),
        });
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("diag".to_owned())
            .stack_size(512 << 10)
            .spawn(move || of_thread.run())
            .map_err(|e| {
                problems.push(Problem {
                    part: "capture".into(),
                    what: format!("the diagnostics' thread could not be started: {e}"),
                    next: "raise the limit of threads; until then no captures are written".into(),
                });
            })
            .ok();
        Self { shared, thread }
    }

    /// The course of the waterline.
    #[cfg(feature = "memory")]
    pub(crate) fn course(&self) -> &crate::course::Course {
        &self.shared.course
    }

    /// Births and ends of tasks.
    #[cfg(feature = "tasks")]
    pub(crate) fn task_history(&self) -> &crate::leaks::TaskHistory {
        &self.shared.task_history
    }

    /// Time since the thread came round last; about a second when all is well.
    pub(crate) fn silent_for(&self) -> Duration {
        let last = self.shared.round_ns.load(Ordering::Acquire);
        Duration::from_nanos(clock::monotonic_ns().saturating_sub(last))
    }

    /// Writes the last capture and ends the thread.
    pub(crate) fn finish(self) {
        let mut state = self.shared.lock();
        state.stop = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread
            && thread.thread().id() != std::thread::current().id()
        {
            let (state, _) = self
                .shared
                .changed
                .wait_timeout_while(state, FINISH_WITHIN, |s| !s.finished)
                .unwrap_or_else(PoisonError::into_inner);
            let finished = state.finished;
            drop(state);
            if finished {
                let _ = thread.join();
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let _unprofiled = Unprofiled::begin();
        #[cfg(target_os = "linux")]
        crate::sys::thread::push_nobody();
        let mut next_capture = Instant::now();
        let mut wait = FIRST_WAIT.min(self.capture_every);
        loop {
            self.round_ns.store(clock::monotonic_ns(), Ordering::Release);
            if let Some(captures) = &self.captures
                && Instant::now() >= next_capture
            {
                // A failure is counted there.
                let _ = captures.by_time();
                #[cfg(all(feature = "memory", target_os = "linux"))]
                crate::aftermath::note();
                // After a pause of the machine: go on from now rather than catch up.
                next_capture = (next_capture + wait).max(Instant::now());
                wait = (wait * 2).min(self.capture_every);
            }
            #[cfg(all(feature = "memory", target_os = "linux"))]
            crate::aftermath::tick();
            #[cfg(feature = "memory")]
            self.course.tick(&self.heap);
            #[cfg(feature = "tasks")]
            self.task_history.tick();
            #[cfg(all(feature = "recorder", target_os = "linux"))]
            note_memory(&self.heap);
            if let Ok(heap) = &self.heap {
                heap.refresh_modules();
                if let Some(history) = &self.history {
                    history.tick(heap);
                }
            }
            let state = self.lock();
            let (state, _) = self
                .changed
                .wait_timeout_while(state, REFRESH_EVERY, |s| !s.stop)
                .unwrap_or_else(PoisonError::into_inner);
            if state.stop {
                break;
            }
        }
        // At the end most memory is freed already, and a difference with this capture would mislead. A job that was over
        // before its second capture has nothing better.
        if let Some(captures) = self.captures.as_ref().filter(|c| c.stats().written < 2) {
            let _ = captures.by_time();
        }
        self.lock().finished = true;
        self.changed.notify_all();
    }
}

/// Once a second, what the allocator holds and has given out, on the flight recorder's clock.
#[cfg(all(feature = "recorder", target_os = "linux"))]
fn note_memory(heap: &Result<Heap, HeapError>) {
    use crate::recorder::{Counter, is_active, note};
    let Some(heap) = heap.as_ref().ok().filter(|_| is_active()) else { return };
    if let Ok((live_bytes, resident_bytes)) = crate::sys::jemalloc::live_and_resident_bytes() {
        note(Counter::Live, live_bytes);
        note(Counter::Resident, resident_bytes);
    }
    if let Some(allocated_bytes) = heap.allocated_bytes_estimate() {
        note(Counter::Allocated, allocated_bytes);
    }
}
