//! The course of the memory waterline: a reading every 5 s, the last hour of them, so that a page that is opened now shows
//! what went before. Taken by the diagnostics' own thread.
//!
//! A reading is a row of a fixed table: some 90 KB in all, allocated once. What could not be read is missing, with the
//! last reason, never zero. Times are the wall clock's; CPU times are nanoseconds since the process, or the
//! diagnostics' thread, began, so that a reader divides differences. A reading costs 0.3 ms of CPU without optimisation (2026-11-29,
//! fastest of 200 on a busy 2-core VM): it leaves out the walk of the page tables.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::heap::{Heap, HeapError};
use crate::memory::{Limit, Reading, read_quick};

/// Time between readings.
const EVERY: Duration = Duration::from_secs(5);
/// Readings kept: an hour of them.
const MOST: usize = 720;
/// What a cell holds when the value is missing: no counter gets there.
const MISSING: u64 = u64::MAX;

/// The names of the columns; each name has its unit, or counts.
const COLUMNS: [&str; 13] = [
    "allocated_bytes",
    "active_bytes",
    "resident_bytes",
    "rss_bytes",
    "cgroup_bytes",
    "cgroup_limit_bytes",
    "swap_bytes",
    "threads",
    "cpu_ns",
    "diag_cpu_ns",
    "diag_bytes",
    "heap_samples_total",
    "work_units_total",
];

type Row = [u64; COLUMNS.len()];

/// The readings of the last hour, as `diag.history/1`.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct MemoryHistory {
    /// `diag.history/1`.
    pub schema: &'static str,
    /// Seconds between readings.
    pub every_s: f64,
    /// How far back readings are kept, seconds.
    pub keeps_s: f64,
    /// What the readings take, in bytes.
    pub memory_bytes: u64,
    /// When each reading was taken, unix milliseconds, oldest first.
    pub taken_unix_ms: Vec<u64>,
    /// By name, a value for each reading, `None` where it was missing: `allocated_bytes`, `active_bytes`, `resident_bytes` of
    /// the allocator; `rss_bytes`, `swap_bytes`, `threads`, `cpu_ns` of the process; `cgroup_bytes`, `cgroup_limit_bytes`; of the
    /// diagnostics `diag_cpu_ns` (their own thread), `diag_bytes`, `heap_samples_total`; and `work_units_total`.
    pub columns: BTreeMap<&'static str, Vec<Option<u64>>>,
    /// Why a column's last value is missing.
    pub missing: BTreeMap<&'static str, String>,
}

/// See the module.
pub(crate) struct Course(Mutex<Kept>);

struct Kept {
    rows: VecDeque<(u64, Row)>,
    missing: BTreeMap<&'static str, String>,
    due: Instant,
}

impl Course {
    pub(crate) fn new() -> Self {
        let rows = VecDeque::with_capacity(MOST);
        Self(Mutex::new(Kept { rows, missing: BTreeMap::new(), due: Instant::now() }))
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a reading when one is due. For the diagnostics' own thread.
    pub(crate) fn tick(&self, heap: &Result<Heap, HeapError>) {
        let now = Instant::now();
        if now < self.lock().due {
            return;
        }
        let (taken, row, missing) = read(heap);
        let mut kept = self.lock();
        // After a pause of the machine: go on from now rather than catch up.
        kept.due = (kept.due + EVERY).max(now + EVERY / 2);
        kept.missing = missing;
        kept.push(taken, row);
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        let kept = self.lock();
        let reasons: usize = kept.missing.values().map(String::capacity).sum();
        (kept.rows.capacity() * size_of::<(u64, Row)>() + reasons) as u64
    }

    /// The readings taken after a time.
    pub(crate) fn since(&self, unix_ms: u64) -> MemoryHistory {
        let memory_bytes = self.memory_bytes();
        let kept = self.lock();
        let from = kept.rows.partition_point(|(taken, _)| *taken <= unix_ms);
        let rows = || kept.rows.iter().skip(from);
        let column = |at: usize| {
            rows().map(|(_, row)| row.get(at).copied().filter(|v| *v != MISSING)).collect::<Vec<_>>()
        };
        MemoryHistory {
            schema: "diag.history/1",
            every_s: EVERY.as_secs_f64(),
            keeps_s: EVERY.as_secs_f64() * MOST as f64,
            memory_bytes,
            taken_unix_ms: rows().map(|(taken, _)| *taken).collect(),
            columns: COLUMNS.iter().enumerate().map(|(at, name)| (*name, column(at))).collect(),
            missing: kept.missing.clone(),
        }
    }
}

impl Kept {
    fn push(&mut self, taken: u64, row: Row) {
        // A clock that was set back must not put readings out of order.
        while self.rows.back().is_some_and(|(last, _)| *last >= taken) {
            self.rows.pop_back();
        }
        if self.rows.len() >= MOST {
            self.rows.pop_front();
        }
        self.rows.push_back((taken, row));
    }
}

fn read(heap: &Result<Heap, HeapError>) -> (u64, Row, BTreeMap<&'static str, String>) {
    let w = read_quick();
    let absent = |e: &str| Reading::missing(e.to_owned());
    let (allocated, active, resident) = match w.jemalloc.as_result() {
        Ok(j) => (j.allocated_bytes.clone(), j.active_bytes.clone(), j.resident_bytes.clone()),
        Err(e) => (absent(e), absent(e), absent(e)),
    };
    let (cgroup, limit) = match w.cgroup.as_result() {
        Ok(c) => (c.current_bytes.clone(), limit(&c.limit_bytes)),
        Err(e) => (absent(e), absent(e)),
    };
    let stats = heap.as_ref().map(Heap::stats).map_err(HeapError::to_string);
    let of_heap = |value: fn(&crate::heap::HeapStats) -> u64| match &stats {
        Ok(stats) => Reading::Known(value(stats)),
        Err(e) => absent(e),
    };
    let readings: [Reading<u64>; COLUMNS.len()] = [
        allocated,
        active,
        resident,
        w.process.rss_bytes,
        cgroup,
        limit,
        w.process.swap_bytes,
        w.process.threads,
        cpu::process(),
        cpu::own_thread(),
        of_heap(|s| s.memory_bytes),
        of_heap(|s| s.samples_total),
        Reading::Known(crate::work::total()),
    ];
    let mut row = [MISSING; COLUMNS.len()];
    let mut missing = BTreeMap::new();
    for ((cell, name), reading) in row.iter_mut().zip(COLUMNS).zip(readings) {
        match reading {
            Reading::Known(value) => *cell = value,
            Reading::Missing { missing: why } => {
                missing.insert(name, why);
            }
        }
    }
    (w.taken_at_unix_ns / 1_000_000, row, missing)
}

fn limit(reading: &Reading<Limit>) -> Reading<u64> {
    match reading.as_result() {
        Ok(Limit::Bytes(bytes)) => Reading::Known(*bytes),
        Ok(Limit::Unlimited) => Reading::missing("no limit is set"),
        Err(e) => Reading::missing(e),
    }
}

#[cfg(all(feature = "cpu", target_os = "linux"))]
mod cpu {
    use crate::memory::Reading;
    use crate::sys::cpu::clock;

    pub(super) fn process() -> Reading<u64> {
        Reading::Known(clock::process_cpu_ns())
    }

    pub(super) fn own_thread() -> Reading<u64> {
        Reading::Known(clock::own_cpu_ns())
    }
}

#[cfg(not(all(feature = "cpu", target_os = "linux")))]
mod cpu {
    use crate::memory::Reading;

    pub(super) fn process() -> Reading<u64> {
        Reading::missing("this build of diag has no CPU sampler")
    }

    pub(super) fn own_thread() -> Reading<u64> {
        process()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_kept_and_no_more() {
        let course = Course::new();
        let before = course.memory_bytes();
        for n in 0..2_000 {
            course.lock().push(1_000 + n, [n; COLUMNS.len()]);
        }
        assert_eq!(course.memory_bytes(), before);
        assert!(before < 100_000, "{before}");
        let all = course.since(0);
        assert_eq!((all.taken_unix_ms.len(), all.taken_unix_ms[0]), (MOST, 1_000 + 2_000 - MOST as u64));
        assert!(all.columns.values().all(|c| c.len() == MOST));
        let last = course.since(2_997);
        assert_eq!(last.taken_unix_ms, [2_998, 2_999]);
        assert_eq!(last.columns["rss_bytes"], [Some(1_998), Some(1_999)]);
    }

    #[test]
    fn a_clock_set_back_keeps_the_order() {
        let course = Course::new();
        for taken in [10, 20, 30, 15] {
            course.lock().push(taken, [MISSING; COLUMNS.len()]);
        }
        let all = course.since(0);
        assert_eq!(all.taken_unix_ms, [10, 15]);
        assert_eq!(all.columns["swap_bytes"], [None, None]);
    }

    #[test]
    fn a_reading_says_what_is_missing() {
        let course = Course::new();
        let heap = Err(HeapError::Unavailable { why: "off".into(), next: "on".into() });
        course.tick(&heap);
        course.tick(&heap);
        let all = course.since(0);
        assert_eq!(all.taken_unix_ms.len(), 1, "the second was not due");
        assert!(all.missing["diag_bytes"].contains("off"), "{:?}", all.missing);
        #[cfg(target_os = "linux")]
        assert!(all.columns["rss_bytes"][0].is_some_and(|b| b > 0), "{:?}", all.columns);
    }
}
