//! Leak verdicts about the running process: who takes the censuses, and what the judge is told.
//!
//! The diagnostics' own thread keeps a history from the start of the process on ([`History`]), so that a question is answered
//! at once: of the whole past, and finer of the last minutes. A [`LeakWatch`] is a finer look at a stretch of time that begins when it is made.

mod courses;
mod history;
#[cfg(feature = "tasks")]
mod tasks;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::face::Diag;
use crate::heap::{Heap, HeapError, STACK_LABEL};
use crate::leak::{self, Report, Stacks};
use crate::profile::cohorts::Cohorts;
use crate::profile::{LabelValue, Profile, StackId};
pub use courses::{Course, Courses};
pub(crate) use history::History;
#[cfg(feature = "tasks")]
pub(crate) use tasks::TaskHistory;

/// Censuses of a watch.
const CENSUSES_A_WATCH: u32 = 64;
const SHORTEST_INTERVAL: Duration = Duration::from_millis(250);
/// A watch samples no more often than this.
const SHORTEST_PERIOD_BYTES: u64 = 16 << 10;
/// Share of the collector's memory limit that the cohorts of a watch may take.
const SHARE_OF_LIMIT: u64 = 8;

/// How a verdict is asked for.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LeakOptions {
    /// Age from which an object counts. Default: a twelfth of the watched time, from 2 s to 60 s.
    pub maturity: Option<Duration>,
    /// How this process is named in the commands that the verdict suggests. Default `http://` and the listener's address.
    pub target: Option<String>,
}

impl LeakOptions {
    /// The same with another [`maturity`](Self::maturity).
    #[must_use]
    pub fn with_maturity(mut self, maturity: Option<Duration>) -> Self {
        self.maturity = maturity;
        self
    }

    /// The same with another [`target`](Self::target).
    #[must_use]
    pub fn with_target(mut self, target: impl Into<String>) -> Self {
        self.target = Some(target.into());
        self
    }
}

/// Censuses of this process for a stretch of time.
///
/// ```no_run
/// # #[cfg(feature = "symbols")] fn f(diag: &diag::Diag) -> Result<(), diag::heap::HeapError> {
/// let mut watch = diag.watch_leaks(std::time::Duration::from_secs(60), None)?;
/// for _ in 0..64 {
///     std::thread::sleep(watch.interval());
///     watch.census();
/// }
/// println!("{}", watch.report(&Default::default())?);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct LeakWatch {
    diag: Diag,
    heap: Heap,
    cohorts: Cohorts,
    interval: Duration,
    /// Ends with the watch.
    _raised: Option<RaisedRate>,
}

/// A smaller sampling period than the one that was set, until the drop. Weights are stored at birth, so that it costs the
/// values nothing.
#[derive(Debug)]
struct RaisedRate {
    heap: Heap,
    before: u64,
}

static RAISED: AtomicBool = AtomicBool::new(false);

impl RaisedRate {
    /// `None` when the period is as small already, or another watch has changed it.
    fn begin(heap: &Heap, period_bytes: u64) -> Result<Option<Self>, HeapError> {
        let before = heap.stats().sample_period_bytes;
        let wanted = period_bytes.max(SHORTEST_PERIOD_BYTES);
        if wanted >= before || RAISED.swap(true, Ordering::AcqRel) {
            return Ok(None);
        }
        let raised = Self { heap: *heap, before };
        heap.set_sample_period_bytes(wanted)?;
        Ok(Some(raised))
    }
}

impl Drop for RaisedRate {
    fn drop(&mut self) {
        // Refused only where setting it was refused before.
        let _ = self.heap.set_sample_period_bytes(self.before);
        RAISED.store(false, Ordering::Release);
    }
}

impl LeakWatch {
    /// Time between censuses.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Looks at what is alive. Takes milliseconds; call it once in each [`interval`](Self::interval).
    pub fn census(&mut self) {
        let _unprofiled = crate::Unprofiled::begin();
        self.heap.census(&mut self.cohorts, crate::work::total());
    }

    /// The verdict on the time since the watch began.
    ///
    /// # Errors
    /// When the stacks cannot be named.
    pub fn report(&self, options: &LeakOptions) -> Result<Report, HeapError> {
        let mut report = judge(&self.diag, &self.heap, &self.cohorts, options, true)?;
        // A container doubles once in each octave of the process's age: that takes the whole past to see.
        let past = self.diag.leaks(options)?;
        report.add_suspects(past.suspects.into_iter().filter(|s| s.doublings.is_some()));
        Ok(report.with_tasks(past.tasks))
    }
}

impl Diag {
    /// Whether this process leaks, from the births and deaths it has kept since it started. Answers at once.
    ///
    /// Takes a census and names the stacks in question: tens of milliseconds. Where tasks are tracked, looks at them twice, 50 ms apart.
    ///
    /// # Errors
    /// Without the heap collector, or when it has fallen back to `prof.dump`, which knows no ages.
    pub fn leaks(&self, options: &LeakOptions) -> Result<Report, HeapError> {
        let report = self.leaks_named(options, true)?;
        #[cfg(feature = "tasks")]
        let report = report.with_tasks(self.task_suspects());
        Ok(report)
    }

    /// The same, without names where there is no memory to find them.
    pub(crate) fn leaks_named(&self, options: &LeakOptions, named: bool) -> Result<Report, HeapError> {
        let _unprofiled = crate::Unprofiled::begin();
        let heap = *self.heap()?;
        let history = self.history().ok_or_else(no_ages)?;
        let judged = |mut cohorts: Cohorts| {
            heap.census(&mut cohorts, crate::work::total());
            judge(self, &heap, &cohorts, options, named)
        };
        let report = judged(history.whole())?;
        match history.recent().filter(|_| report.verdict != leak::Verdict::Leak) {
            None => Ok(report),
            // What began lately is drowned in a long past.
            Some(recent) => {
                let recent = judged(recent)?;
                Ok(if recent.verdict == leak::Verdict::Leak { recent } else { report })
            }
        }
    }

    /// Begins to watch for leaks, for about so long. With a `sample_bytes` below the sampling period more is sampled until
    /// the watch is dropped, at least each 16 KiB in the mean: slower leaks are found, at about a microsecond a sample.
    ///
    /// # Errors
    /// As [`leaks`](Self::leaks), or when jemalloc refuses the sampling period.
    pub fn watch_leaks(&self, length: Duration, sample_bytes: Option<u64>) -> Result<LeakWatch, HeapError> {
        let _unprofiled = crate::Unprofiled::begin();
        let heap = *self.heap()?;
        let now = heap.now_ns().ok_or_else(no_ages)?;
        let raised = sample_bytes.map(|period| RaisedRate::begin(&heap, period)).transpose()?.flatten();
        let interval = (length / CENSUSES_A_WATCH).max(SHORTEST_INTERVAL);
        let resolution = i64::try_from(interval.as_nanos()).unwrap_or(i64::MAX);
        let limit = heap.stats().memory_limit_bytes / SHARE_OF_LIMIT;
        let cohorts = Cohorts::new(now, resolution, limit as usize);
        let mut watch = LeakWatch { diag: self.clone(), heap, cohorts, interval, _raised: raised };
        watch.census();
        Ok(watch)
    }
}

fn no_ages() -> HeapError {
    HeapError::Unavailable {
        why: "leak verdicts need the births and deaths of objects, and heap profiles come from jemalloc's prof.dump here"
            .to_owned(),
        next: "/debug/diag/api/v1/status says why; two heap profiles can be compared with `diag-cli diff`".to_owned(),
    }
}

fn judge(
    diag: &Diag,
    heap: &Heap,
    cohorts: &Cohorts,
    options: &LeakOptions,
    named: bool,
) -> Result<Report, HeapError> {
    let profile = heap.stacks_where(|stack| cohorts.contains(stack))?;
    #[cfg(feature = "symbols")]
    let profile = if named { diag.symbolize(&profile)? } else { profile };
    let stacks = stacks_by_number(&profile);
    let stats = heap.stats();
    let target = options.target.clone().unwrap_or_else(|| format!("http://{}", diag.config().listen));
    #[cfg(feature = "memory")]
    let limit = memory_limit(diag);
    #[cfg(not(feature = "memory"))]
    let limit = None;
    let judged = leak::Options {
        maturity: options.maturity,
        period_bytes: stats.sample_period_bytes,
        process_start_ns: Some(0),
        losses: stats.losses,
        target,
        limit,
        declared: crate::declared::snapshot(),
    };
    let mut report =
        leak::judge(cohorts, Stacks { profile: &profile, of_row: &|row| stacks.get(&row).copied() }, &judged);
    if !named {
        report.reasons.push(
            "memory is short, so that names were not looked up; `diag-cli leaks` on the directory names the code".to_owned(),
        );
    }
    if !stats.active {
        report.reasons.push("sampling is switched off: what is allocated meanwhile is not seen".to_owned());
        if report.verdict == leak::Verdict::NoLeak {
            report.verdict = leak::Verdict::NotEnoughEvidence;
        }
    }
    Ok(report)
}

/// The stack of each of the collector's numbers.
pub(crate) fn stacks_by_number(profile: &Profile) -> HashMap<u32, StackId> {
    let key = profile.find_str(STACK_LABEL);
    let mut stacks = HashMap::new();
    for sample in profile.samples() {
        for label in profile.label_set(sample.labels) {
            if let LabelValue::Num(number, _) = label.value
                && Some(label.key) == key
            {
                stacks.insert(number as u32, sample.stack);
            }
        }
    }
    stacks
}

/// The limit that applies, and what is charged to it.
#[cfg(feature = "memory")]
fn memory_limit(diag: &Diag) -> Option<(u64, u64)> {
    let waterline = diag.memory();
    let cgroup = waterline.cgroup.known()?;
    let limited_by = cgroup.limited_by.as_ref()?;
    Some((limited_by.limit_bytes, limited_by.current_bytes.value()?))
}
