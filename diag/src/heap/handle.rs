//! [`Heap`] where the collector runs: on Linux.

use std::collections::BTreeMap;

use super::collector::Collector;
use super::{HeapError, HeapMemory, HeapStats, LiveSample, SnapshotOptions, census, dump, snapshot, start};
use crate::profile::Profile;
use crate::profile::cohorts::Cohorts;
use crate::profile::sampling::Weight;
use crate::sys::hooks::Hooked;
use crate::sys::jemalloc;
use crate::sys::thread::Unprofiled;

/// The heap collector of the process.
#[derive(Clone, Copy)]
pub struct Heap {
    pub(super) source: Source,
}

#[derive(Clone, Copy)]
pub(super) enum Source {
    Hooks(&'static Collector),
    Dump,
}

impl std::fmt::Debug for Heap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let source = match self.source {
            Source::Hooks(_) => "hooks",
            Source::Dump => "prof_dump",
        };
        f.debug_struct("Heap").field("source", &source).finish()
    }
}

impl Heap {
    /// The live heap and the allocation totals since the start: `alloc_objects`, `alloc_space`, `inuse_objects`,
    /// `inuse_space`, unbiased. Addresses only; see [`Diag::symbolize`](crate::Diag::symbolize).
    ///
    /// Takes a few milliseconds for 10,000 live samples and holds no lock longer than the copy of 1/64 of them.
    ///
    /// # Errors
    /// [`HeapError`], in practice only from the fallback.
    pub fn snapshot(&self, options: &SnapshotOptions) -> Result<Profile, HeapError> {
        let _unprofiled = Unprofiled::begin();
        match self.source {
            Source::Hooks(collector) => Ok(snapshot::take(collector, options.ages)?),
            Source::Dump => dump::take(),
        }
    }

    /// About the most bytes that a [`snapshot`](Self::snapshot) with its encoding allocates; 0 for the fallback, where it is jemalloc that
    /// writes.
    #[cfg(feature = "triggers")]
    pub(crate) fn snapshot_bound_bytes(&self, ages: bool) -> u64 {
        match self.source {
            Source::Hooks(collector) => snapshot::bound_bytes(collector, ages),
            Source::Dump => 0,
        }
    }

    /// Starts or stops sampling. What is known stays known; frees are followed while stopped.
    ///
    /// # Errors
    /// When jemalloc refuses.
    pub fn set_active(&self, active: bool) -> Result<(), HeapError> {
        jemalloc::set_active(active).map_err(|e| refused("prof.active", &e))
    }

    /// Sets the mean distance between samples, rounded to a power of two, and gives the one in force. Samples taken so
    /// far keep their weight. The gap that a thread is in keeps the period it was drawn from: of a thread that has
    /// allocated before, about one old period may pass unseen.
    ///
    /// # Errors
    /// When jemalloc refuses.
    pub fn set_sample_period_bytes(&self, bytes: u64) -> Result<u64, HeapError> {
        let lg = start::lg_period(bytes);
        jemalloc::reset_lg_sample(lg).map_err(|e| refused("prof.reset", &e))?;
        if let Source::Hooks(collector) = self.source {
            collector.set_period(1 << lg);
        }
        Ok(1 << lg)
    }

    /// State and counters.
    pub fn stats(&self) -> HeapStats {
        let active = jemalloc::is_active().unwrap_or(false);
        let jemalloc_version = jemalloc::version();
        match self.source {
            Source::Hooks(c) => {
                let memory_parts = c.memory();
                HeapStats {
                    source: "hooks".to_owned(),
                    active,
                    sample_period_bytes: c.period(),
                    samples_total: c.sample_count(),
                    live_samples: c.live.len(),
                    stacks: c.sites.stack_count() as u64,
                    memory_bytes: memory_parts.total_bytes(),
                    memory_parts,
                    memory_limit_bytes: c.memory_limit,
                    jemalloc_version,
                    losses: c.losses(),
                }
            }
            Source::Dump => HeapStats {
                source: "prof_dump".to_owned(),
                active,
                sample_period_bytes: jemalloc::lg_sample().map_or(0, |lg| 1 << lg),
                samples_total: 0,
                live_samples: 0,
                stacks: 0,
                memory_bytes: 0,
                memory_parts: HeapMemory::default(),
                memory_limit_bytes: 0,
                jemalloc_version,
                losses: BTreeMap::new(),
            },
        }
    }

    /// Looks for files that were loaded or unloaded since. Called about once a second by the diagnostics' own thread.
    pub(crate) fn refresh_modules(&self) {
        if let Source::Hooks(collector) = self.source {
            collector.code.refresh();
        }
    }

    /// Nanoseconds since the collector's start; `None` where it does not know births.
    pub(crate) fn now_ns(&self) -> Option<i64> {
        match self.source {
            Source::Hooks(c) => Some(i64::try_from(c.now_ns()).unwrap_or(i64::MAX)),
            Source::Dump => None,
        }
    }

    /// Bytes allocated since the start, freed or not; `None` where that is not sampled.
    #[cfg(feature = "recorder")]
    pub(crate) fn allocated_bytes_estimate(&self) -> Option<u64> {
        match self.source {
            Source::Hooks(collector) => Some(collector.allocated_bytes_estimate()),
            Source::Dump => None,
        }
    }

    /// Shows the cohorts what is alive now.
    pub(crate) fn census(&self, cohorts: &mut Cohorts, work_units: u64) {
        if let Source::Hooks(collector) = self.source {
            census::take(collector, cohorts, work_units);
        }
    }

    /// Everything that is alive.
    pub(crate) fn live(&self) -> Vec<LiveSample> {
        match self.source {
            Source::Hooks(collector) => census::live(collector),
            Source::Dump => Vec::new(),
        }
    }

    /// Everything allocated since the start, an estimate.
    pub(crate) fn allocated(&self) -> Weight {
        match self.source {
            Source::Hooks(collector) => census::allocated(collector),
            Source::Dump => Weight { objects: 0.0, bytes: 0.0 },
        }
    }

    /// The live memory of some stacks, each with its number in the label [`STACK_LABEL`](super::STACK_LABEL).
    pub(crate) fn stacks_where(&self, wanted: impl Fn(u32) -> bool) -> Result<Profile, HeapError> {
        match self.source {
            Source::Hooks(collector) => Ok(snapshot::take_stacks(collector, wanted)?),
            Source::Dump => dump::take(),
        }
    }

    /// For comparison: the text of jemalloc's own dump. With this library's hooks in place it has one stack only, unless
    /// [`stacks_for_jemalloc`](crate::Builder::stacks_for_jemalloc) is set.
    ///
    /// # Errors
    /// When jemalloc refuses or there is no memory for the text.
    pub fn jemalloc_dump(&self) -> Result<Vec<u8>, HeapError> {
        let _unprofiled = Unprofiled::begin();
        dump::text()
    }

    /// For benchmarks: who does the work of jemalloc's samples. Frees while others do it are missed: not for services.
    #[doc(hidden)]
    pub fn hook_up(&self, hooked: Hooked) -> Result<(), HeapError> {
        crate::sys::hooks::hook_up(hooked).map_err(|e| refused("experimental.hooks", &e))
    }
}

pub(super) fn refused(control: &str, error: &tikv_jemalloc_ctl::Error) -> HeapError {
    HeapError::Failed { why: format!("jemalloc refused {control}: {error}") }
}
