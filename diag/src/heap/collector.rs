//! The collector: what happens when jemalloc reports a sample or the free of one.
//!
//! One for the process, never dropped. The functions ending in `_in_handler` run inside allocations and keep the rules
//! stated in `sys/hooks.rs`.

use std::io;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::HeapMemory;
use super::live::{Inserted, LiveObject, LiveTable};
use super::threads::ThreadNames;
use crate::context;
use crate::profile::sampling::weight;
use crate::sites::{Sites, Total};
use crate::sys::code::Code;
use crate::sys::fork::ForkSafe;
use crate::sys::hooks::{SampleSink, SampledAllocation};
use crate::sys::lock::Lock;
use crate::sys::thread::ThreadState;
use crate::sys::unwind::Walker;
use crate::sys::{clock, hooks};

/// Frames searched, from the leaf, for the allocator's own.
const ALLOCATOR_DEPTH: usize = 16;
const CALIBRATION_FRAMES: usize = 32;
/// Pages of code as the filter takes them.
const PAGE_SHIFT: u32 = 12;

/// See the module.
pub(crate) struct Collector {
    pub(crate) live: LiveTable,
    pub(crate) sites: Sites,
    pub(crate) threads: ThreadNames,
    pub(crate) code: &'static Code,
    /// Set by calibration.
    allocator_code: OnceLock<AllocatorCode>,
    /// The last stack seen while a thread calibrates.
    calibration: Lock<Calibration>,
    /// Period in force, in bytes.
    period: AtomicU64,
    /// Estimated bytes allocated since the start: the work clock.
    work_bytes: AtomicU64,
    samples: AtomicU64,
    live_table_full: AtomicU64,
    site_table_full: AtomicU64,
    pub(crate) started_ns: u64,
    pub(crate) started_unix_ns: u64,
    pub(crate) memory_limit: u64,
}

/// The functions of the allocator, and a filter that tells most other code apart at once.
struct AllocatorCode {
    /// Sorted.
    functions: Vec<Range<u64>>,
    /// A bit for each page of code, by its number modulo 256.
    pages: [u64; 4],
}

impl AllocatorCode {
    fn new(mut functions: Vec<Range<u64>>) -> Self {
        functions.sort_by_key(|r| r.start);
        functions.dedup();
        let mut pages = [0; 4];
        for function in &functions {
            for page in function.start >> PAGE_SHIFT..=function.end.saturating_sub(1) >> PAGE_SHIFT {
                if let Some(word) = pages.get_mut(page as usize / 64 % 4) {
                    *word |= 1u64 << (page % 64);
                }
            }
        }
        Self { functions, pages }
    }

    #[inline]
    fn contains(&self, address: u64) -> bool {
        let page = address >> PAGE_SHIFT;
        let [a, b, c, d] = self.pages;
        let word = match page / 64 % 4 {
            0 => a,
            1 => b,
            2 => c,
            _ => d,
        };
        if word >> (page % 64) & 1 == 0 {
            return false;
        }
        let after = self.functions.partition_point(|r| r.start <= address);
        after.checked_sub(1).and_then(|i| self.functions.get(i)).is_some_and(|r| r.contains(&address))
    }
}

struct Calibration {
    frames: [u64; CALIBRATION_FRAMES],
    len: usize,
}

impl Collector {
    /// Tables for at most about `memory_limit` bytes.
    pub(crate) fn new(memory_limit: u64, period: u64) -> io::Result<Self> {
        // Half for live objects, 64 bytes each and 8 of index (at most half full, twice during growth); the rest for
        // stacks and sites.
        let live_limit = (memory_limit / 2 / 80).max(1024) as usize;
        Ok(Self {
            live: LiveTable::new(live_limit)?,
            sites: Sites::new((memory_limit / 2) as usize)?,
            threads: ThreadNames::new(),
            code: Code::of_process()?,
            calibration: Lock::new(Calibration { frames: [0; CALIBRATION_FRAMES], len: 0 }),
            allocator_code: OnceLock::new(),
            period: AtomicU64::new(period),
            work_bytes: AtomicU64::new(0),
            samples: AtomicU64::new(0),
            live_table_full: AtomicU64::new(0),
            site_table_full: AtomicU64::new(0),
            started_ns: clock::monotonic_ns(),
            started_unix_ns: clock::unix_ns(),
            memory_limit,
        })
    }

    pub(crate) fn period(&self) -> u64 {
        self.period.load(Ordering::Relaxed)
    }

    /// Bytes allocated since the start, freed or not, by the samples' weights.
    #[cfg(feature = "recorder")]
    pub(crate) fn allocated_bytes_estimate(&self) -> u64 {
        self.work_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn sample_count(&self) -> u64 {
        self.samples.load(Ordering::Relaxed)
    }

    pub(crate) fn set_period(&self, period: u64) {
        self.period.store(period, Ordering::Relaxed);
    }

    /// Sets which functions are the allocator's. The first call counts.
    pub(crate) fn set_allocator_code(&self, functions: Vec<Range<u64>>) {
        let _ = self.allocator_code.set(AllocatorCode::new(functions));
    }

    /// Takes the stack that the last sample of a calibrating thread had; empty when there was none.
    pub(crate) fn take_calibration(&self) -> Vec<u64> {
        let mut out = Vec::with_capacity(CALIBRATION_FRAMES);
        let mut calibration = self.calibration.lock();
        let len = std::mem::take(&mut calibration.len);
        out.extend(calibration.frames.iter().take(len));
        out
    }

    /// Memory the collector holds; what is kept beside it for verdicts and charts is not known here.
    pub(crate) fn memory(&self) -> HeapMemory {
        HeapMemory {
            live_table_bytes: self.live.memory_bytes(),
            stacks_bytes: self.sites.memory_bytes(),
            unwinder_bytes: self.code.walker().memory_bytes(),
            ..HeapMemory::default()
        }
    }

    /// Nanoseconds since the start.
    pub(crate) fn now_ns(&self) -> u64 {
        clock::monotonic_ns().saturating_sub(self.started_ns)
    }

    /// The stack without the allocator's frames at its leaf.
    fn user_frames<'a>(&self, frames: &'a [u64]) -> &'a [u64] {
        let Some(code) = self.allocator_code.get() else { return frames };
        let is_allocator = |address: &u64| code.contains(*address);
        let own = frames.iter().take(ALLOCATOR_DEPTH).rposition(is_allocator).map_or(0, |i| i + 1);
        frames.get(own..).filter(|rest| !rest.is_empty()).unwrap_or(frames)
    }
}

impl SampleSink for Collector {
    fn sampled_in_handler(&self, sample: &SampledAllocation<'_>) {
        let period = self.draw_period(sample.thread);
        if sample.thread.calibrating.get() {
            let mut calibration = self.calibration.lock();
            calibration.len = 0;
            for (place, frame) in calibration.frames.iter_mut().zip(sample.frames) {
                *place = *frame;
            }
            calibration.len = sample.frames.len().min(CALIBRATION_FRAMES);
            return;
        }
        let weight = weight(sample.usable_size, period);
        self.samples.fetch_add(1, Ordering::Relaxed);
        let born_work = self.work_bytes.fetch_add(weight.bytes as u64, Ordering::Relaxed);
        let site =
            self.sites.site(self.user_frames(sample.frames), sample.usable_size).unwrap_or_else(|| {
                self.site_table_full.fetch_add(1, Ordering::Relaxed);
                Sites::OVERFLOW
            });
        self.sites.add(site, Total { count: weight.objects, amount: weight.bytes });
        let previous = match sample.thread.realloc_from.get() {
            0 => None,
            from => self.live.get(from as u64),
        };
        let object = LiveObject {
            address: sample.address,
            size: sample.size,
            usable_size: sample.usable_size,
            weight_objects: weight.objects,
            born_ns: previous.map_or_else(|| self.now_ns(), |p| p.born_ns),
            born_work: previous.map_or(born_work, |p| p.born_work),
            site,
            thread: self.threads.of_in_handler(sample.thread),
            context: previous.map_or_else(|| sample.thread.context.get(), |p| p.context),
            realloc_chain: previous.map_or(0, |p| p.realloc_chain.saturating_add(1)),
            ..LiveObject::default()
        };
        if self.live.insert(object) == Inserted::Full {
            self.live_table_full.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn skipped_in_handler(&self, thread: &ThreadState) {
        self.draw_period(thread);
    }

    fn freed_in_handler(&self, address: u64) {
        self.live.remove(address);
    }

    fn walker(&self) -> &Walker {
        self.code.walker()
    }
}

impl Collector {
    /// The period that the gap before this sample was drawn from; notes the one for the next gap.
    fn draw_period(&self, thread: &ThreadState) -> u64 {
        let now = self.period();
        match thread.drawn_period.replace(now) {
            0 => now,
            drawn => drawn,
        }
    }
}

impl ForkSafe for Collector {
    fn before_fork(&self) {
        // First: whoever holds it may be allocating, and wait for one of the others.
        context::TABLE.acquire();
        self.sites.acquire_all();
        self.threads.acquire();
        self.live.acquire_all();
        self.calibration.acquire();
    }

    fn after_fork(&self) {
        self.calibration.release();
        self.live.release_all();
        self.threads.release();
        self.sites.release_all();
        context::TABLE.release();
    }
}

impl Collector {
    /// What was lost, by name; zeros left out.
    pub(crate) fn losses(&self) -> std::collections::BTreeMap<String, u64> {
        let of = |c: &AtomicU64| c.load(Ordering::Relaxed);
        [
            ("live_table_full", of(&self.live_table_full)),
            ("site_table_full", of(&self.site_table_full)),
            ("context_table_full", context::TABLE.without_place()),
            ("truncated_stacks", of(&hooks::LOSSES.truncated_stacks)),
            ("unwind_errors", of(&hooks::LOSSES.unwind_errors)),
            ("no_stack_bounds", of(&hooks::LOSSES.no_stack_bounds)),
            ("reentered_samples", of(&hooks::LOSSES.reentered_samples)),
            ("reentered_frees", of(&hooks::LOSSES.reentered_frees)),
        ]
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(what, count)| (what.to_owned(), count))
        .collect()
    }
}
